"""An older part, brought up from itself, has exactly the rows that its file gives today."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest
from duckdb import CaseExpression, ColumnExpression, ConstantExpression
from hypothesis import HealthCheck, given, settings

from cases import cases
from drops import ALL_DIALECTS, THOUSANDS, Drop, Row, drops, every_fault
from drops import Part as File
from experiment_features.config import Settings
from experiment_features.contract import COMPOUNDS, TABLES, USERS, Column, Kind, Table
from experiment_features.drop.files import Part
from experiment_features.engines.duckdb_engine import read_parquet, write_parquet
from experiment_features.errors import ConfigurationError
from experiment_features.reading import upgrade_part as upgrading
from experiment_features.reading.type_cells import open_typing_database
from experiment_features.reading.upgrade_part import upgrade_part
from experiment_features.run import Extracted
from experiment_features.store.parts import workspace_parts
from experiment_features.store.written_cells import define_written, written
from experiment_features.workspace import Workspace
from stages import read_drop

Database = duckdb.DuckDBPyConnection


@pytest.fixture(scope="module")
def database() -> Iterator[Database]:
    """In which cells are typed."""
    with open_typing_database(Settings.memory_limit) as database:
        yield database


def read(drop: Drop, folder: Path) -> list[tuple[Part, Path]]:
    """Every part of a drop, and where its rows are."""
    workspace = Workspace(folder / "workspace")
    read_drop(drop.write(folder / "drop"), workspace)
    store = workspace_parts(workspace)
    parts = workspace.found(Extracted).parts
    return [(part, store.paths([part], part["table"])[0]) for part in parts]


def rows_in(path: Path) -> list[dict[str, Any]]:
    """The rows of a part; bits tell 0.0 from -0.0."""
    table = pq.read_table(path).sort_by("line_number")
    return [
        {name: value.hex() if isinstance(value, float) else value for name, value in row.items()}
        | {"has_nul": bool(row["has_nul"])}
        for row in table.to_pylist()
    ]


def forget_values(database: Database, table: Table, path: Path, target: Path) -> None:
    """Writes a part as by a reader that could type nothing, and knew no ambiguous numbers."""
    define_written(database)
    is_whole = ColumnExpression("line").isnotnull()
    replaced = {"fault": CaseExpression(is_whole, ColumnExpression("fault"))}
    for column in table.columns:
        if column.kind is not Kind.TEXT:
            replaced[column.name] = CaseExpression(
                ConstantExpression(False), ColumnExpression(column.name)
            )
            replaced[column.text_name] = written(column)
    rows = read_parquet(database, path)
    columns = (replaced.get(name, ColumnExpression(name)).alias(name) for name in rows.columns)
    write_parquet(rows.project(*columns), target)


def assert_upgraded(database: Database, drop: Drop, folder: Path) -> None:
    """Asserts that each part is brought up to itself, and so is what a lesser reader made."""
    lesser, target = folder / "lesser.parquet", folder / "upgraded.parquet"
    for part, path in read(drop, folder):
        table = next(table for table in TABLES if table.name == part["table"])
        forget_values(database, table, path, lesser)
        for older in (path, lesser):
            upgrade_part(database, part, older, target)
            assert pq.read_schema(target).names == pq.read_schema(path).names
            assert rows_in(target) == rows_in(path), part["name"]


def test_every_fault_in_many_dialects(database: Database, tmp_path: Path) -> None:
    """Plain and compressed."""
    files = [
        replace(part, suffix=f"_{dialect.name}", dialect=dialect, compression=compression)
        for part in every_fault().parts
        for dialect, compression in zip(ALL_DIALECTS[::-4], ["", ".gz", ".zst"] * 99, strict=False)
    ]
    assert_upgraded(database, Drop(tuple(files)), tmp_path)


@given(drop=drops())
@settings(max_examples=cases(5), deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_random_drops(drop: Drop) -> None:
    """Whatever they hold."""
    with TemporaryDirectory() as folder, open_typing_database(Settings.memory_limit) as database:
        assert_upgraded(database, drop, Path(folder))


def test_points_beside_commas(database: Database, tmp_path: Path) -> None:
    """Which numbers are ambiguous is decided anew, over all rows of a part."""
    times = ["1.250", "1.255", "12.5", "1234.567", "-1.250", "1.250e3", "", "7", "007"]
    drop = every_fault("users", "nul_byte")
    files = list(drop.parts[:2])
    for number, comma in enumerate(["", *THOUSANDS[::8]]):
        rows = [Row((str(i), "1", "1", time)) for i, time in enumerate([*times, comma], start=1)]
        files.append(File("user_experiments", f"_{number}", tuple(rows)))
    assert_upgraded(database, Drop(tuple(files)), tmp_path)


def with_column(monkeypatch: pytest.MonkeyPatch, table: Table, column: Column) -> None:
    """Gives a table a column, in place of one of that name."""
    others = tuple(known for known in table.columns if known.name != column.name)
    monkeypatch.setitem(vars(table), "columns", (*others, column))


def test_a_column_of_another_kind(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cells are typed as the column asks today, whatever it asked then."""
    texts = ("NA", "12.50", "007", "17", "1;2", "2;2; ", "2024-02-29", "2023-02-29", "", "1e3")
    rows = tuple(Row((str(number), "Water", text)) for number, text in enumerate(texts, start=1))
    users = every_fault("users", "nul_byte").parts
    drop = Drop((users[0], users[2], File("compounds", "", rows)))
    columns = {kind: Column("compound_structure", kind, "its formula") for kind in Kind}
    found = {}
    for kind, column in columns.items():
        with_column(monkeypatch, COMPOUNDS, column)
        found[kind] = next(
            each for each in read(drop, tmp_path / kind.name) if each[0]["table"] == "compounds"
        )
    for now, column in columns.items():
        with_column(monkeypatch, COMPOUNDS, column)
        expected = rows_in(found[now][1])
        for then in Kind:
            target = tmp_path / f"{then.name}_{now.name}.parquet"
            upgrade_part(database, *found[then], target)
            assert rows_in(target) == expected, f"{then} then, {now} now"


def test_a_part_without_a_column(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An optional one is empty; without one that is required, its file has to be read."""
    (part, path), *_ = read(every_fault("users", "nul_byte"), tmp_path)
    target = tmp_path / "upgraded.parquet"
    with_column(monkeypatch, USERS, Column("height", Kind.NUMBER, "in metres", is_optional=True))
    upgrade_part(database, part, path, target)
    assert rows_in(target) == [row | {"height": None, "height_text": None} for row in rows_in(path)]
    with_column(monkeypatch, USERS, Column("height", Kind.NUMBER, "in metres"))
    with pytest.raises(ConfigurationError, match=r"users\.csv .* column height is missing. Load a"):
        upgrade_part(database, part, path, target)


def test_a_part_with_a_type_that_is_unknown(database: Database, tmp_path: Path) -> None:
    """As a newer program may write, or another one: its file has to be read."""
    (part, path), *_ = read(every_fault("users", "nul_byte"), tmp_path)
    strange = tmp_path / "strange.parquet"
    write_parquet(read_parquet(database, path).project("* replace (0.5 as user_id)"), strange)
    with pytest.raises(
        ConfigurationError, match=r"user_id is of the unknown type DECIMAL.* Load a"
    ):
        upgrade_part(database, part, strange, tmp_path / "upgraded.parquet")


def test_a_part_with_rows_that_were_split_differently(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They cannot be split again."""
    (part, path), *_ = read(every_fault("users", "nul_byte"), tmp_path)
    monkeypatch.setattr(upgrading, "SPLIT_VERSION", 2)
    with pytest.raises(
        ConfigurationError, match=r"of users\.csv \(version 1 .* split diff.* Load a s"
    ):
        upgrade_part(database, part, path, tmp_path / "upgraded.parquet")
