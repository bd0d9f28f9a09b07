"""The oracle, checked against answers worked out by hand, and the drops generated for it."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, reject, settings

import drops
import oracle
from cases import cases

SAMPLE = Path(__file__).parents[2] / "include" / "data" / "sample"
TODAY = date(2026, 11, 1)
USERS = "user_id,name,email,signup_date\n"
CLEAN = {
    "users": f"{USERS}1,Ann,ann@example.org,2024-02-29\n",
    "compounds": "compound_id,compound_name,compound_structure\n1,Water,H2O\n2,Methane,CH4\n",
    "user_experiments": "experiment_id,user_id,experiment_compound_ids,experiment_run_time\n",
}


def compute(folder: Path, **texts: str) -> oracle.Expected:
    """Return what the oracle computes from the texts; a table without one is clean."""
    for table, text in (CLEAN | texts).items():
        (folder / f"{table}.csv").write_bytes(text.encode())
    return oracle.compute(folder, TODAY)


def read_names(folder: Path, users: str | bytes) -> list[tuple[int, str]]:
    """Return the line number and name of every user row."""
    path = folder / "users.csv"
    path.write_bytes(users if isinstance(users, bytes) else users.encode())
    return [(row.line, row.cells.get("name", "?")) for row in oracle.read_part(path, "users")]


def test_features_of_a_small_drop(tmp_path: Path) -> None:
    """Totals, means, ties and repeats within a list match a calculation by hand."""
    found = compute(
        tmp_path,
        users=USERS + "1,Ann,ann@example.org,2024-02-29\n2,Bob,bob@example.org,2024-01-01\n"
        "3,Cyd,cyd@example.org,2024-01-01\n",
        compounds="compound_id,compound_name,compound_structure\n"
        "1,Water,H2O\n2,Methane,CH4\n3,Argon,Ar\n4,Neon,Ne\n",
        user_experiments="experiment_id,user_id,experiment_compound_ids,experiment_run_time\n"
        "1,1,3;2,10\n2,1,2; 3;,0.5\n3,1,1,\n4,+2,1;01;1,-0\n",
    )
    assert found.users == {
        1: {
            "user_name": "Ann",
            "total_experiments": 3,
            "average_experiment_run_time": 5.25,
            "average_compounds_per_experiment": 5 / 3,
            "most_common_compound_id": 2,
            "most_common_compound_name": "Methane",
            "most_common_compound_experiments": 2,
            "most_common_compound_ids": [2, 3],
        },
        2: {
            "user_name": "Bob",
            "total_experiments": 1,
            "average_experiment_run_time": 0.0,
            "average_compounds_per_experiment": 1.0,
            "most_common_compound_id": 1,
            "most_common_compound_name": "Water",
            "most_common_compound_experiments": 1,
            "most_common_compound_ids": [1],
        },
        3: {
            "user_name": "Cyd",
            "total_experiments": 0,
            "average_experiment_run_time": None,
            "average_compounds_per_experiment": None,
            "most_common_compound_id": None,
            "most_common_compound_name": None,
            "most_common_compound_experiments": None,
            "most_common_compound_ids": None,
        },
    }
    assert found.compounds == {
        1: {"compound_name": "Water", "total_experiments": 2, "total_users": 2},
        2: {"compound_name": "Methane", "total_experiments": 2, "total_users": 1},
        3: {"compound_name": "Argon", "total_experiments": 2, "total_users": 1},
        4: {"compound_name": "Neon", "total_experiments": 0, "total_users": 0},
    }
    assert found.average_experiments_per_user == 4 / 3
    assert found.rows == {"users": 3, "compounds": 4, "user_experiments": 4}
    assert not found.issues


def test_the_mean_run_time_is_exact(tmp_path: Path) -> None:
    """Run times are added as written, and only the result is rounded."""
    rows = ["0.1", "0.2", "0.3", "1e-1"]
    found = compute(
        tmp_path,
        user_experiments=CLEAN["user_experiments"]
        + "\n".join(f"{i},1,1,{run_time}" for i, run_time in enumerate(rows, start=1)),
    )
    assert found.users[1]["average_experiment_run_time"] == 0.175


def test_a_point_is_ambiguous_beside_decimal_commas(tmp_path: Path) -> None:
    """Three digits behind it may be thousands; other files, and other points, are certain."""
    header = CLEAN["user_experiments"]
    found = compute(
        tmp_path,
        user_experiments=f'{header}1,1,1,1.250\n2,1,1,1.25\n3,1,1,"1.250,5"\n4,1,1,-1.250\n',
    )
    assert {(issue[2], issue[3]) for issue in found.issues} == {
        (2, "experiment_run_time_ambiguous"),
        (4, "experiment_run_time_invalid"),
        (5, "experiment_run_time_ambiguous"),
    }
    found = compute(tmp_path, user_experiments=f'{header}1,1,1,1.250\n2,1,1,"1,250.5"\n')
    assert {(issue[2], issue[3]) for issue in found.issues} == {(3, "experiment_run_time_invalid")}


def test_a_name_that_shows_nothing_is_missing(tmp_path: Path) -> None:
    """Blanks of all kinds, zero-width characters, marks and controls are no name."""
    names = ["\u200b", "\u00a0 \u2003", "\ufeff", "\u202e", "\x1a", "a\u200b", "\ufe0f", "\u3164"]
    rows = "".join(f"{i},{name},a@b.c,2024-01-01\n" for i, name in enumerate(names, start=1))
    found = compute(tmp_path, users=USERS + rows)
    assert {user["user_name"] for user in found.users.values()} == {"a\u200b"}


def test_no_users_have_no_average(tmp_path: Path) -> None:
    """Without users, there is no average number of experiments per user."""
    found = compute(tmp_path, users=USERS)
    assert found.average_experiments_per_user is None
    assert found.rows["users"] == 0


@pytest.mark.parametrize(
    ("text", "names"),
    [
        pytest.param("1,Ann,a,b\n\n \t\n2,Bob,a,b", [(2, "Ann"), (5, "Bob")], id="empty_lines"),
        pytest.param("1,A,a,b\r2,B,a,b\r", [(2, "A"), (3, "B")], id="cr"),
        pytest.param("1,A,a,b\r\n2,B,a,b\r3,C,a,b\n", [(2, "A"), (3, "B"), (4, "C")], id="mixed"),
        pytest.param(
            '1,"A\nB\r\nC\rD",a,b\n2,E,a,b', [(2, "A\nB\r\nC\rD"), (6, "E")], id="quoted_breaks"
        ),
        pytest.param('1, " \tA ""B"", C " ,a,b', [(2, 'A "B", C')], id="padded_quotes"),
        pytest.param('1,"",a,b\n2, "\t" ,a,b', [(2, ""), (3, "")], id="quoted_missing"),
        pytest.param('1,5" disk,a,b\n2,B"",a,b', [(2, '5" disk'), (3, 'B""')], id="literal_quotes"),
        pytest.param('1,"Ann" S,a,b\n2,"A"",\n",a,b', [(2, "?"), (3, 'A",\n')], id="malformed"),
        pytest.param('1,A,a\n2,B,a,b,c\n"",,,\n3',
                     [(2, "?"), (3, "?"), (4, ""), (5, "?")], id="shape"),
        pytest.param("1,A,a,b\n,,,\n\t, ,\n2,B,a,b\n,,,,,", [(2, "A"), (5, "B")], id="bare_lines"),
        pytest.param("1,NA,a,b\n2,\u00a0,a,b\n3,\\N,a,b",
                     [(2, "NA"), (3, "\u00a0"), (4, "\\N")], id="text"),
    ],
)  # fmt: skip
def test_rows_and_their_lines(tmp_path: Path, text: str, names: list[tuple[int, str]]) -> None:
    """A row's line number is that of the physical line where it starts."""
    assert read_names(tmp_path, USERS + text) == names


@pytest.mark.parametrize(
    ("content", "names"),
    [
        pytest.param(b"\xef\xbb\xbf\r\n \r\nUSER_ID,Name,EMAIL,signup_date\r\n1,A,a,b",
                     [(4, "A")], id="bom"),
        pytest.param(b'"name"\t user_id\temail \tsignup_date\nA\t1\t\t\n\t\t\t\n  \nB\t2\t\t',
                     [(2, "A"), (5, "B")], id="tab"),
        pytest.param(b"\xef\xbb\xbfsep=;\r\n;;;\r\nuser_id;name;email;signup_date\r\n1;A,B;a;b",
                     [(4, "A,B")], id="sep"),
        pytest.param(b'x;"user_id";name;email;signup_date;\n"a,b";1;A,B|C;;;',
                     [(2, "A,B|C")], id="semicolon"),
        pytest.param(b"user_id|name|email|signup_date\r1|A;B|a|b\r", [(2, "A;B")], id="pipe"),
        pytest.param(b"user_id,\tname,\temail,\tsignup_date\r\n1,\tA,\ta,\tb",
                     [(2, "A")], id="hand_out"),
        pytest.param(b"user_id\t|\tname\t|\temail\t|\tsignup_date\n1|A|a|b",
                     [(2, "A")], id="tabs_around_pipes"),
    ],
)  # fmt: skip
def test_dialects(tmp_path: Path, content: bytes, names: list[tuple[int, str]]) -> None:
    """The header determines the delimiter, the order and the extra columns."""
    assert read_names(tmp_path, content) == names


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param("user_id,name,email\n1,A,a", id="column_missing"),
        pytest.param("user_id,name,email,signup_date,NAME\n1,A,a,b,c", id="column_twice"),
        pytest.param(USERS + '1,"A,a,b\n', id="quote_never_closed"),
        pytest.param(USERS + '1,"A""b,a,b\n', id="doubled_quote_never_closed"),
        pytest.param(USERS + '1,"A\n" S,a,b\n', id="malformed_on_two_lines"),
    ],
)  # fmt: skip
def test_refusals(tmp_path: Path, text: str) -> None:
    """The oracle refuses what it would have to guess."""
    with pytest.raises(oracle.RefusedError):
        read_names(tmp_path, text)


def test_parts_are_read_in_the_order_of_their_names(tmp_path: Path) -> None:
    """The first row with an id counts, even if faulty; files are in the order of their names."""
    compute(tmp_path, users=USERS + "+7,Bob,a@b.org,2026-11-02")
    (tmp_path / "users_2.csv").write_text(USERS + "007,Ann,a@b.org,2024-01-01")
    (tmp_path / "users_10.csv").write_text(USERS + "7,,,\n8,,a@b.org,2024-01-01")
    (tmp_path / "users_3.csv").write_text(USERS + "8,Eve,a@b.org,2024-01-01")
    found = oracle.compute(tmp_path, TODAY)
    assert [user["user_name"] for user in found.users.values()] == ["Bob"]
    assert found.issues == {
        ("users", "users.csv", 2, "signup_date_in_future"),
        ("users", "users_10.csv", 2, "user_id_repeated"),
        ("users", "users_10.csv", 2, "name_missing"),
        ("users", "users_10.csv", 2, "email_invalid"),
        ("users", "users_10.csv", 2, "signup_date_invalid"),
        ("users", "users_10.csv", 3, "name_missing"),
        ("users", "users_2.csv", 2, "user_id_repeated"),
        ("users", "users_3.csv", 2, "user_id_repeated"),
    }
    assert found.rejected == {issue[:3] for issue in found.issues if issue[1] != "users.csv"}


def test_only_valid_rows_can_be_referenced(tmp_path: Path) -> None:
    """Experiments cannot refer to a quarantined user or compound."""
    found = compute(
        tmp_path,
        users=USERS + "1,,a@b.org,2024-01-01\n2\n-3,C,a@b.org,2024-01-01\n",
        compounds="compound_id,compound_name,compound_structure\n1,,H2O\n1,Water,H2O\n",
        user_experiments=CLEAN["user_experiments"] + "1,1,1,1\n2,2,x;1,\n3,-3,1,1\n",
    )
    assert found.users == {}
    assert found.compounds == {}
    assert {issue[2:] for issue in found.issues if issue[0] == "user_experiments"} == {
        (2, "user_id_unknown"),
        (2, "experiment_compound_ids_unknown"),
        (3, "user_id_unknown"),
        (3, "experiment_compound_ids_invalid"),
        (4, "user_id_unknown"),
        (4, "experiment_compound_ids_unknown"),
    }


def test_headline_figures_of_the_sample_drop() -> None:
    """The sample drop gives the figures that the documentation quotes."""
    found = oracle.compute(SAMPLE, TODAY)
    assert found.rows == {"users": 42, "compounds": 13, "user_experiments": 300}
    assert (len(found.users), len(found.compounds)) == (40, 12)
    assert found.average_experiments_per_user == 7.35
    assert found.users[29]["total_experiments"] == 0
    assert found.users[5]["most_common_compound_ids"] == [9, 12]
    assert found.issues == {
        ("users", "users.csv", 21, "user_id_repeated"),
        ("users", "users.csv", 25, "email_invalid"),
        ("users", "users.csv", 37, "signup_date_invalid"),
        ("users", "users.csv", 44, "name_missing"),
        ("compounds", "compounds.csv", 14, "compound_id_repeated"),
        ("user_experiments", "user_experiments.csv", 43, "user_id_unknown"),
        ("user_experiments", "user_experiments.csv", 90, "experiment_compound_ids_unknown"),
        ("user_experiments", "user_experiments.csv", 134, "experiment_compound_ids_invalid"),
        ("user_experiments", "user_experiments.csv", 178, "experiment_run_time_out_of_range"),
        ("user_experiments", "user_experiments.csv", 233, "experiment_id_repeated"),
        ("user_experiments", "user_experiments.csv", 270, "experiment_run_time_invalid"),
    }


def test_sample_drop_is_in_the_dialect_of_the_hand_out() -> None:
    """The sample keeps its padded delimiter, CRLF, leading empty line and missing final newline."""
    for path in SAMPLE.glob("*.csv"):
        content = path.read_bytes()
        assert content.startswith(b"\r\n") == (path.name == "users.csv")
        assert content.count(b"\n") == content.count(b"\r\n") > 0
        assert not content.endswith(b"\n")
        header = content.strip().split(b"\r\n")[0]
        assert header.count(b",") == header.count(b",\t") > 1


@pytest.mark.parametrize(("table", "rule", "value"), drops.EVERY_FAULT)
def test_each_fault_breaks_only_its_rule(tmp_path: Path, table: str, rule: str, value: str) -> None:
    """A drop with one fault has one issue, on the last row of its table."""
    found = oracle.compute(drops.one_fault(table, rule, value).write(tmp_path), TODAY)
    expected = {rule}
    if (table, rule) == ("user_experiments", "nul_byte"):
        expected.add("experiment_run_time_invalid")
    companion = {drops.COMPANIONS[rule][0]} if rule in drops.COMPANIONS else set()
    assert {issue[3] for issue in found.issues} == expected | companion
    (place,) = {issue[:3] for issue in found.issues if issue[3] not in companion}
    last_line = len((tmp_path / f"{table}.csv").read_text(encoding="utf-8").splitlines())
    assert place[:2] == (table, f"{table}.csv")
    assert place[2] == len(drops.CLEAN[table]) + 2 + len(companion) <= last_line


def read_cells(folder: Path, part: drops.Part) -> list[tuple[str, ...] | None]:
    """Return the cells that the oracle reads from a part; None for a malformed row."""
    return [
        tuple(row.cells[column] for column in drops.COLUMNS[part.table]) if row.cells else None
        for row in oracle.read_part(folder / part.file_name, part.table)
    ]


def expect_cells(part: drops.Part) -> list[tuple[str, ...] | None]:
    """Return the cells that a part was made from, stripped as the contract demands."""
    return [
        None if row.fault else tuple(cell.strip(" \t") for cell in row.cells) for row in part.rows
    ]


@contextmanager
def _rows_that_look_swallowed() -> Iterator[None]:
    """Passes over a drop which is refused, because a text of several lines looks like rows."""
    try:
        yield
    except oracle.RefusedError as error:
        if "swallowed" not in str(error):
            raise
        reject()


@settings(max_examples=cases(40), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(drop=drops.drops())
def test_generated_drops_are_read_back(drop: drops.Drop) -> None:
    """In any dialect, the parts contain the cells they were made from."""
    with TemporaryDirectory() as name:
        folder = drop.write(Path(name))
        with _rows_that_look_swallowed():
            for part in drop.parts:
                assert read_cells(folder, part) == expect_cells(part)
            found = oracle.compute(folder, TODAY)
    faulty = dict.fromkeys(drops.TABLES, 0)
    for table, _, _ in found.rejected:
        faulty[table] += 1
    assert len(found.users) == found.rows["users"] - faulty["users"]
    assert len(found.compounds) == found.rows["compounds"] - faulty["compounds"]


@settings(max_examples=cases(5), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(drop=drops.drops())
def test_every_dialect_gives_the_same(drop: drops.Drop) -> None:
    """Features and issues, line numbers aside, do not depend on how the files are written."""
    found = []
    for dialect in drops.ALL_DIALECTS:
        with TemporaryDirectory() as name, _rows_that_look_swallowed():
            expected = oracle.compute(drop.in_dialect(dialect).write(Path(name)), TODAY)
        rules = sorted((table, file_name, rule) for table, file_name, _, rule in expected.issues)
        found.append((expected.users, expected.compounds, expected.rows, rules))
    assert all(one == found[0] for one in found)


def test_the_named_dialects_differ() -> None:
    """No two named dialects share a name or write the same text."""
    part = drops.one_fault("users", "name_missing", "").parts[0]
    assert len({dialect.name for dialect in drops.ALL_DIALECTS}) == len(drops.ALL_DIALECTS)
    looks = {drops.render("users", part.rows, dialect) for dialect in drops.ALL_DIALECTS}
    assert len(looks) == len(drops.ALL_DIALECTS)
