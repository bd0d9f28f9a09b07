"""A column that a file may lack: read either way, told in issues and documents, stated in rules."""

import json
from pathlib import Path
from typing import Any

import pytest
import write_docs

from drops import CLEAN, Drop, Part, Row
from experiment_features.contract import USER_EXPERIMENTS, Column, Kind
from experiment_features.errors import DropRefused
from experiment_features.rules import issues, rules
from experiment_features.workspace import Workspace
from stages import check_rows, on_engines, read_drop, rows_of, typed_rows

CELLS = {
    Kind.TEXT: ("good", "NA", None),
    Kind.INTEGER: ("17", "007", "x"),
    Kind.INTEGERS: ("1;2", "2;2", "1;x"),
    Kind.NUMBER: ("12.5", "12.50", "many"),
    Kind.DATE: ("2024-02-29", "0001-01-01", "2023-02-29"),
}
"""Of each kind, cells that can be typed, and one that cannot."""


@pytest.fixture(params=CELLS, ids=lambda kind: kind.name.lower())
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Kind:
    """The kind of a column ``extra`` that the contract has; experiments should have it typed."""
    kind: Kind = request.param
    extra = Column("extra", kind, "an addition", is_optional=True)
    monkeypatch.setitem(vars(USER_EXPERIMENTS), "columns", (*USER_EXPERIMENTS.columns, extra))
    more = (*rules.RULES, rules._invalid(USER_EXPERIMENTS, "extra"))
    monkeypatch.setattr(rules, "RULES", more)
    monkeypatch.setattr(issues, "RULES", more)
    return kind


def write_drop(folder: Path, kind: Kind) -> Path:
    """A drop with two files of experiments, all of an unknown user; one has the extra column."""
    Drop(tuple(Part(t, "", tuple(map(Row, CLEAN[t]))) for t in ("users", "compounds"))).write(
        folder
    )
    header = ",".join(USER_EXPERIMENTS.required_names)
    cells = [cell for cell in CELLS[kind] if cell] + [""]
    lines = [f"{number},9,1,0.5,{cell}\n" for number, cell in enumerate(cells, start=1)]
    (folder / "user_experiments_1.csv").write_text(f"{header},Extra\n" + "".join(lines))
    (folder / "user_experiments_2.csv").write_text(f"{header}\n8,9,1,0.5\n9,9,1,0.5,too many\n")
    return folder


def test_files_with_and_without_it_are_read(kind: Kind, tmp_path: Path) -> None:
    """It is in raw rows as it was spelled, and missing where a file lacks it, on each engine."""
    read, read_in_sql = Workspace(tmp_path / "read"), Workspace(tmp_path / "read_in_sql")
    source = write_drop(tmp_path / "drop", kind)
    read_drop(source, read)
    read_drop(source, read_in_sql, in_sql=True)
    rows, rows_in_sql = (typed_rows(of, USER_EXPERIMENTS.name) for of in (read, read_in_sql))
    assert rows == rows_in_sql
    for workspace in on_engines(read, check_rows):
        found: list[dict[str, Any]] = rows_of(workspace.issues)
        of_user = [row for row in found if row["rule"] == "user_id_unknown"]
        spelled = [json.loads(row["raw_row"])["extra"] for row in of_user]
        assert spelled == [*filter(None, CELLS[kind]), None, None]
        invalid = [row["value"] for row in found if row["rule"] == "extra_invalid"]
        assert invalid == [cell for cell in CELLS[kind][2:] if cell]
        rest = {row["rule"] for row in found} - {"user_id_unknown", "extra_invalid"}
        assert rest == {"too_many_fields"}


def test_the_documentation_says_so(kind: Kind) -> None:
    """In the table of columns; the others have to be there."""
    table = write_docs.columns_of(USER_EXPERIMENTS)
    assert f"| `extra` | {kind.value}; optional | an addition |" in table
    assert table.count("optional") == 1


def test_a_column_that_is_not_optional_is_still_required(kind: Kind, tmp_path: Path) -> None:
    """The refusal names it, and not the optional one."""
    source = write_drop(tmp_path / "drop", kind)
    (source / "user_experiments_2.csv").write_text("experiment_id,user_id,experiment_run_time\n")
    with pytest.raises(DropRefused, match="lacks the column experiment_compound_ids; found"):
        read_drop(source, Workspace(tmp_path / "workspace"))
