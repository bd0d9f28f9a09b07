"""Lines typed by NumPy: the same values as from SQL, or left to it."""

from itertools import product
from pathlib import Path
from typing import Any

import pytest

from experiment_features.config import Settings
from experiment_features.contract import USER_EXPERIMENTS
from experiment_features.drop.local_path import LocalPath
from experiment_features.engines.duckdb_engine import read_parquet
from experiment_features.reading import typed_file
from experiment_features.reading.type_cells import open_typing_database

IDS = ["1", "0", "007", "-1", "+1", "1.0", "1e3", "", "x", "1_0", "0x10", "9" * 18, str(2**63 - 1),
       str(2**63), "\u0661", "12345678", "123456789", "1" * 16, "1" * 17, "1:",
       *(str(10**n + 7) for n in range(1, 19)), "1" * 25, "1" * 40]  # fmt: skip
LISTS = ["1", "1;2;3", "2;1;2", "1;;2", ";1", "1;", ";", "", "1 ;2", "1;x", "01", "1;0", "1.5;2",
         ";".join(map(str, range(70))), "1;2;3;4;1", "5;4;3;2;1", "9;8;7;6;5;4;9;1", "1;2;3;1",
         "2;2", "7" * 18 + ";" + "7" * 18, f"{10**17};{10**17 + 1}", str(2**63), "-1;1"]  # fmt: skip
NUMBERS = ["", "0", "0.5", "5.", ".5", "5.0", "12.50", "39.39", "0.001", "0.0001", "1e3", "-1", "inf",
           "nan", "99999999999.999", "999999999999", "00.5", "1.2.3", "1.x", ".", "0.30"]  # fmt: skip


def rows_of(path: Path, folder: Path) -> list[dict[str, Any]]:
    """The typed rows of an experiments file."""
    folder.mkdir()
    with open_typing_database(Settings.memory_limit) as database:
        (file,) = (each for each in LocalPath(path.parent).entries() if each.name == path.name)
        part = folder / "part.parquet"
        typed_file.type_file(database, USER_EXPERIMENTS, file, part, lambda *_: None)
        rows = read_parquet(database, part).order("line_number")
        table: list[dict[str, Any]] = rows.to_arrow_table().to_pylist()
    return [row | {"has_nul": bool(row["has_nul"])} for row in table]


@pytest.mark.parametrize("has_commas", [False, True], ids=["points", "commas"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"], ids=["comma", "semicolon", "tab"])
@pytest.mark.parametrize("order", [(0, 1, 2, 3, 4), (3, 4, 0, 2, 1)], ids=["usual", "other"])
def test_lines_are_typed_as_sql_types_them(
    has_commas: bool,
    delimiter: str,
    order: tuple[int, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Which lines of a file are typed in which way cannot be seen in its rows."""
    names = [*USER_EXPERIMENTS.column_names, "remark"]
    rows = [(i, "4", "2;5", "1.5", "a 0;1.5") for i in IDS]
    rows += [("4", i, items, n, "") for i, items, n in product(IDS[:4], LISTS, NUMBERS)]
    rows += [("1",), ("1", "2", "3", "4", "5", "6"), ("",), ("",) * 5]
    if has_commas:  # then a point and three digits are ambiguous
        rows.append(("1", "2", "3", '"12,5"', ""))
    lines = [
        delimiter.join(row[i] for i in order) if len(row) == len(names) else delimiter.join(row)
        for row in [tuple(names), *rows]
    ]
    path = tmp_path / "user_experiments.csv"
    path.write_text("\n".join(lines), encoding="utf-8")

    rows_of_numpy = rows_of(path, tmp_path / "numpy")
    monkeypatch.setattr(typed_file, "TYPED_HERE", frozenset())
    assert rows_of_numpy == rows_of(path, tmp_path / "sql")
    run_times = {row["experiment_run_time"] for row in rows_of_numpy}
    assert (0.001 in run_times) == (not has_commas)
    assert run_times >= {39.39, 0.0001}
