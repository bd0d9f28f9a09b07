"""DuckDB: it has the memory that the run was given, in every stage."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from experiment_features.drop.files import Layer, Part
from experiment_features.engines.duckdb_engine import (
    DuckDBEngine,
    open_duckdb,
    read_parquet,
)
from experiment_features.rules.issues import describe_issues, summarise
from experiment_features.store.layers import Layers
from experiment_features.store.parts import workspace_parts
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
        rows = read_parquet(database, tmp_path / name / "1.parquet")
        assert (rows.columns, rows.fetchall()) == (["i"], [(1,)])


def test_long_texts_are_kept_in_small_groups(tmp_path: Path) -> None:
    """Who reads or writes a Parquet file holds a group of it in memory, spill folder or not."""
    names = {number: f"{number:06}" * 10_000 for number in range(1, 1001)}
    pipeline = make_pipeline(None, tmp_path)
    pipeline.extract(make_drop(names, [(1, "1", "1.5")]).write(tmp_path / "drop"))
    (typed,) = (pipeline.workspace.folder / "users").glob("*.parquet")
    engine = DuckDBEngine("1GiB", tmp_path / "spill")
    engine.write(engine.read(typed), tmp_path / "copy.parquet")
    for path in (typed, tmp_path / "copy.parquet"):
        footer = pq.read_metadata(path)
        groups = [footer.row_group(i).total_byte_size for i in range(footer.num_row_groups)]
        assert sum(groups) > 60_000_000
        assert max(groups) < 40_000_000


def test_describing_issues_spills(tmp_path: Path) -> None:
    """300,000 users with a warning each take more memory than there is."""
    pipeline = make_pipeline(None, tmp_path)
    found = pipeline.extract(make_drop({1: "Ann"}, [(1, "1", "1.5")]).write(tmp_path / "drop"))
    more = Part(**{**found.parts[0], "name": "users_2.csv", "part": "more.parquet"})
    layer = Layer(run_id="", source="", parts=[*found.parts, more])
    faults = pipeline.workspace.fresh_folder(tmp_path / "faults")
    with duckdb.connect() as database:
        rows = database.sql(
            "select i as line_number, null as fault, null as line, null as has_nul, i as user_id, "
            "null as user_id_text, 'Ann' as name, 'nobody' as email, null as signup_date, "
            "null as signup_date_text from range(300_000) as t (i)"
        )
        rows.write_parquet(str(pipeline.workspace.folder / "users" / "more.parquet"))
        is_faulty = rows.project(
            "2_000_000_000_000 + line_number as position, true as email_invalid"
        )
        (faults / "users").mkdir()
        is_faulty.write_parquet(str(faults / "users" / "of_rows.parquet"))
    layers = Layers([layer], workspace_parts(pipeline.workspace))
    (broken,) = describe_issues(pipeline.workspace, faults, layers, "160MiB")
    assert broken == ("users", "email_invalid", "warning", 300_000)
