"""The contract: the one place that spells the columns and makes the positions."""

import re
from importlib.resources import files
from pathlib import Path

import duckdb
import pytest

import experiment_features
from experiment_features.contract import TABLES, Kind, file_number_of, line_of, position_of

PACKAGE = Path(experiment_features.__file__).parent
WHAT_READS = [
    path
    for folder in ("reading", "rules", "engines", "store", "drop")
    for path in sorted((PACKAGE / folder).rglob("*.*"))
    if path.suffix in {".py", ".sql"} and path.name != "rules.py"
]
KINDS = {kind.name.lower() for kind in Kind}


@pytest.mark.parametrize("path", WHAT_READS, ids=lambda path: path.name)
def test_no_other_file_spells_a_column(path: Path) -> None:
    """A new column is read, described and listed because the contract has it."""
    names = {name for table in TABLES for name in table.column_names} - {"name"}
    words = set(re.findall(r"\w+", path.read_text()))
    spelled = {f"{name}{end}" for name in names for end in ("", "_text")} & words
    assert not spelled


@pytest.mark.parametrize(
    ("script", "steps"),
    [
        ("reading/sql/kinds.sql", ("cast", "check", "value", "text")),
        ("store/sql/written_cells.sql", ("written",)),
    ],
)
def test_every_kind_has_its_macros(script: str, steps: tuple[str, ...]) -> None:
    """None is forgotten, but that text needs no text beside it."""
    text = (files("experiment_features") / script).read_text()
    macros = set(re.findall(r"temporary macro (\w+)\(", text))
    assert macros >= {f"{kind}_{step}" for kind in KINDS for step in steps} - {"text_text"}


@pytest.mark.parametrize("line", [1, 2, 10**12 - 1])
@pytest.mark.parametrize("file_number", [1, 2, 9_000_000])
def test_a_position_is_the_same_in_sql(file_number: int, line: int) -> None:
    """It gives file and line back."""
    position = position_of(file_number, line)
    script = (files("experiment_features.rules") / "sql" / "positions.sql").read_text()
    with duckdb.connect() as database:
        database.execute(script)
        query = "select file_number_of($position), line_of($position)"
        assert database.execute(query, {"position": position}).fetchone() == (file_number, line)
    assert (file_number_of(position), line_of(position)) == (file_number, line)
