"""The oracle of deltas, checked against answers worked out by hand, and the sequences drawn for it."""

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings

import oracle
from delta_drops import Step, sequences
from delta_oracle import (
    KEYS,
    DeltaExpected,
    State,
    compute,
    find_ids,
    follow,
)

TODAY = date(2026, 11, 22)
HEADERS = {
    "users": "user_id,name,email,signup_date",
    "compounds": "compound_id,compound_name,compound_structure",
    "user_experiments": "experiment_id,user_id,experiment_compound_ids,experiment_run_time",
} | {f"deleted_{table}": key for table, key in KEYS.items()}
SNAPSHOT = {
    "users": "1,Ann,a@b.org,2024-01-01\n2,Bob,b@b.org,2024-01-01",
    "compounds": "1,Water,H2O\n2,Methane,CH4",
    "user_experiments": "1,1,1,10\n2,1,2,20\n3,2,2,30",
}


class Loads:
    """The state after some drops; the first one is SNAPSHOT."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state: State | None = None
        self.snapshot()

    def snapshot(self, **texts: str) -> DeltaExpected:
        """Follow a snapshot; a table without a text is that of SNAPSHOT."""
        return self._follow("snapshot", SNAPSHOT | texts)

    def delta(self, *, allow_empty: bool = False, **texts: str) -> DeltaExpected:
        """Follow a delta: the rows of each file, without the header."""
        return self._follow("delta", texts, allow_empty=allow_empty)

    def on(self, today: date) -> DeltaExpected:
        """Return what the state gives on a day."""
        assert self.state
        return compute(self.state, today)

    def _follow(
        self, mode: str, texts: dict[str, str], *, allow_empty: bool = False
    ) -> DeltaExpected:
        source = self.folder / str(len(list(self.folder.iterdir())))
        source.mkdir()
        for name, text in texts.items():
            header = HEADERS[max((t for t in HEADERS if name.startswith(t)), key=len)]
            (source / f"{name}.csv").write_text(f"{header}\n{text}\n", encoding="utf-8")
        self.state = follow(self.state, source, mode, allow_empty=allow_empty)
        return self.on(TODAY)


@pytest.fixture
def loads(tmp_path: Path) -> Loads:
    """SNAPSHOT, loaded."""
    return Loads(tmp_path)


def totals(expected: DeltaExpected) -> dict[int, int]:
    """Return total_experiments by user."""
    return {user_id: user["total_experiments"] for user_id, user in expected.users.items()}


def rows_in_force(loads: Loads, table: str) -> list[tuple[str, int, str]]:
    """Return file, line and second column of the rows of a table."""
    assert loads.state
    column = oracle.COLUMNS[table][1]
    rows = loads.state.rows[table]
    return [(row.file_name, row.line, row.cells.get(column, "?")) for row in rows]


def test_rows_of_a_delta_are_new_or_take_the_place_of_others(loads: Loads) -> None:
    """And what it does not name stays."""
    found = loads.delta(
        users="2,Rob,b@b.org,2024-01-01\n3,Cyd,c@b.org,2024-01-01",
        user_experiments="2,3,1;2,5\n4,2,1,",
    )
    assert found.users == {
        1: {
            "user_name": "Ann",
            "total_experiments": 1,
            "average_experiment_run_time": 10.0,
            "average_compounds_per_experiment": 1.0,
            "most_common_compound_id": 1,
            "most_common_compound_name": "Water",
            "most_common_compound_experiments": 1,
            "most_common_compound_ids": [1],
        },
        2: {
            "user_name": "Rob",
            "total_experiments": 2,
            "average_experiment_run_time": 30.0,
            "average_compounds_per_experiment": 1.0,
            "most_common_compound_id": 1,
            "most_common_compound_name": "Water",
            "most_common_compound_experiments": 1,
            "most_common_compound_ids": [1, 2],
        },
        3: {
            "user_name": "Cyd",
            "total_experiments": 1,
            "average_experiment_run_time": 5.0,
            "average_compounds_per_experiment": 2.0,
            "most_common_compound_id": 1,
            "most_common_compound_name": "Water",
            "most_common_compound_experiments": 1,
            "most_common_compound_ids": [1, 2],
        },
    }
    assert found.compounds == {
        1: {"compound_name": "Water", "total_experiments": 3, "total_users": 3},
        2: {"compound_name": "Methane", "total_experiments": 2, "total_users": 2},
    }
    assert found.average_experiments_per_user == 4 / 3
    assert rows_in_force(loads, "user_experiments") == [
        ("1/user_experiments.csv", 2, "1"),
        ("1/user_experiments.csv", 4, "2"),
        ("2/user_experiments.csv", 2, "3"),
        ("2/user_experiments.csv", 3, "2"),
    ]
    assert not found.issues


def test_a_snapshot_replaces_everything(loads: Loads) -> None:
    """What deltas brought is gone, and what they deleted is back."""
    before = loads.on(TODAY)
    loads.delta(users="3,Cyd,c@b.org,2024-01-01\nx,,,", deleted_compounds="2")
    found = loads.snapshot()
    assert (found.users, found.compounds, found.issues) == (before.users, before.compounds, set())
    assert found.healed == 0


def test_all_rows_of_an_id_come_from_the_latest_drop_that_has_it(loads: Loads) -> None:
    """Repeats included: those of a drop replace those of another, or vanish with them."""
    found = loads.delta(user_experiments="1,1,1,1\n1,2,1,2\n+1,2,1,3")
    assert totals(found) == {1: 2, 2: 1}
    assert found.open_issues == {
        ("user_experiments", 1, "experiment_id_repeated", "experiment_id", "1"): 1,
        ("user_experiments", 1, "experiment_id_repeated", "experiment_id", "+1"): 1,
    }
    found = loads.delta(user_experiments="1,2,1,1\n2,2,1,1\n2,1,1,1\n2,1,1,1")
    assert totals(found) == {1: 0, 2: 3}
    assert found.lasting_issues == {
        ("user_experiments", 2, "experiment_id_repeated", "experiment_id", "2"): 2
    }
    assert totals(loads.delta(user_experiments="2,1,1,1")) == {1: 1, 2: 2}
    assert not loads.on(TODAY).issues


@pytest.mark.parametrize(
    ("row", "rule", "column", "value"),
    [
        pytest.param("002,x,2,20", "user_id_invalid", "user_id", "x", id="bad_cell"),
        pytest.param("2,,2,20", "user_id_missing", "user_id", None, id="empty_cell"),
        pytest.param("2,9,2,20", "user_id_unknown", "user_id", "9", id="unknown_user"),
        pytest.param(
            "2,1,1;x,20", "experiment_compound_ids_invalid", "experiment_compound_ids", "1;x",
            id="bad_item",
        ),
    ],
)  # fmt: skip
def test_a_quarantined_row_takes_the_place_of_a_valid_one(
    loads: Loads, row: str, rule: str, column: str, value: str | None
) -> None:
    """An id is readable, whatever else is wrong; and a valid row takes the place back."""
    found = loads.delta(user_experiments=row)
    assert totals(found) == {1: 1, 2: 1}
    assert found.lasting_issues == {("user_experiments", 2, rule, column, value): 1}
    assert found.rejected == {("user_experiments", "2/user_experiments.csv", 2)}
    found = loads.delta(user_experiments="2,1,2,20")
    assert totals(found) == {1: 2, 2: 1}
    assert (found.issues, found.healed) == (set(), 0)


def test_a_nul_byte_leaves_an_id_readable(loads: Loads) -> None:
    """It is shown as U+FFFD."""
    found = loads.delta(users="1,Ann,a\0@b.org,2024-01-01\n2,,b@b.org\0 x,2024-01-01")
    assert found.users == {}
    assert found.lasting_issues == {
        ("users", 1, "nul_byte", None, None): 1,
        ("users", 2, "nul_byte", None, None): 1,
        ("users", 2, "name_missing", "name", None): 1,
        ("users", 2, "email_invalid", "email", "b@b.org\ufffd x"): 1,
        ("user_experiments", 1, "user_id_unknown", "user_id", "1"): 1,
        ("user_experiments", 2, "user_id_unknown", "user_id", "1"): 1,
        ("user_experiments", 3, "user_id_unknown", "user_id", "2"): 1,
    }


@pytest.mark.parametrize(
    ("row", "rule", "column", "value"),
    [
        pytest.param("2,Bob,b@b.org", "too_few_fields", None, None, id="too_few_fields"),
        pytest.param("2,Bob,b@b.org,,", "too_many_fields", None, None, id="too_many_fields"),
        pytest.param('2,"B"ob,b@b.org,', "malformed_quotes", None, None, id="malformed_quotes"),
        pytest.param(",Bob,b@b.org,2024-01-01", "user_id_missing", "user_id", None, id="missing"),
        pytest.param("x,Bob,b@b.org,2024-01-01", "user_id_invalid", "user_id", "x", id="invalid"),
        pytest.param("0,Bob,b@b.org,2024-01-01", "user_id_invalid", "user_id", "0", id="zero"),
        pytest.param("-2,Bob,b@b.org,2024-01-01", "user_id_invalid", "user_id", "-2", id="negative"),
    ],
)  # fmt: skip
def test_a_row_without_a_readable_id_has_no_identity(
    loads: Loads, row: str, rule: str, column: str | None, value: str | None
) -> None:
    """It replaces nothing, and its issues hold until the next load, of whichever table."""
    found = loads.delta(users=row)
    assert totals(found) == {1: 2, 2: 1}
    assert found.open_issues == {("users", None, rule, column, value): 1}
    assert not found.lasting_issues
    assert len(found.rejected) == 1
    found = loads.delta(compounds="3,Argon,Ar")
    assert (found.issues, found.rejected) == (set(), set())


def test_rows_without_a_readable_id_go_with_a_snapshot_too(loads: Loads) -> None:
    """Those of a snapshot hold until the next delta."""
    assert len(loads.snapshot(users=f"{SNAPSHOT['users']}\nx,Cyd,c@b.org,2024-01-01").issues) == 1
    assert not loads.delta(compounds="3,Argon,Ar").issues


def test_seen_before_applies_within_a_drop(loads: Loads) -> None:
    """A faulty row is seen, too, and so is one without a readable id; other drops are not."""
    found = loads.delta(
        users="1,,a@b.org,2024-01-01\n1,Ann,a@b.org,2024-01-01\n-7,,a@b.org,2024-01-01"
    )
    assert found.users.keys() == {2}
    assert found.issues == {
        ("users", "2/users.csv", 2, "name_missing"),
        ("users", "2/users.csv", 3, "user_id_repeated"),
        ("users", "2/users.csv", 4, "user_id_invalid"),
        ("users", "2/users.csv", 4, "name_missing"),
        ("user_experiments", "1/user_experiments.csv", 2, "user_id_unknown"),
        ("user_experiments", "1/user_experiments.csv", 3, "user_id_unknown"),
    }
    found = loads.delta(users="1,Ann,a@b.org,2024-01-01\n-7,Cyd,a@b.org,2024-01-01")
    assert found.issues == {("users", "3/users.csv", 3, "user_id_invalid")}


def test_a_quarantined_experiment_counts_once_its_user_arrives(loads: Loads) -> None:
    """It is carried on and judged again in every run."""
    found = loads.delta(user_experiments="4,3,1,40\n5,3,3,50")
    assert totals(found) == {1: 2, 2: 1}
    assert (len(found.rejected), found.healed) == (2, 0)
    found = loads.delta(users="3,Cyd,c@b.org,2024-01-01")
    assert totals(found) == {1: 2, 2: 1, 3: 1}
    assert (len(found.rejected), found.healed) == (1, 1)
    assert found.lasting_issues == {
        (
            "user_experiments", 5, "experiment_compound_ids_unknown",
            "experiment_compound_ids", "3",
        ): 1
    }  # fmt: skip
    found = loads.delta(compounds="3,Argon,Ar")
    assert found.users[3]["average_experiment_run_time"] == 45.0
    assert (found.rejected, found.healed) == (set(), 1)
    assert loads.delta(compounds="3,Argon,Ar").healed == 0


def test_only_rows_that_stay_themselves_heal(loads: Loads) -> None:
    """One that the delta brings anew is valid, but not healed."""
    loads.delta(user_experiments="4,3,1,40\n5,3,1,50")
    found = loads.delta(users="3,Cyd,c@b.org,2024-01-01", user_experiments="4,3,1,40")
    assert (found.users[3]["total_experiments"], found.healed) == (2, 1)


def test_a_signup_date_is_judged_by_the_day_of_the_run(loads: Loads) -> None:
    """Of a row of an earlier drop, too; a warning is no rejection, so nothing heals."""
    issue = ("users", 3, "signup_date_in_future", "signup_date", "2026-11-24")
    found = loads.delta(users="3,Cyd,c@b.org,2026-11-24")
    assert (found.lasting_issues, found.warnings) == ({issue: 1}, 1)
    loads.delta(compounds="3,Argon,Ar")
    assert loads.on(date(2026, 11, 23)).lasting_issues == {issue: 1}
    found = loads.on(date(2026, 11, 24))
    assert (found.lasting_issues, found.warnings, found.healed) == ({}, 0, 0)


def test_an_ambiguous_run_time_stays_as_its_file_had_it(loads: Loads) -> None:
    """Dialect and decimal mark belong to the file: the comma's row may go, others may come."""
    found = loads.delta(user_experiments='4,1,1,1.250\n5,1,1,"1,5"\n6,1,1,-1.250')
    ambiguous = Counter(
        {
            ("user_experiments", 4, "experiment_run_time_ambiguous", "experiment_run_time", "1.250"),
            ("user_experiments", 6, "experiment_run_time_ambiguous", "experiment_run_time", "-1.250"),
        }
    )  # fmt: skip
    invalid = ("user_experiments", 5, "experiment_run_time_invalid", "experiment_run_time", "1,5")
    assert found.lasting_issues == ambiguous + Counter([invalid])
    found = loads.delta(user_experiments="7,1,1,1.250", deleted_user_experiments="5")
    assert found.lasting_issues == ambiguous
    assert found.users[1]["total_experiments"] == 3


def test_deletions_take_rows_away(loads: Loads) -> None:
    """All rows of an id go, valid or not, and so do their issues."""
    loads.delta(user_experiments="1,1,1,1\n1,1,1,1\n4,x,1,1")
    found = loads.delta(deleted_user_experiments="+1\n004", deleted_users="2")
    assert totals(found) == {1: 1}
    assert found.lasting_issues == {("user_experiments", 3, "user_id_unknown", "user_id", "2"): 1}
    assert rows_in_force(loads, "user_experiments") == [
        ("1/user_experiments.csv", 3, "1"),
        ("1/user_experiments.csv", 4, "2"),
    ]
    assert totals(loads.delta(user_experiments="1,1,1,1")) == {1: 2}


def test_experiments_of_a_deleted_user_heal_when_it_returns(loads: Loads) -> None:
    """So do those of a deleted compound; meanwhile they are issues."""
    found = loads.delta(deleted_users="1", deleted_compounds="2")
    assert totals(found) == {2: 0}
    assert found.compounds.keys() == {1}
    assert found.lasting_issues == {
        ("user_experiments", 1, "user_id_unknown", "user_id", "1"): 1,
        ("user_experiments", 2, "user_id_unknown", "user_id", "1"): 1,
        (
            "user_experiments", 2, "experiment_compound_ids_unknown",
            "experiment_compound_ids", "2",
        ): 1,
        (
            "user_experiments", 3, "experiment_compound_ids_unknown",
            "experiment_compound_ids", "2",
        ): 1,
    }  # fmt: skip
    found = loads.delta(users="1,Eve,a@b.org,2024-01-01")
    assert (totals(found), found.healed) == ({1: 1, 2: 0}, 1)
    found = loads.delta(compounds="2,Methane,")
    assert (totals(found), found.healed) == ({1: 2, 2: 1}, 2)
    assert found.users[1]["user_name"] == "Eve"


def test_the_deletion_of_an_id_that_is_not_there_is_a_warning(loads: Loads) -> None:
    """Until the next load; a row that is quarantined is there, and one deleted before is not."""
    found = loads.delta(user_experiments="4,x,1,1\nx,1,1,1", deleted_user_experiments="1\n9")
    assert found.open_issues - found.lasting_issues == {
        ("user_experiments", None, "experiment_id_invalid", "experiment_id", "x"): 1,
        ("deleted_user_experiments", 9, "experiment_id_unknown", "experiment_id", "9"): 1,
    }
    assert ("deleted_user_experiments", "2/deleted_user_experiments.csv", 3) not in found.rejected
    assert (found.warnings, len(found.rejected)) == (1, 2)
    found = loads.delta(deleted_user_experiments="1\n4")
    assert found.open_issues == {
        ("deleted_user_experiments", 1, "experiment_id_unknown", "experiment_id", "1"): 1
    }
    assert not loads.delta(users="3,Cyd,c@b.org,2024-01-01").issues


def test_a_malformed_deletion_is_an_error_row(loads: Loads) -> None:
    """It is not carried on, and deletes nothing unless its id is readable, as one is twice."""
    found = loads.delta(deleted_users='""\nx\n0\n-1\n1.0\n1\n+1\n1\0\n"2" x\n2,2')
    assert found.open_issues == {
        ("deleted_users", None, "user_id_missing", "user_id", None): 1,
        ("deleted_users", None, "user_id_invalid", "user_id", "x"): 1,
        ("deleted_users", None, "user_id_invalid", "user_id", "0"): 1,
        ("deleted_users", None, "user_id_invalid", "user_id", "-1"): 1,
        ("deleted_users", None, "user_id_invalid", "user_id", "1.0"): 1,
        ("deleted_users", 1, "user_id_repeated", "user_id", "+1"): 1,
        ("deleted_users", None, "user_id_invalid", "user_id", "1\ufffd"): 1,
        ("deleted_users", None, "nul_byte", None, None): 1,
        ("deleted_users", None, "malformed_quotes", None, None): 1,
        ("deleted_users", None, "too_many_fields", None, None): 1,
        ("user_experiments", 1, "user_id_unknown", "user_id", "1"): 1,
        ("user_experiments", 2, "user_id_unknown", "user_id", "1"): 1,
    }
    assert found.users.keys() == {2}
    assert (len(found.rejected), found.warnings) == (9 + 2, 0)
    assert len(loads.delta(compounds="3,Argon,Ar").issues) == 2


def test_deletions_come_in_parts_and_any_dialect(loads: Loads) -> None:
    """Like a table: an id that an earlier part has is repeated, and a readable one is enough."""
    source = loads.folder / "delta"
    source.mkdir()
    (source / "Deleted_Users_1.csv").write_bytes(
        b'\xef\xbb\xbfsep=;\r\n\r\nNote;USER_ID\r\n"a;b"; 1 \r\0;2'
    )
    (source / "deleted_users_2.csv").write_bytes(b"user_id\n 01\t")
    assert loads.state
    found = compute(follow(loads.state, source, "delta", allow_empty=True), TODAY)
    assert not found.users
    assert (found.open_issues - found.lasting_issues) == {
        ("deleted_users", 2, "nul_byte", None, None): 1,
        ("deleted_users", 1, "user_id_repeated", "user_id", "01"): 1,
    }


def test_a_file_without_rows_changes_nothing(loads: Loads) -> None:
    """But that issues of rows without a readable id are closed."""
    loads.delta(users="x,Cyd,c@b.org,2024-01-01")
    found = loads.delta(users="", deleted_compounds="")
    assert (totals(found), found.issues) == ({1: 2, 2: 1}, set())


def test_allow_empty_is_judged_on_the_resulting_state(loads: Loads) -> None:
    """A delta may have no rows of a table; if nothing of it is left, that must be allowed."""
    assert totals(loads.delta(deleted_users="1")) == {2: 0 + 1}
    with pytest.raises(oracle.RefusedError, match="no rows"):
        loads.delta(deleted_users="2")
    with pytest.raises(oracle.RefusedError, match="no rows"):
        loads.snapshot(users="")
    found = loads.delta(deleted_users="2", allow_empty=True)
    assert (found.users, found.average_experiments_per_user) == ({}, None)
    with pytest.raises(oracle.RefusedError, match="no rows"):
        loads.delta(compounds="3,Argon,Ar")


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        pytest.param({}, "without any file", id="no_file"),
        pytest.param({"users": "1,Eve,,", "deleted_users": "1"}, "both", id="both"),
        pytest.param({"users": "+1,,,\n1,A,,", "deleted_users": "x\n01"}, "both", id="both_faulty"),
        pytest.param({"users": '1,"Eve,,'}, "quote", id="unreadable_table"),
        pytest.param({"deleted_users": '"1'}, "quote", id="unreadable_deletions"),
        pytest.param({"deleted_users": "", "deleted_users_2": '"\n1"'}, "swallowed", id="swallowed"),
        pytest.param({"deleted_users": "1", "deleted_users_2": "1"}, "twice", id="twice"),
    ],
)  # fmt: skip
def test_refusals(loads: Loads, texts: dict[str, str], message: str) -> None:
    """A delta that contradicts itself, or of which a file cannot be read."""
    with pytest.raises(oracle.RefusedError, match=message):
        loads.delta(**texts)


def test_lost_parts_refuse_a_delta(loads: Loads) -> None:
    """Of a table, and of its deletions."""
    for name in ("users.xlsx", "deleted_users.csv.part"):
        source = loads.folder / name
        source.mkdir()
        (source / name).touch()
        with pytest.raises(oracle.RefusedError, match="may be a part"):
            follow(loads.state, source, "delta")


def test_a_delta_needs_a_snapshot_below_it(tmp_path: Path) -> None:
    """Of the first load, nothing can have changed."""
    (tmp_path / "users.csv").write_text(f"{HEADERS['users']}\n")
    with pytest.raises(oracle.RefusedError, match="needs a loaded snapshot"):
        follow(None, tmp_path, "delta", allow_empty=True)


def test_a_snapshot_has_no_deletions(loads: Loads) -> None:
    """It is a delta whose manifest was forgotten, even if the file has no rows."""
    with pytest.raises(oracle.RefusedError, match="no place in a snapshot"):
        loads.snapshot(deleted_users="")


def faulty_users(count: int) -> str:
    """Return so many users that are rejected, from 100 on."""
    return "\n".join(f"{number},,a@b.org,2024-01-01" for number in range(100, 100 + count))


def test_ten_rejected_rows_of_a_table_never_reject_a_delta(loads: Loads) -> None:
    """Eleven do, of whichever table; a snapshot is rejected by a single one."""
    assert not loads.delta(users=faulty_users(10)).is_rejected(0)
    found = loads.delta(users=faulty_users(11))
    assert found.judged["users"] == (11, 11)
    assert [found.is_rejected(limit) for limit in (0, 99, 100)] == [True, True, False]
    assert loads.snapshot(users="1,,a@b.org,2024-01-01").is_rejected(99)
    assert not loads.snapshot().is_rejected(0)


def test_rejected_rows_of_a_delta_are_judged_by_its_own_rows(loads: Loads) -> None:
    """Not by those that are carried on, however many of these are rejected."""
    valid = "\n".join(f"{number},Eve,a@b.org,2024-01-01" for number in range(200, 211))
    found = loads.delta(users=f"{faulty_users(11)}\n{valid}")
    assert (found.judged["users"], found.is_rejected(50), found.is_rejected(49)) == (
        (11, 22), False, True,
    )  # fmt: skip
    found = loads.delta(users="3,Cyd,a@b.org,2024-01-01")
    assert (found.judged["users"], found.is_rejected(0)) == ((0, 1), False)
    assert len(found.rejected) == 11


def test_deletions_are_among_the_rows_of_their_table(loads: Loads) -> None:
    """A malformed one is rejected; one of an id that is not there is not."""
    found = loads.delta(users=faulty_users(6), deleted_users="x\n0\n-1\n-2\n-3\n8\n9")
    assert found.judged == {
        "users": (11, 13),
        "compounds": (0, 0),
        "user_experiments": (0, 0),
    }
    assert found.is_rejected(84)
    assert not found.is_rejected(85)


def test_unknown_references_do_not_reject_a_delta(loads: Loads) -> None:
    """Their users may come tomorrow; together with another fault, the row counts."""
    unknown = "\n".join(f"{number},9,9,1" for number in range(10, 30))
    found = loads.delta(user_experiments=unknown)
    assert (found.judged["user_experiments"], len(found.rejected)) == ((0, 20), 20)
    found = loads.delta(user_experiments=unknown.replace(",1\n", ",-1\n"))
    assert found.judged["user_experiments"] == (19, 20)
    assert loads.snapshot(user_experiments=unknown).judged["user_experiments"] == (20, 20)


def follow_all(sequence: list[Step], folder: Path) -> Iterator[State]:
    """Yield the state after each drop that is not refused."""
    state = None
    for number, step in enumerate(sequence):
        source = step.drop.write(folder / str(number))
        with suppress(oracle.RefusedError):
            state = follow(state, source, step.mode, allow_empty=True)
            yield state


def define_rows(drops: list[State], table: str) -> list[oracle.Row]:
    """Return the rows in force after a snapshot and its deltas, found id by id."""
    brought = [find_ids(table, drop.own[table]) for drop in drops]
    deleted = [find_ids(table, drop.own.get(f"deleted_{table}", [])) for drop in drops]
    rows = [row for row in drops[-1].own[table] if not find_ids(table, [row])]
    for row_id in set().union(*brought):
        latest = max(number for number, ids in enumerate(brought) if row_id in ids)
        if row_id not in set().union(*deleted[latest:]):
            rows += [row for row in drops[latest].own[table] if row_id in find_ids(table, [row])]
    return rows


def test_any_sequence_is_what_its_definition_says() -> None:
    """And among those drawn there are the kinds of drops and rows that matter."""
    seen: set[str] = set()

    @settings(max_examples=40, deadline=None, derandomize=True, database=None)
    @given(sequence=sequences(refused=True))
    def check(sequence: list[Step]) -> None:
        drops: list[State] = []
        with TemporaryDirectory() as folder:
            for state in follow_all(sequence, Path(folder)):
                drops = [*drops, state] if state.mode == "delta" else [state]
                for table in KEYS:
                    expected = define_rows(drops, table)
                    assert sorted(map(repr, state.rows[table])) == sorted(map(repr, expected))
                found = compute(state, TODAY)
                seen.update([state.mode, "healed" if found.healed else ""])
                for name, _, rule, *_ in found.open_issues:
                    kind = rule.rpartition("_")[2]
                    seen.add(kind if name in KEYS else f"deleted {kind}")

    check()
    kinds = {"deleted unknown", "deleted invalid", "deleted repeated", "unknown", "future"}
    assert {"snapshot", "delta", "healed", *kinds} <= seen
