"""What became of each drop, from the ledger and what has arrived."""

from datetime import UTC, datetime, timedelta

from experiment_features.load.database import connect
from experiment_features.load.ledger import FailedDrop
from experiment_features.report.drops import Arrival, Drop, find_drops
from experiment_features.report.paging import reading
from integration.servers import Database

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
ENTER = """
insert into features.pipeline_runs (
    run_id, trigger, source, source_files, parameters, definition_version, status, mode,
    started_at, finished_at
)
values (%s, 'asset', %s, '[]', '{"mode": "delta"}', 1, %s, 'snapshot', %s, %s)
"""


def hour(number: int) -> datetime:
    """So many hours later."""
    return NOW + timedelta(hours=number)


def find(database: Database, *arrivals: Arrival) -> list[Drop]:
    """The drops, as a reader finds them."""
    with connect(database.url("analyst")) as connection, reading(connection):
        return find_drops(connection, arrivals)


def test_drops(database: Database) -> None:
    """Each drop is listed once: those that no run has taken, then the others by their last run."""
    runs = [
        ("one", "/d/1", "loaded"),
        ("two", "/d/2", "held"),
        ("three", "/d/1", "unchanged"),
        ("four", None, "skipped"),
        ("five", None, "refused"),  # before its source was entered
        ("six", "/d/6", "refused"),
        ("seven", "/d/7", "running"),
        ("eight", "/d/1", "skipped"),
        ("nine", None, "failed"),  # nobody knows its source
    ]
    for number, (run_id, source, status) in enumerate(runs):
        ended = None if status == "running" else hour(number)
        database.query(ENTER, run_id, source, status, hour(number), ended)
    database.query(ENTER, "ten", "/d/1", "held", hour(10), hour(10))
    database.query(
        'update features.pipeline_runs set parameters = \'{"restored_run": "one"}\' '
        "where run_id = 'ten'"
    )
    arrivals = [
        Arrival("/d/9", hour(8), "new"),
        Arrival("/d/3", hour(3), "waiting", "four", ("/d/1", "/d/2")),
        Arrival("/d/0", hour(3), "waiting", "four"),
        Arrival("/d/6", hour(9), "new"),  # mended, and announced again
        Arrival("/d/5", hour(4), "taken", "five"),
        Arrival("/d/7", hour(5), "unknown"),
        Arrival("/d/2", hour(5), "unknown"),
    ]
    assert find(database, *arrivals) == [
        Drop("/d/0", "waiting", hour(3), "four"),
        Drop("/d/2", "new", hour(5)),
        Drop("/d/3", "waiting", hour(3), "four", blocker=FailedDrop("/d/2", "two", "held")),
        Drop("/d/6", "new", hour(9)),
        Drop("/d/9", "new", hour(8)),
        Drop("/d/7", "running", hour(6), "seven", "delta"),
        Drop("/d/5", "refused", hour(4), "five", "delta"),
        Drop("/d/1", "unchanged", hour(2), "three", "delta"),
    ]


def test_the_same_drop_many_times(database: Database) -> None:
    """The daily runs of a drop take no room from others; of old runs, only the latest are read."""
    for number in range(3):
        database.query(ENTER, f"run {number}", "/d/1", "unchanged", hour(number), hour(number))
    assert find(database) == [Drop("/d/1", "unchanged", hour(2), "run 2", "delta")]
