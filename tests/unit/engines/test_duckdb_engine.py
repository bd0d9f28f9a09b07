"""DuckDB: it has the memory that the run was given, in every stage."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import duckdb
import pytest

from experiment_features.engines.duckdb_engine import open_duckdb, read_parquet
from experiment_features.rules.issues import summarise
from integration.running import make_drop, make_pipeline


def test_a_database_has_the_limit_that_it_is_given() -> None:
    """Whatever the environment says."""
    with open_duckdb("123MiB") as database:
        query = "select current_setting('memory_limit')"
        assert database.execute(query).fetchone() == ("123.0 MiB",)


def test_every_stage_hands_the_limit_on(tmp_path: Path) -> None:
    """One that DuckDB does not take fails each of them."""
    drop = make_drop({1: "Ann"}, [(1, "1", "1.5"), (2, "1", "1.5")]).write(tmp_path / "drop")
    pipeline = make_pipeline(None, tmp_path, engine="pandas", max_rejected_percent=50)
    broken = replace(pipeline, settings=replace(pipeline.settings, memory_limit="plenty"))
    no_limit = partial(pytest.raises, duckdb.Error, match="Memory must have a number")
    with no_limit():
        broken.extract(drop)
    pipeline.extract(drop)
    with no_limit():
        replace(broken, engine="duckdb").validate()
    with no_limit():
        broken.validate()
    pipeline.validate()
    with no_limit():
        replace(broken, engine="duckdb").transform()
    with no_limit():
        summarise(pipeline.workspace, "plenty")


@pytest.mark.parametrize("name", ["back\\slash", "[a]", "**", "k=v", "{x}"])
def test_names_are_no_patterns(name: str, tmp_path: Path) -> None:
    """Only the files of the folder are read, with their columns alone."""
    for folder, value in ((name, 1), ("a", 2)):
        (tmp_path / folder).mkdir()
        with open_duckdb("1GiB") as database:
            rows = database.sql("select $value as i", params={"value": value})
            rows.write_parquet(str(tmp_path / folder / "1.parquet"))
    with open_duckdb("1GiB") as database:
        for path in (tmp_path / name, tmp_path / name / "1.parquet"):
            rows = read_parquet(database, path)
            assert (rows.columns, rows.fetchall()) == (["i"], [(1,)])
