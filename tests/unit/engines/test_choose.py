"""Which engine `auto` takes."""

from dataclasses import replace
from pathlib import Path

from drops import Drop
from experiment_features.engines.choose import LARGE_DROP_BYTES, LARGE_DROP_ROWS
from experiment_features.run import Transformed
from integration.running import compute_drop, make_drop, make_pipeline


def engine_for(drop: Drop, folder: Path) -> str:
    """The engine on which a drop is computed."""
    source = drop.write(folder / "drop")
    pipeline = compute_drop(make_pipeline(None, folder, engine="auto"), source)
    return pipeline.workspace.found(Transformed).engine


def test_a_small_drop_is_computed_by_pandas(tmp_path: Path) -> None:
    """One with few experiments and little text."""
    assert engine_for(make_drop({1: "Ann"}, [(1, "1;2", "1")]), tmp_path) == "pandas"


def test_many_experiments_are_computed_by_duckdb(tmp_path: Path) -> None:
    """However little text they are."""
    experiments = [(1, "1", "")] * (LARGE_DROP_ROWS + 1)
    assert engine_for(make_drop({1: "Ann"}, experiments), tmp_path) == "duckdb"


def test_few_experiments_with_many_compounds_are_computed_by_duckdb(tmp_path: Path) -> None:
    """However small their compressed file is."""
    ids = (";".join(map(str, range(1, 101))) + ";") * (LARGE_DROP_BYTES // 4 // 291)
    compounds = dict.fromkeys(range(1, 101), "C")
    drop = make_drop({1: "Ann"}, [(1, ids, "1")] * 5, compounds)
    parts = (replace(part, compression=".zst") for part in drop.parts)
    assert engine_for(Drop(tuple(parts)), tmp_path) == "duckdb"
