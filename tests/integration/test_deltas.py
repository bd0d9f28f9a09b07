"""Sequences of snapshots and deltas through the stages, on pandas and on DuckDB."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings

from cases import cases, first_or_all
from delta_drops import Step, sequences
from delta_stages import InProcess, check_sequence
from drops import CLEAN, Drop, Part, Row
from experiment_features.config import Settings
from experiment_features.contract import DELETIONS, TABLES, position_of
from experiment_features.engines.choose import choose_engine
from experiment_features.errors import DropRefused
from experiment_features.rules.issues import describe_issues
from experiment_features.rules.rules import RULES
from experiment_features.store.layers import Layers
from experiment_features.workspace import Workspace
from stages import ENGINES, TODAY, rows_of


@pytest.mark.timeout(900)  # on a machine that does much else
@pytest.mark.parametrize("engine", ENGINES)
def test_any_sequence_gives_what_its_resulting_snapshot_gives(engine: str) -> None:
    """Features, issues and figures after each load are the oracle's; refusals change nothing."""

    @given(sequence=sequences(refused=True))
    @settings(max_examples=cases(10), deadline=None, suppress_health_check=[HealthCheck.too_slow])
    def check(sequence: list[Step]) -> None:
        with TemporaryDirectory() as folder:
            check_sequence(sequence, Path(folder), engine)

    check()


def step(
    mode: str, *, allow_empty: bool = False, limit: int = 100, **rows: Sequence[tuple[str, ...]]
) -> Step:
    """A drop with these rows of its tables, and how it is to be loaded."""
    parts = (Part(table, "", tuple(map(Row, cells))) for table, cells in rows.items())
    return Step(mode, Drop(tuple(parts)), 0, allow_empty, limit)


def delta(*, limit: int = 100, **rows: Sequence[tuple[str, ...]]) -> Step:
    """A delta with these rows."""
    return step("delta", limit=limit, **rows)


def snapshot(**rows: Sequence[tuple[str, ...]]) -> Step:
    """A snapshot with these rows, or clean ones."""
    return step("snapshot", allow_empty=True, **(CLEAN | rows))


FAULTY = [(str(number), "", "a@b.org", "2024-01-01") for number in range(10, 21)]
NEW = delta(compounds=[("4", "Argon", "Ar")])
FIRST_GOES = delta(deleted_users=[("1",)])
EDGES = {
    "no_snapshot_below": [NEW],
    "all_deleted": [snapshot(), delta(deleted_users=[("1",), ("2",), ("3",)])],
    "empty_below": [snapshot(users=[]), NEW],
    "no_readable_id_below": [snapshot(users=[("x", "Ann", "a@b.org", "2024-01-01")]), NEW],
    "malformed_deletions": [
        snapshot(),
        delta(deleted_users=[("0",), ("-1",), ("x",), ("",), ("9\0",), ("1",), ("+1",), ("9",)]),
    ],
    "no_rows": [snapshot(), delta(users=[])],
    "ten_rejected": [snapshot(), delta(users=FAULTY[:10], limit=0)],
    "eleven_rejected": [snapshot(), delta(users=FAULTY, limit=99)],
    "eleven_rejected_with_deletions": [
        snapshot(),
        delta(users=FAULTY[:5], deleted_users=[(f"-{number}",) for number in range(6)], limit=99),
    ],
    "the_same_again": [snapshot(), FIRST_GOES, FIRST_GOES],
    "an_earlier_one_again": [snapshot(), NEW, FIRST_GOES, NEW],
    "a_row_in_three_drops": [
        snapshot(),
        delta(user_experiments=[("1", "1", "1", "2")]),
        delta(user_experiments=[("1", "1", "3", "4")]),
    ],
    "a_compound_renamed": [snapshot(), delta(compounds=[("2", "Alcohol", "C2H6O")])],
    "a_compound_used_again": [
        snapshot(),
        delta(user_experiments=[("4", "1", "1", "2"), ("5", "3", "1", "")]),
    ],
    "a_signup_that_is_due": [
        snapshot(users=[("1", "Ann", "a@b.org", "2026-11-23")]),
        replace(NEW, days=1),
    ],
}


@pytest.mark.parametrize("engine", first_or_all("pandas", "duckdb"))
@pytest.mark.parametrize("sequence", EDGES.values(), ids=EDGES)
def test_edges(sequence: list[Step], engine: str, tmp_path: Path) -> None:
    """What is rarely drawn is loaded, refused or rejected as the oracle says."""
    check_sequence(sequence, tmp_path, engine)


def load(folder: Path, engine: str, brought: Drop) -> Workspace:
    """Loads a delta on a clean snapshot."""
    product = InProcess(folder, engine)
    for number, each in enumerate((snapshot(), Step("delta", brought, 0, True, 100))):
        workspace = product.load(each.drop.write(folder / f"{number}"), each, f"{number}", TODAY)
    return workspace


@pytest.mark.parametrize("engine", ENGINES)
def test_every_rule_of_deletions_has_a_bad_row(engine: str, tmp_path: Path) -> None:
    """They are shown like any other issue."""
    cells = [Row((cell,)) for cell in ("", "x", "9", "9", "8\0")]
    shapes = [Row(("1",), shape) for shape in ("too_many_fields", "malformed_quotes")]
    bad = (*cells, *shapes)
    deltas = Drop(tuple(Part(deletions.name, "", bad) for deletions in DELETIONS.values()))
    issues = rows_of(load(tmp_path, engine, deltas).issues)
    assert {(issue["table_name"], issue["rule"]) for issue in issues} == {
        (rule.table.name, rule.name)
        for rule in RULES
        if rule.table in DELETIONS.values() and rule.name != "too_few_fields"
    }


@pytest.mark.parametrize("engine", ENGINES)
def test_what_is_both_brought_and_deleted_is_named(engine: str, tmp_path: Path) -> None:
    """The message has both places."""
    users = [("7", "Cy", "a@b.c", "2024-01-01"), ("2", "Bo", "a@b.c", "2024-01-01")]
    parts = (
        Part("users", "", tuple(map(Row, users))),
        Part("deleted_users", "_1", (Row(("1",)), Row(("+2",)))),
    )
    places = r"user_id 2 \(users.csv:3\) and deletes it \(deleted_users_1.csv:3\)"
    with pytest.raises(DropRefused, match=places):
        load(tmp_path, engine, Drop(parts))


@pytest.mark.parametrize("engine", ENGINES)
def test_many_layers_that_are_not_compacted(engine: str, tmp_path: Path) -> None:
    """As a load is restored: no query grows with the number of layers."""
    loads = InProcess(tmp_path, engine)
    drops = [
        snapshot(),
        delta(users=[("2", "Bo", "", "2024-01-01")], user_experiments=[("4", "2", "1", "1")]),
        delta(deleted_users=[("1",)], user_experiments=[("1", "2", "1", "1")]),
    ]
    for number, drop in enumerate(drops):
        loads.load(drop.drop.write(tmp_path / f"drop{number}"), drop, str(number), TODAY)
    assert loads.last is not None
    first, *deltas = loads.last.layers
    layers = Layers([first, *(40 * deltas), *deltas[:1]], loads.store)
    opened = choose_engine(engine, 0, tmp_path / "spill")
    found = {}
    for table in TABLES:
        target = tmp_path / f"{table}.parquet"
        opened.write(layers.rows(table, opened), target)
        found[table.name] = sorted(row[table.key] for row in rows_of(target))
    assert found == {"users": [2, 3], "compounds": [1, 2, 3], "user_experiments": [1, 2, 3, 4]}


def test_issues_of_a_thousand_files(tmp_path: Path) -> None:
    """As of as many deltas that are computed as a whole: each file has a faulty row."""
    loads = InProcess(tmp_path, "duckdb")
    drops = [snapshot(), delta(users=[("2", "", "", "2024-01-01")])]
    for number, drop in enumerate(drops):
        workspace = loads.load(drop.drop.write(tmp_path / f"drop{number}"), drop, "1", TODAY)
    assert loads.last is not None
    first, faulty = loads.last.layers
    layers = Layers([first, *(1000 * [faulty])], loads.store)
    positions = [position_of(number, 2) for number in range(2, 1002)]
    faults = workspace.fresh_folder(tmp_path / "faults")
    (faults / "users").mkdir()
    found = pa.table({"position": positions, "name_missing": 1000 * [True]})
    pq.write_table(found, faults / "users" / "of_rows.parquet")
    describe_issues(workspace, faults, layers, Settings.memory_limit)
    issues = rows_of(workspace.issues)
    assert [(issue["row_id"], issue["line_number"]) for issue in issues] == 1000 * [(2, 2)]
