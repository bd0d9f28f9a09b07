"""Sequences of snapshots and deltas through the stages, on pandas and on DuckDB."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings

from delta_drops import Step, sequences
from delta_stages import check_sequence
from drops import CLEAN, Drop, Part, Row
from stages import ENGINES


@pytest.mark.timeout(900)  # on a machine that does much else
@pytest.mark.parametrize("engine", ENGINES)
def test_any_sequence_gives_what_its_resulting_snapshot_gives(engine: str) -> None:
    """Features, issues and figures after each load are the oracle's; refusals change nothing."""

    @given(sequence=sequences(refused=True))
    @settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
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
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("sequence", EDGES.values(), ids=EDGES)
def test_edges(sequence: list[Step], engine: str, tmp_path: Path) -> None:
    """What is rarely drawn is loaded, refused or rejected as the oracle says."""
    check_sequence(sequence, tmp_path, engine)
