"""Validate: issues that tell everything, and drops with too many of them."""

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from drops import INVISIBLE_TEXTS
from experiment_features.engines.choose import choose_engine
from experiment_features.engines.engine import Frame
from experiment_features.errors import ConfigurationError, DropRejected
from experiment_features.rules.issues import summarise
from experiment_features.run import Validated
from experiment_features.workspace import Workspace
from stages import ENGINES, TODAY, extract, rows_of, validate

USERS = "user_id,name,email,signup_date\n1,Ann,ann@example.org,2024-01-01\n"
COMPOUNDS = "compound_id,compound_name,compound_structure\n1,Water,H2O\n"
EXPERIMENTS = "experiment_id,user_id,experiment_compound_ids,experiment_run_time\n1,1,1,2.50\n"


def read(
    folder: Path,
    users: str = USERS,
    compounds: str = COMPOUNDS,
    user_experiments: str = EXPERIMENTS,
) -> Workspace:
    """Reads a drop of one file per table."""
    tables = {"users": users, "compounds": compounds, "user_experiments": user_experiments}
    source = folder / "source"
    source.mkdir()
    for table, text in tables.items():
        (source / f"{table}.csv").write_bytes(text.encode())
    workspace = Workspace(folder / "workspace")
    extract(source, workspace, allow_empty=True)
    return workspace


def check(
    folder: Path, *tables: str, limit: float = 100, engine: str = "pandas", **others: str
) -> tuple[Validated, list[dict[str, Any]]]:
    """Facts and issues of a drop as `read` takes it."""
    workspace = read(folder, *tables, **others)
    chosen = choose_engine(engine, 1, folder / "spill")
    facts = validate(workspace, chosen, max_rejected_percent=limit, today=TODAY)
    return facts, rows_of(workspace.issues) if workspace.issues.exists() else []


@pytest.mark.parametrize("engine", ["pandas", "duckdb"])
def test_a_row_with_several_faults_lists_them_all(engine: str, tmp_path: Path) -> None:
    """Errors and warnings of one row stand side by side; the row is rejected once."""
    facts, issues = check(tmp_path, USERS + "x, ,nobody,2024-13-01\n", engine=engine)
    assert [(i["line_number"], i["severity"], i["rule"], i["value"]) for i in issues] == [
        (3, "warning", "email_invalid", "nobody"),
        (3, "error", "name_missing", None),
        (3, "warning", "signup_date_invalid", "2024-13-01"),
        (3, "error", "user_id_invalid", "x"),
    ]
    assert facts.rejected == {"users": 1, "compounds": 0, "user_experiments": 0}
    assert (facts.rejected_rows, facts.warnings) == (1, 2)


def test_issues_of_an_earlier_try_are_gone(tmp_path: Path) -> None:
    """A run that is repeated on another day may find none: then it has none."""
    facts, issues = check(tmp_path, USERS + "2,Bob,bob@example.org,2026-11-23\n")
    assert (facts.warnings, [issue["rule"] for issue in issues]) == (
        1,
        ["signup_date_in_future"],
    )
    workspace = Workspace(tmp_path / "workspace")
    chosen = choose_engine("pandas", 1, tmp_path / "spill")
    facts = validate(workspace, chosen, max_rejected_percent=0, today=date(2026, 11, 23))
    assert (facts.warnings, facts.rejected_rows, facts.rules) == (0, 0, {})
    assert not workspace.issues.exists()


def test_an_issue_tells_everything(tmp_path: Path) -> None:
    """File, line, rule, column, value and message, and the row as it was written."""
    _, (issue,) = check(tmp_path, user_experiments=EXPERIMENTS + '\n 007 ,\t"9"\t, 1; 1;,02.50\n')
    assert json.loads(issue.pop("raw_row")) == {
        "experiment_id": "007",
        "user_id": "9",
        "experiment_compound_ids": "1; 1;",
        "experiment_run_time": "02.50",
    }
    assert issue == {
        "severity": "error",
        "table_name": "user_experiments",
        "row_id": 7,
        "file_name": "user_experiments.csv",
        "line_number": 4,
        "rule": "user_id_unknown",
        "column_name": "user_id",
        "value": "9",
        "message": "no valid row of users has this user_id",
    }


def test_an_issue_has_the_id_of_its_row_if_that_is_readable(tmp_path: Path) -> None:
    """Whatever else is wrong with the row, if it could be split and its id is above 0."""
    rows = [
        ("2, ,,", 2),
        ("1,Ann,ann@example.org,2024-01-01", 1),
        ("+02,\0,,", 2),
        ("9223372036854775807, ,,", 2**63 - 1),
        ("9223372036854775808,Bob,,", None),
        ("0,Bob,,", None),
        ("-2,Bob,,", None),
        ("x,Bob,,", None),
        (",Bob,,", None),
        ("2,Bob", None),
        ('2,"Bob"x,,', None),
    ]
    _, issues = check(tmp_path, USERS + "".join(f"{row}\n" for row, _ in rows))
    assert {(issue["line_number"], issue["row_id"]) for issue in issues} == {
        (line, row_id) for line, (_, row_id) in enumerate(rows, start=3)
    }


def test_a_raw_row_is_spelled_as_it_was_written(tmp_path: Path) -> None:
    """Cells that were typed give their spelling back."""
    run_times = ("0", "7", "39.5", "39.50", "0.001", "1e3", "12345678901.123", "0.1234567890123")
    rows = [[f"+{i}", "9", "1;1", run_time] for i, run_time in enumerate(run_times, start=2)]
    lines = "".join(",".join(row) + "\n" for row in rows)
    _, issues = check(tmp_path, user_experiments=EXPERIMENTS + lines)
    assert [list(json.loads(issue["raw_row"]).values()) for issue in issues] == rows


def test_a_row_that_cannot_be_taken_apart_shows_its_line(tmp_path: Path) -> None:
    """Nothing is lost of a row whose cells are not known."""
    _, issues = check(tmp_path, USERS + '2,Bob\n3,"Cy"d,c@d.e,2024-01-01\n4,D\0i,d@e.f,\n')
    assert [(i["rule"], json.loads(i["raw_row"])) for i in issues] == [
        ("too_few_fields", {"line": "2,Bob"}),
        ("malformed_quotes", {"line": '3,"Cy"d,c@d.e,2024-01-01'}),
        ("nul_byte", {"user_id": "4", "name": "D�i", "email": "d@e.f", "signup_date": None}),
        ("signup_date_invalid", {"user_id": "4", "name": "D�i", "email": "d@e.f", "signup_date": None}),
    ]  # fmt: skip


@pytest.mark.parametrize("engine", ["pandas", "duckdb"])
def test_a_name_that_nobody_can_see_is_missing(engine: str, tmp_path: Path) -> None:
    """Whatever it is made of; a name with one visible character is a name."""
    names = [*INVISIBLE_TEXTS, "zero\u200bwidth", "\u00a0x", "."]
    rows = "".join(f'{i},"{name}",a@b.c,2024-01-01\n' for i, name in enumerate(names, start=2))
    facts, issues = check(tmp_path, USERS + rows, engine=engine)
    assert [issue["rule"] for issue in issues] == ["name_missing"] * len(INVISIBLE_TEXTS)
    assert facts.rejected["users"] == len(INVISIBLE_TEXTS)
    assert [json.loads(i["raw_row"])["user_id"] for i in issues] == [
        str(i) for i in range(2, 2 + len(INVISIBLE_TEXTS))
    ]


def test_examples_show_what_nobody_sees(tmp_path: Path) -> None:
    """Zero-width characters, odd blanks and what a terminal would obey, in values and names."""
    check(tmp_path, USERS + "1\u200b,A,a@b.c,2024-01-01\n2,B,\u202e\x1b[1m\u00a0b,2024-01-01\n")
    _, rules = summarise(Workspace(tmp_path / "workspace"))
    assert [rule.examples for rule in rules] == [
        [r"users.csv:3 1\u200b"],
        [r"users.csv:4 \u202e\x1b[1m\xa0b"],
    ]


def test_an_id_is_repeated_also_behind_a_rejected_row(tmp_path: Path) -> None:
    """Seen before means seen in an earlier row, valid or not; torn rows have no id."""
    _, issues = check(
        tmp_path, USERS + "2,,a@b.c,2024-01-01\n2,Bob,a@b.c,2024-01-01\n3,x\n3,C,a@b.c,2024-01-01\n"
    )
    assert [(i["line_number"], i["rule"]) for i in issues] == [
        (3, "name_missing"),
        (4, "user_id_repeated"),
        (5, "too_few_fields"),
    ]


@pytest.mark.parametrize(
    ("known", "named", "unknown", "compared"),
    [
        ([3, 1, 2], ["1", "3;2", "2"], [], False),  # all in one range: the files' footers tell
        ([1, 2, 3], ["1;4"], ["1;4"], True),
        ([1, 2, 3], ["0", "4"], ["0", "4"], True),
        ([1, 2, 4], ["1;4", "3"], ["3"], True),
        ([1, 3, 3], ["2"], ["2"], True),  # as many rows as would fill the range
        ([1, "", 3], ["2"], ["2"], True),
        ([1, "x", 3], ["1;1;2"], ["1;1;2"], True),
        ([1, 2**63 - 1], ["7", f"{2**63 - 1};1"], ["7"], True),
        ([1], ["", "x", "1;x", ";;", "1"], [], False),  # no ids, so none that is unknown
        ([], ["1"], ["1"], True),
    ],
)
def test_ids_are_unknown_that_no_valid_row_has(
    known: list[int | str],
    named: list[str],
    unknown: list[str],
    compared: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ids are compared one by one only if there are gaps between the known ones, or any beyond."""
    compound_rows = "".join(f"{i},Water,H2O\n" for i in known)
    experiment_rows = "".join(f"{i},1,{ids},2.50\n" for i, ids in enumerate(named))
    workspace = read(
        tmp_path,
        compounds=COMPOUNDS.splitlines(keepends=True)[0] + compound_rows,
        user_experiments=EXPERIMENTS.splitlines(keepends=True)[0] + experiment_rows,
    )
    for engine in ENGINES:
        chosen = choose_engine(engine, 1, tmp_path / "spill")
        without, compared_keys = chosen.without, []

        def noted(frame: Frame, others: Frame, key: str) -> Frame:
            compared_keys.append(key)  # noqa: B023 - called in this round alone
            return without(frame, others, key)  # noqa: B023

        monkeypatch.setattr(chosen, "without", noted)
        validate(workspace, chosen, max_rejected_percent=100, today=TODAY)
        issues = rows_of(workspace.issues) if workspace.issues.exists() else []
        found = [i["value"] for i in issues if i["rule"] == "experiment_compound_ids_unknown"]
        assert found == unknown
        assert ("compound_id" in compared_keys) == compared
        assert "user_id" not in compared_keys


def test_too_many_rejected_rows_stop_the_run(tmp_path: Path) -> None:
    """The limit counts per table, and the issues are kept."""
    users = (
        USERS
        + "".join(f"{i},U,u@v.w,2024-01-01\n" for i in range(2, 10))
        + "x,Y,y@z.a,2024-01-01\n"
    )
    facts, issues = check(tmp_path, users, limit=10)
    assert facts.rejected["users"] == len(issues) == 1
    (tmp_path / "again").mkdir()
    with pytest.raises(DropRejected) as rejection:
        check(tmp_path / "again", users, limit=9.9)
    assert "(9.9) allows: users 10.0% (1 of 10 rows), compounds 0.0%" in str(rejection.value)
    assert (tmp_path / "again" / "workspace" / "validate.json").exists()


def test_an_unknown_engine_is_refused() -> None:
    """The message lists the engines there are."""
    with pytest.raises(
        ConfigurationError, match="engine is 'abacus': expected one of auto, pandas"
    ):
        choose_engine("abacus", 1, Path())
