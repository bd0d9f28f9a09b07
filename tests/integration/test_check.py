"""The command `check`: what it says of a drop, for people, programs and spreadsheets."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from drops import Drop, Part, Row
from experiment_features.arguments import make_parser
from experiment_features.command_line import main
from experiment_features.run import PARAMETERS
from integration.running import COMPOUNDS, make_drop

GOOD = make_drop({1: "Ann", 2: "Bob"}, [(1, "1;2", "10"), (2, "3", "")])
EXPERIMENTS = [
    *((1, "1", "1") for _ in range(20)),
    *((user, "1", "-x") for user in (7, 8, 9, 10)),
    (1, '=HYPERLINK("x")', "1"),
]
FAULTY = make_drop({1: "Ann", 2: ""}, EXPERIMENTS, COMPOUNDS)


@pytest.fixture
def check(capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs the command; returns exit status, standard output and error."""

    def run(*arguments: Any) -> tuple[int, str, str]:
        try:
            status = main(["check", *map(str, arguments)])
        except SystemExit as end:
            status = int(end.code or 0)
        return status, *capsys.readouterr()

    return run


def write_parts(folder: Path) -> Path:
    """Writes FAULTY with its experiments in two files; the first has 22 of them."""
    FAULTY.write(folder)
    lines = (folder / "user_experiments.csv").read_text().splitlines()
    (folder / "user_experiments.csv").unlink()
    for name, rows in (("a", lines[1:23]), ("b", lines[23:])):
        text = "\n".join([lines[0], *rows])
        (folder / f"user_experiments_{name}.csv").write_text(text)
    return folder


def read_rows(file: Path) -> list[list[str]]:
    """The rows of a CSV file."""
    with file.open(newline="", encoding="utf-8") as stream:
        return list(csv.reader(stream))


@pytest.mark.parametrize("command", ["run", "check"])
def test_every_parameter_of_a_drop_is_an_option(command: str) -> None:
    """But for force, without which nothing that is checked is passed over."""
    options = vars(make_parser().parse_args([command, "/drops/1", "--mode", "delta"]))
    assert options["mode"] == "delta"
    assert set(PARAMETERS) - set(options) == ({"force"} if command == "check" else set())


def test_the_mode_of_a_drop(check: Any, tmp_path: Path) -> None:
    """One that its marker contradicts refuses the drop, and one that does not exist is an error."""
    source = GOOD.write(tmp_path)
    (source / "_READY").touch()
    assert check(source, "--mode", "snapshot")[0] == 0
    status, output, _ = check(source, "--mode", "delta", "--json")
    report = json.loads(output)
    assert (status, report["verdict"]) == (1, "refused")
    assert report["place"] == {"file": "_READY", "line": None, "column": None}
    assert report["why"].startswith("the marker _READY is no manifest, so it declares a snapshot")
    assert check(source, "--mode", "full")[0] == 2


def test_a_fit_drop_as_json(check: Any, tmp_path: Path) -> None:
    """Files, rows and verdict, in one object."""
    status, output, errors = check(GOOD.write(tmp_path), "--json")
    report = json.loads(output)
    assert (status, errors, len(output.splitlines())) == (0, "", 1)
    tables = report.pop("tables")
    assert report == {
        "source": str(tmp_path),
        "verdict": "fit",
        "why": None,
        "place": None,
        "max_rejected_percent": 10,
        "rejected_rows": 0,
        "warnings": 0,
        "notices": [],
        "issues": [],
    }
    (users,) = tables[0].pop("files")
    assert tables[0] == {"table": "users", "rows": 2, "rejected": 0, "rejected_percent": 0}
    assert (users["name"], users["rows"], len(users["sha256"])) == ("users.csv", 2, 64)


def test_a_rejected_drop_as_json(check: Any, tmp_path: Path) -> None:
    """Issues by file and rule, with the first three places; and why it would not be loaded."""
    status, output, errors = check(write_parts(tmp_path), "--json")
    report = json.loads(output)
    assert (status, errors, report["verdict"]) == (1, "", "rejected")
    assert "users 50.0% (1 of 2 rows)" in report["why"]
    assert [table["rejected_percent"] for table in report["tables"]] == [50, 0, 20]
    assert [(i["file"], i["rule"], i["count"]) for i in report["issues"]] == [
        ("user_experiments_a.csv", "experiment_run_time_invalid", 2),
        ("user_experiments_a.csv", "user_id_unknown", 2),
        ("user_experiments_b.csv", "experiment_compound_ids_invalid", 1),
        ("user_experiments_b.csv", "experiment_run_time_invalid", 2),
        ("user_experiments_b.csv", "user_id_unknown", 2),
        ("users.csv", "name_missing", 1),
    ]
    assert report["issues"][1] == {
        "file": "user_experiments_a.csv",
        "table": "user_experiments",
        "rule": "user_id_unknown",
        "severity": "error",
        "column": "user_id",
        "message": "no valid row of users has this user_id",
        "count": 2,
        "first": [{"line": 22, "value": "7"}, {"line": 23, "value": "8"}],
    }


def test_a_version_of_a_file_is_told(check: Any, tmp_path: Path) -> None:
    """Once: as the reason of a rejection, or else as a notice."""
    drop = GOOD.write(tmp_path)
    users = (drop / "users.csv").read_text()
    (drop / "users_2.csv").write_text(users.replace("Ann", "Anne"))
    told = "every id in users.csv is also in users_2.csv"
    for arguments in ([], ["--max-rejected-percent", "100"]):
        _, output, _ = check(drop, *arguments)
        assert output.count(told) == 1
        report = json.loads(check(drop, "--json", *arguments)[1])
        assert told in (report["notices"][0] if arguments else report["why"])


def test_all_issues_as_csv(check: Any, tmp_path: Path) -> None:
    """Of a rejected drop, too, and with formulas made harmless."""
    target = tmp_path / "issues.csv"
    status, output, _ = check(write_parts(tmp_path / "drop"), "--csv", target)
    assert (status, "would be rejected: more rows" in output) == (1, True)
    header, *rows = read_rows(target)
    assert header == ["file", "line", "column", "value", "severity", "rule", "message"]
    assert len(rows) == 10
    assert ["user_experiments_a.csv", "22", "user_id", "7", "error", "user_id_unknown"] in [
        row[:6] for row in rows
    ]
    formulas = {row[3] for row in rows if row[5].endswith("_invalid")}
    assert formulas == {"'-x", """'=HYPERLINK("x")"""}


def test_a_table_that_was_cut_short(check: Any, tmp_path: Path) -> None:
    """What refers to its lost rows is rejected; the message says where to look instead."""
    drop = make_drop({1: "Ann"}, [(user, "1;99", "1") for user in (1, 1, 2, 2, 2)])
    _, output, _ = check(drop.write(tmp_path))
    assert "user_experiments refers 5 times to compounds of which there is no valid row" in output
    assert "user_experiments refers 3 times to users of which there is no valid row" in output
    drops = {
        "other faults": make_drop({1: "Ann"}, [(1, "1", "-x"), (1, "1", "-x"), (2, "1", "1")]),
        "rejected users": make_drop({1: "Ann", 2: ""}, [(2, "1", "1"), (2, "1", "1")]),
    }
    for name, drop in drops.items():
        _, output, _ = check(drop.write(tmp_path / name))
        assert "would be rejected" in output
        assert "refers" not in output, name


@pytest.mark.parametrize("fault", ["no file", "no UTF-8"])
def test_a_drop_that_cannot_be_read(fault: str, check: Any, tmp_path: Path) -> None:
    """It has a verdict, too, with the reason; programs get it where they look for it."""
    drop, target = GOOD.write(tmp_path / "drop"), tmp_path / "issues.csv"
    if fault == "no file":
        (drop / "users.csv").unlink()
    else:
        (drop / "users.csv").write_bytes(b"user_id,name,email,signup_date\n1,\xff,,\n")
    status, output, errors = check(drop, "--json", "--csv", target)
    report = json.loads(output)
    assert (status, errors) == (1, "")
    assert (report["verdict"], report["tables"], report["issues"]) == ("refused", [], [])
    assert "users" in report["why"]
    (row,) = read_rows(target)[1:]
    assert (row[4], row[6]) == ("error", report["why"])
    status, output, errors = check(drop)
    assert (status, output, errors) == (1, "", f"refused: {report['why']}\n")


def test_a_csv_file_within_the_drop_is_wrong_usage(check: Any, tmp_path: Path) -> None:
    """It would replace a file of the drop, or be read as one."""
    before = GOOD.write(tmp_path).joinpath("users.csv").read_bytes()
    status, _, errors = check(tmp_path, "--csv", tmp_path / "users.csv")
    assert (status, "FILE would become part of the drop" in errors) == (2, True)
    assert (tmp_path / "users.csv").read_bytes() == before


@pytest.mark.parametrize("target", ["/dev/full", "/no/such/folder.csv"])
def test_a_csv_file_that_cannot_be_written(target: str, check: Any, tmp_path: Path) -> None:
    """The message names it, and the status is that of a full disk."""
    status, _, errors = check(write_parts(tmp_path), "--csv", target)
    assert (status, len(errors.splitlines())) == (4, 1)
    assert errors.startswith(f"failed: {target} cannot be written (No s")


def test_nothing_points_to_a_database_that_is_not_there(check: Any, tmp_path: Path) -> None:
    """Without a database, all issues are where `check --csv` writes them."""
    _, output, _ = check(FAULTY.write(tmp_path))
    assert "Correct the rows that `check SOURCE --csv FILE` lists, or allow more" in output
    assert "data_issues" not in output


@pytest.mark.parametrize("name", ["\x1b[2J\x07", "\nrefused: forged", "\u202egpj\u200b", "\udcff"])
def test_names_do_not_rule_the_terminal(name: str, check: Any, tmp_path: Path) -> None:
    """Neither those of files and folders nor what a file says."""
    drop = Drop(GOOD.parts).write(tmp_path / name)
    (drop / "users.csv").rename(drop / f"users{name}.csv")
    texts = [check(drop)[1:]]
    (drop / f"users{name}.csv").write_text(f"user_id,{name}", errors="surrogateescape")
    texts += [check(drop)[1:], check(drop / name)[1:]]
    for odd in (f"deleted_users{name}.csv", f"_READY{name}"):
        (drop / odd).write_text('{"mode": "delta"}')
        texts.append(check(drop, "--csv", tmp_path / "issues.csv")[1:])
        (drop / odd).unlink()
    (drop / "_READY").mkdir()
    for output, errors in texts:
        lines = (output + errors).splitlines()
        assert all(line.isprintable() and line != "refused: forged" for line in lines), lines


@pytest.mark.parametrize("engine", ["pandas", "duckdb"])
def test_a_delta_is_checked_by_itself(engine: str, tmp_path: Path, check: Any) -> None:
    """What it refers to may be below it; only a database tells, and the notice says so."""
    experiments = tuple(map(Row, [("9", "8", "7", "1"), ("9", "8", "7", "1")]))
    deleted = tuple(map(Row, [("5",), ("x",)]))
    parts = (Part("user_experiments", "", experiments), Part("deleted_users", "", deleted))
    options = ("--mode", "delta", "--engine", engine)
    source = Drop(parts).write(tmp_path / "delta")
    status, output, _ = check(source, *options, "--json")
    found = json.loads(output)
    assert (status, found["verdict"]) == (0, "fit")
    assert [(each["table"], each["rows"], each["rejected"]) for each in found["tables"]] == [
        ("user_experiments", 2, 1), ("deleted_users", 2, 1),
    ]  # fmt: skip
    assert [issue["rule"] for issue in found["issues"]] == [
        "user_id_invalid", "experiment_id_repeated",
    ]  # fmt: skip
    assert len(found["notices"]) == 1
    status, output, errors = check(source, *options)
    assert (status, errors) == (0, "")
    assert "checked by itself" in output
