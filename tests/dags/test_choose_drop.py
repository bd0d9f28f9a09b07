"""Which drop a run is about."""

import os
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG
from airflow.utils.types import DagRunType

from experiment_features.config import SAMPLE_DROP, Settings
from experiment_features.drop.arrival import MARKER
from experiment_features.errors import ConfigurationError, NothingToDo
from experiment_features.load.ledger import FailedDrop, Snapshot
from features_airflow.choose_drop import choose_drop
from features_airflow.schedule import DROPS

RUN_ID = "this_run"


class Ledger:
    """What the source of a run asks the pipeline; tests/integration has it answer from PostgreSQL."""

    last: str | None = None
    earlier: str | None = None
    failed: FailedDrop | None = None
    snapshot: Snapshot | None = None
    asked: Sequence[str] = ()

    def __init__(self, folder: Path) -> None:
        self.settings = Settings(str(folder), (str(folder),), watched_folders=(str(folder),))

    @property
    def known_drops(self) -> "Ledger":
        """Itself."""
        return self

    def last_source(self) -> str | None:
        """The source of the last load."""
        return self.last

    loaded_source = last_source

    def find_earlier_load(self, _source: Path) -> str | None:
        """The run that loaded the drop before the last load."""
        return self.earlier

    def find_failed(self, sources: Sequence[str]) -> FailedDrop | None:
        """The first of some drops that did not load."""
        self.asked = sources
        return self.failed

    def find_snapshot(self) -> Snapshot | None:
        """The snapshot in force."""
        return self.snapshot


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """A ledger that remembers no run."""
    return Ledger(tmp_path)


@pytest.fixture
def context(dag: DAG) -> dict[str, Any]:
    """The context of a task without a source."""
    run = SimpleNamespace(
        run_id=RUN_ID,
        run_type=DagRunType.MANUAL,
        run_after=datetime(2026, 11, 22, 2, tzinfo=UTC),
        conf={},
    )
    return {
        "dag": dag,
        "dag_run": run,
        "ti": SimpleNamespace(try_number=1),
        "params": {"source": ""},
        "triggering_asset_events": {},
        "asset_state_store": {DROPS: States()},
    }


class States(dict[str, Any]):
    """Stands for the state store of an asset."""

    set = dict.__setitem__


def bring(folder: Path) -> str:
    """A complete drop."""
    folder.mkdir(parents=True)
    (folder / MARKER).touch()
    return str(folder)


def age(source: str, hours: int) -> None:
    """Dates the marker of a drop back."""
    written = time.time() - hours * 60 * 60
    os.utime(Path(source) / MARKER, (written, written))


def announce(context: dict[str, Any], *sources: str, stamp: str | None = "1") -> None:
    """Makes the run one that the events of these drops have started."""
    context["dag_run"].run_type = DagRunType.ASSET_TRIGGERED
    drops = [{"source": source} | ({"stamp": stamp} if stamp else {}) for source in sources]
    events = [
        SimpleNamespace(timestamp=number, extra={"from_trigger": True, "payload": drop})
        for number, drop in enumerate(drops)
    ]
    context["triggering_asset_events"] = {DROPS: events[::-1]}


RUN_TYPES = [
    DagRunType.MANUAL,
    DagRunType.SCHEDULED,
    DagRunType.ASSET_TRIGGERED,
    DagRunType.BACKFILL_JOB,
]


@pytest.mark.parametrize("run_type", RUN_TYPES)
def test_a_source_that_is_given_is_taken(
    run_type: DagRunType, context: dict[str, Any], ledger: Ledger, tmp_path: Path
) -> None:
    """Whatever arrived or was loaded last."""
    ledger.last = "/elsewhere"
    context["dag_run"].run_type = run_type
    context["params"]["source"] = bring(tmp_path / "given")
    assert str(choose_drop(context, ledger)) == context["params"]["source"]


@pytest.mark.parametrize("source", ["", None])
@pytest.mark.parametrize("run_type", [DagRunType.MANUAL, DagRunType.SCHEDULED])
def test_without_a_source_the_last_drop_is_taken(
    run_type: DagRunType, source: Any, context: dict[str, Any], ledger: Ledger, tmp_path: Path
) -> None:
    """The sample drop must not replace a real one; it is for a database without a load."""
    context["dag_run"].run_type = run_type
    context["params"]["source"] = source
    ledger.settings = replace(ledger.settings, source_roots=(str(tmp_path), str(SAMPLE_DROP)))
    assert str(choose_drop(context, ledger)) == str(SAMPLE_DROP)
    ledger.last = bring(tmp_path / "2026-11-21")
    assert str(choose_drop(context, ledger)) == ledger.last


@pytest.mark.parametrize(
    ("last", "reason"),
    [("gone", "no longer exists"), ("/elsewhere", "lies outside the folders")],
)
def test_a_last_drop_that_is_gone_or_not_allowed(
    last: str, reason: str, context: dict[str, Any], ledger: Ledger, tmp_path: Path
) -> None:
    """The daily run does not fail because of it; a run that a user requested does."""
    ledger.last = str(tmp_path / last)
    context["dag_run"].run_type = DagRunType.SCHEDULED
    with pytest.raises(NothingToDo, match=reason):
        choose_drop(context, ledger)
    context["dag_run"].run_type = DagRunType.MANUAL
    if last == "gone":  # extract refuses it
        assert str(choose_drop(context, ledger)) == ledger.last
    else:
        with pytest.raises(ConfigurationError, match=reason):
            choose_drop(context, ledger)


def test_unknown_parameters_are_named(context: dict[str, Any], ledger: Ledger) -> None:
    """Airflow lets them pass, and a misspelt limit must not go unnoticed."""
    context["dag_run"].conf = {"source": "/drops", "max_rejected": 5}
    with pytest.raises(
        ConfigurationError, match=r"unknown parameter max_rejected: expected source"
    ):
        choose_drop(context, ledger)


def test_an_arrival_takes_the_first_drop_and_says_so(
    context: dict[str, Any], ledger: Ledger, tmp_path: Path
) -> None:
    """Those behind it stay open for runs of their own."""
    drops = [bring(tmp_path / name) for name in ("1", "2")]
    announce(context, *drops)
    assert str(choose_drop(context, ledger)) == drops[0]
    states = context["asset_state_store"][DROPS]
    assert states == {drops[0]: {"stamp": "1", "run_id": RUN_ID}}


def test_drops_are_taken_in_the_order_of_their_paths(
    context: dict[str, Any], ledger: Ledger, tmp_path: Path
) -> None:
    """Also one that arrived after the event, and was not announced itself; not one from before."""
    old = bring(tmp_path / "0")
    age(old, hours=1)
    announced = [bring(tmp_path / name) for name in ("4", "3")]
    later = [bring(tmp_path / name) for name in ("1", "5")]
    announce(context, *announced)
    states = context["asset_state_store"][DROPS]
    taken = []
    for number in range(3):
        context["dag_run"].run_id = f"run {number}"
        taken.append(str(choose_drop(context, ledger)))
    assert taken == [later[0], announced[1], announced[0]]
    context["dag_run"].run_id = "one more"
    with pytest.raises(NothingToDo, match="another run has taken it"):
        choose_drop(context, ledger)
    assert not {old, later[1]} & set(states)


def test_a_drop_that_is_withdrawn_is_not_taken(
    context: dict[str, Any], ledger: Ledger, tmp_path: Path
) -> None:
    """Its marker was removed between the event and the run: without it, a delta says nothing."""
    first, second = (bring(tmp_path / name) for name in ("1", "2"))
    announce(context, first, second)
    (Path(first) / MARKER).unlink()
    assert str(choose_drop(context, ledger)) == second
    (Path(second) / MARKER).unlink()
    announce(context, second)
    with pytest.raises(NothingToDo, match="its marker has been removed since"):
        choose_drop(context, ledger)


def test_a_repeated_run_takes_the_same_drop(
    context: dict[str, Any], ledger: Ledger, tmp_path: Path
) -> None:
    """One that is tried again, or cleared, does not go on to another, whatever arrived meanwhile."""
    drops = [bring(tmp_path / name) for name in ("2", "3")]
    announce(context, *drops)
    assert str(choose_drop(context, ledger)) == drops[0]
    context["ti"].try_number = 2
    bring(tmp_path / "1")
    assert str(choose_drop(context, ledger)) == drops[0]
    (Path(drops[0]) / MARKER).unlink()
    assert str(choose_drop(context, ledger)) == drops[0]


def test_a_repeated_run_takes_the_drop_that_was_not_announced(
    context: dict[str, Any], ledger: Ledger, tmp_path: Path
) -> None:
    """Also if the one that was announced has been announced anew."""
    announced, earlier = (bring(tmp_path / name) for name in ("2", "1"))
    announce(context, announced)
    assert str(choose_drop(context, ledger)) == earlier
    age(earlier, hours=1)
    context["asset_state_store"][DROPS][earlier]["stamp"] = "that of the old marker"
    context["ti"].try_number = 2
    assert str(choose_drop(context, ledger)) == earlier


def test_a_snapshot_passes_deltas_that_have_to_wait(
    context: dict[str, Any], ledger: Ledger, tmp_path: Path
) -> None:
    """Also those that were never announced: they are later, and then say so."""
    snapshot, delta = (bring(tmp_path / name) for name in ("2", "1"))
    (Path(delta) / MARKER).write_text('{"mode": "delta"}')
    ledger.failed = FailedDrop(str(tmp_path / "0"), "run_of_0", "refused")
    announce(context, snapshot)
    assert str(choose_drop(context, ledger)) == snapshot
    assert delta not in context["asset_state_store"][DROPS]


def test_a_drop_that_another_run_has_taken_is_not_taken_twice(
    context: dict[str, Any], ledger: Ledger, tmp_path: Path
) -> None:
    """A restart of the triggerer may announce it again; written again it counts again."""
    source = bring(tmp_path / "1")
    announce(context, source)
    states = context["asset_state_store"][DROPS]
    states[source] = {"stamp": "1", "run_id": "another_run"}
    with pytest.raises(NothingToDo, match="another run has taken it"):
        choose_drop(context, ledger)
    announce(context, source, stamp="2")
    assert str(choose_drop(context, ledger)) == source


def test_a_marker_of_a_drop_loaded_before_starts_no_second_load(
    context: dict[str, Any], ledger: Ledger, tmp_path: Path
) -> None:
    """Going back to an older drop is a decision: the message says how."""
    announce(context, bring(tmp_path / "1"))
    ledger.earlier = "an_older_run"
    with pytest.raises(NothingToDo, match=r"by run an_older_run.*trigger a run with this"):
        choose_drop(context, ledger)


def test_an_event_posted_by_hand_names_its_drop(
    context: dict[str, Any], ledger: Ledger, tmp_path: Path
) -> None:
    """Over REST or the UI: the extra is the payload itself, and there is no marker to note."""
    source = bring(tmp_path / "1")
    event = partial(SimpleNamespace, timestamp=1)
    announce(context)
    context["triggering_asset_events"][DROPS] = [event(extra={"source": source})]
    assert str(choose_drop(context, ledger)) == source
    assert context["asset_state_store"][DROPS] == {}
    odd = [{"source": source, "stamp": "1"} for source in (5, "", "a\0", "\ud800", "a" * 5000)]
    for extra in ({}, {"payload": 5}, {"payload": None}, *odd):
        context["triggering_asset_events"][DROPS] = [event(extra=extra)]
        with pytest.raises(ConfigurationError, match="laboratory_drops names no drop"):
            choose_drop(context, ledger)


def test_an_announced_drop_must_lie_in_a_source_root(
    context: dict[str, Any], ledger: Ledger
) -> None:
    """Watching a folder does not allow to read it."""
    announce(context, "/etc", stamp=None)
    with pytest.raises(ConfigurationError, match="outside"):
        choose_drop(context, ledger)


def test_a_backfill_takes_the_drop_of_its_day(
    context: dict[str, Any], ledger: Ledger, tmp_path: Path
) -> None:
    """The folder named after it; a day without one is an error."""
    context["dag_run"].run_type = DagRunType.BACKFILL_JOB
    with pytest.raises(ConfigurationError, match="found no complete drop of 2026-11-22"):
        choose_drop(context, ledger)
    source = bring(tmp_path / "2026-11-22")
    assert str(choose_drop(context, ledger)) == source


def test_a_backfill_passes_over_no_drop_of_its_day(
    context: dict[str, Any], ledger: Ledger, tmp_path: Path
) -> None:
    """Of two of the same day, it takes neither, and names both."""
    context["dag_run"].run_type = DagRunType.BACKFILL_JOB
    first, second = (bring(tmp_path / place / "2026-11-22") for place in ("north", "south"))
    with pytest.raises(ConfigurationError, match=f"{first} and {second} are both complete drops"):
        choose_drop(context, ledger)
    (Path(first) / MARKER).unlink()
    assert str(choose_drop(context, ledger)) == second


def test_a_delta_waits_for_a_drop_before_it(
    context: dict[str, Any], ledger: Ledger, tmp_path: Path
) -> None:
    """It is taken once that drop has been mended; a snapshot never waits."""
    monday, tuesday, later = (bring(tmp_path / day) for day in ("1_monday", "2_tuesday", "3"))
    (Path(tuesday) / MARKER).write_text('{"mode": "delta"}')
    age(monday, hours=2)
    age(tuesday, hours=1)
    ledger.failed = FailedDrop(monday, "run_of_monday", "refused")
    announce(context, tuesday)
    with pytest.raises(
        NothingToDo, match=r"waits, because .*monday, which comes before it, was refused"
    ):
        choose_drop(context, ledger)  # type: ignore[arg-type]
    assert ledger.asked == [monday]
    context["params"]["source"] = tuesday  # a run that names its source does not wait
    assert str(choose_drop(context, ledger)) == tuesday
    context["params"]["source"] = ""
    states = context["asset_state_store"][DROPS]
    assert states[tuesday] == {"stamp": "1", "run_id": RUN_ID, "is_waiting": True}
    ledger.failed = None
    context["dag_run"].run_id = "next_run"
    assert str(choose_drop(context, ledger)) == tuesday  # type: ignore[arg-type]
    assert states[tuesday] == {"stamp": "1", "run_id": "next_run"}
    ledger.failed = FailedDrop(monday, "run_of_monday", "refused")
    announce(context, later)
    assert str(choose_drop(context, ledger)) == later  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("snapshot", "later", "is_loaded"),
    [
        ("1_monday", timedelta(minutes=1), True),
        ("3_wednesday", timedelta(minutes=1), False),
        ("3_wednesday", -timedelta(minutes=1), True),
        ("without_marker", timedelta(minutes=1), False),
        ("/elsewhere", timedelta(minutes=1), True),
    ],
)
@pytest.mark.parametrize("taken", [{}, {"stamp": "1", "run_id": "it waited", "is_waiting": True}])
def test_a_delta_older_than_the_snapshot_in_force(
    taken: dict[str, Any],
    snapshot: str,
    later: timedelta,
    is_loaded: bool,
    context: dict[str, Any],
    ledger: Ledger,
    tmp_path: Path,
) -> None:
    """It is not loaded on top of one that comes after it, unless it arrived only afterwards.

    No matter if it had been announced before that was loaded, or if its run is repeated.
    """
    _, tuesday, _ = (bring(tmp_path / day) for day in ("1_monday", "2_tuesday", "3_wednesday"))
    (Path(tuesday) / MARKER).write_text('{"mode": "delta"}')
    announce(context, tuesday)
    states = context["asset_state_store"][DROPS]
    states[tuesday] = taken
    ledger.snapshot = Snapshot(str(tmp_path / snapshot), datetime.now(UTC) + later)
    for _ in range(2):
        if is_loaded:
            assert str(choose_drop(context, ledger)) == tuesday  # type: ignore[arg-type]
        else:
            with pytest.raises(NothingToDo, match=rf"{snapshot}, which comes after the delta"):
                choose_drop(context, ledger)  # type: ignore[arg-type]
        assert states[tuesday] == {"stamp": "1", "run_id": RUN_ID}


def test_no_delta_waits_for_a_drop_without_a_marker(
    context: dict[str, Any], ledger: Ledger, tmp_path: Path
) -> None:
    """Taking its marker away gives up on a drop."""
    drops = [bring(tmp_path / day) for day in ("1_monday", "2_tuesday", "3_wednesday")]
    (Path(drops[2]) / MARKER).write_text('{"mode": "delta"}')
    (Path(drops[0]) / MARKER).unlink()
    announce(context, drops[2])
    assert str(choose_drop(context, ledger)) == drops[2]
    assert ledger.asked == [drops[1]]


@pytest.mark.parametrize(
    ("last", "is_taken"),
    [
        (None, False),
        ("2026-11-18", False),
        ("2026-11-20", True),
        ("2026-11-22", True),
        ("2026-11-23", False),
        ("elsewhere", False),
    ],
)
def test_a_backfill_of_deltas_begins_with_a_snapshot(
    last: str | None, is_taken: bool, context: dict[str, Any], ledger: Ledger, tmp_path: Path
) -> None:
    """Each delta needs the drop of the day before it as the last load, or names its base."""
    context["dag_run"].run_type = DagRunType.BACKFILL_JOB
    names = ("2026-11-18", "2026-11-20", "2026-11-21b", "2026-11-22", "2026-11-23")
    source = {name: bring(tmp_path / name) for name in names}["2026-11-22"]
    ledger.last = str(tmp_path / last) if last else None
    marker = Path(source) / MARKER
    assert str(choose_drop(context, ledger)) == source  # a snapshot
    marker.write_text('{"mode": "delta"}')
    if is_taken:
        assert str(choose_drop(context, ledger)) == source
    else:
        with pytest.raises(ConfigurationError, match=r"2026-11-20\): begin the backfill with the"):
            choose_drop(context, ledger)
    marker.write_text('{"mode": "delta", "base": "a_run"}')
    assert str(choose_drop(context, ledger)) == source


def test_the_first_drop_of_all_is_no_delta(
    context: dict[str, Any], ledger: Ledger, tmp_path: Path
) -> None:
    """There is nothing before it."""
    context["dag_run"].run_type = DagRunType.BACKFILL_JOB
    (Path(bring(tmp_path / "2026-11-22")) / MARKER).write_text('{"mode": "delta"}')
    ledger.last = "/elsewhere"
    with pytest.raises(ConfigurationError, match=r"the drop before it \(there is none\)"):
        choose_drop(context, ledger)
