"""Arrow's values are what pyarrow would make of them, and nothing imports pandas for them."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from e2e.local_stack import ROOT
from experiment_features.engines import arrow
from integration.running import make_drop

PROBE = """
import sys
import pyarrow as pa
from experiment_features.command_line import main
from experiment_features.load.copy import _format_rows
from experiment_features.load.words import find_words
status = main([*sys.argv[1:], "--dry-run", "--json"])
names = pa.StringArray.from_buffers(1, pa.py_buffer(bytes(4) + b"\\1\\0\\0\\0"), pa.py_buffer(b"\\t"))
assert _format_rows(pa.RecordBatch.from_arrays([names], ["name"])) == b"\\\\t\\n"
assert sum(words.num_rows for words in find_words([1, 2], ["Ann Lee", "Zo\u00eb"])) == 3
print(status, "pandas" in sys.modules)
"""


@pytest.mark.parametrize("name", ["Ann", 'A ""x"", y'])
def test_a_run_on_duckdb_does_without_pandas(name: str, tmp_path: Path) -> None:
    """From the files, quoted rows and all, to what is copied into PostgreSQL; `auto` sees to it."""
    drop = make_drop({1: "Ann", 2: name}, [(1, "1;2", "1.5")]).write(tmp_path / "drop")
    done = subprocess.run(
        [sys.executable, "-c", PROBE, "run", drop],
        env={
            "PYTHONPATH": str(ROOT / "include"),
            "EXPERIMENT_FEATURES_WORKSPACES": str(tmp_path / "workspaces"),
        },
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "0 False"


@pytest.mark.parametrize(
    "values",
    [[], [0], [2**63 - 1, -(2**63)], [True], [False] * 8 + [True] * 9],
    ids=str,
)
def test_array(values: list[int] | list[bool]) -> None:
    """Whole numbers of 64 bits, and flags."""
    kind = pa.bool_() if values and isinstance(values[0], bool) else pa.int64()
    made = arrow.array(np.array(values, kind.to_pandas_dtype()))
    assert made.equals(pa.array(values, kind))
    if kind == pa.int64():
        assert arrow.integers(made[1:]).tolist() == values[1:]


@pytest.mark.parametrize("value", ["", "\\N", "Größe\0\n"])
def test_text(value: str) -> None:
    """Any text."""
    assert arrow.text(value).equals(pa.scalar(value, pa.large_string()))


@pytest.mark.parametrize("name", ["x", "x" * 2**18], ids=["short", "long"])
def test_batches(name: str, tmp_path: Path) -> None:
    """All rows in order, in batches that have a limit in rows and in bytes."""
    rows = 120_000 if name == "x" else 100
    names = [f"{name}{number}" for number in range(rows)]
    pq.write_table(pa.table({"name": names}), tmp_path / "names.parquet")
    batches = list(arrow.batches(tmp_path / "names.parquet"))
    assert max(batch.nbytes for batch in batches) <= arrow.BATCH_BYTES
    assert max(batch.num_rows for batch in batches) <= arrow.BATCH_ROWS
    assert [value for batch in batches for value in batch["name"].to_pylist()] == names


def test_files_are_read_in_batches_of_bounded_size() -> None:
    """By what counts bytes: so many rows of pyarrow's batches may take gigabytes."""
    modules = (ROOT / "include").rglob("*.py")
    assert [path.name for path in modules if ".iter_batches(" in path.read_text()] == ["arrow.py"]


@pytest.mark.parametrize("has_statistics", [True, False])
def test_find_nulls(has_statistics: bool, tmp_path: Path) -> None:
    """In all groups of rows; without statistics, nothing is known."""
    columns = {
        "full": pa.array([1, 2]),
        "first": pa.array([1, None]),
        "last": pa.array([None, "b"]),
        "empty": pa.nulls(2, pa.string()),
        "lists": pa.array([[1], [2]]),
    }
    file, table = tmp_path / "rows.parquet", pa.table(columns)
    pq.write_table(table, file, row_group_size=1, write_statistics=has_statistics)
    full, empty = arrow.find_nulls(file)
    assert (full & set(columns), empty) == (
        ({"full"}, {"empty"}) if has_statistics else (set(), set())
    )
