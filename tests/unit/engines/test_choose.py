"""Which engine `auto` takes."""

import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from drops import Drop
from experiment_features.engines import choose
from experiment_features.engines.choose import LARGE_DROP_BYTES, LARGE_DROP_ROWS, choose_engine
from experiment_features.run import Transformed
from integration.running import compute_drop, make_drop, make_pipeline


def test_a_drop_with_little_in_it_is_computed_by_pandas(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Up to so many experiments, and so much text; but nothing waits until it is imported."""
    monkeypatch.setitem(sys.modules, "pandas", pd)
    limits = {"experiments": LARGE_DROP_ROWS, "text_bytes": LARGE_DROP_BYTES}
    assert choose_engine("auto", spill=tmp_path / "spill", **limits).name == "pandas"
    for limit in limits:
        more = limits | {limit: limits[limit] + 1}
        assert choose_engine("auto", spill=tmp_path / "spill", **more).name == "duckdb"
    monkeypatch.delitem(sys.modules, "pandas")
    assert choose_engine("auto", spill=tmp_path / "spill", **limits).name == "duckdb"


def test_few_experiments_with_much_text_are_computed_by_duckdb(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However small their compressed files are."""
    monkeypatch.setattr(choose, "LARGE_DROP_BYTES", 10_000)
    drop = make_drop({1: "Ann"}, [(1, "1;2;" * 3_000, "1")])
    source = Drop(tuple(replace(part, compression=".zst") for part in drop.parts))
    pipeline = make_pipeline(None, tmp_path, engine="auto")
    compute_drop(pipeline, source.write(tmp_path / "drop"))
    assert sum(path.stat().st_size for path in (tmp_path / "drop").iterdir()) < 1_000
    assert pipeline.workspace.found(Transformed).engine == "duckdb"
