"""Which drop a run is about."""

from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowSkipException
from airflow.utils.types import DagRunType

from experiment_features.config import Settings
from experiment_features.drop.arrival import MARKER
from experiment_features.errors import ConfigurationError
from features_airflow.choose_drop import choose_drop
from features_airflow.schedule import DROPS

RUN_ID = "this_run"


class Ledger:
    """What the source of a run asks the pipeline; tests/integration has it answer from PostgreSQL."""

    last: str | None = None
    earlier: str | None = None

    def __init__(self, folder: Path) -> None:
        self.settings = Settings(str(folder), (str(folder),), watched_folders=(str(folder),))

    def last_source(self) -> str | None:
        """The source of the last load."""
        return self.last

    def find_earlier_load(self, _source: Path) -> str | None:
        """The run that loaded the drop before the last load."""
        return self.earlier


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """A ledger that remembers no run."""
    return Ledger(tmp_path)


@pytest.fixture
def context(dag: DAG, tmp_path: Path) -> dict[str, Any]:
    """The context of a task whose parameter names the drop `default`."""
    run = SimpleNamespace(
        run_id=RUN_ID,
        run_type=DagRunType.MANUAL,
        run_after=datetime(2026, 11, 22, 2, tzinfo=UTC),
        conf={},
    )
    return {
        "dag": dag,
        "dag_run": run,
        "params": {"source": bring(tmp_path / "default")},
        "triggering_asset_events": {},
        "asset_state_store": {DROPS: States()},
    }


class States(dict[str, Any]):
    """Stands for the state store of an asset."""

    set = dict.__setitem__


def bring(folder: Path) -> str:
    """A complete drop."""
    folder.mkdir()
    (folder / MARKER).touch()
    return str(folder)


def announce(context: dict[str, Any], *sources: str, stamp: str | None = "1") -> None:
    """Makes the run one that the events of these drops have started."""
    context["dag_run"].run_type = DagRunType.ASSET_TRIGGERED
    drops = [{"source": source} | ({"stamp": stamp} if stamp else {}) for source in sources]
    events = [
        SimpleNamespace(timestamp=number, extra={"from_trigger": True, "payload": drop})
        for number, drop in enumerate(drops)
    ]
    context["triggering_asset_events"] = {DROPS: events[::-1]}


def test_a_manual_run_takes_its_parameter(context: dict[str, Any], ledger: Ledger) -> None:
    """Whatever arrived or was loaded last."""
    ledger.last = "/elsewhere"
    assert str(choose_drop(context, ledger)) == context["params"]["source"]


def test_unknown_parameters_are_named(context: dict[str, Any], ledger: Ledger) -> None:
    """Airflow lets them pass, and a misspelt limit must not go unnoticed."""
    context["dag_run"].conf = {"source": "/drops", "max_rejected": 5}
    with pytest.raises(
        ConfigurationError, match=r"unknown parameter max_rejected: expected source"
    ):
        choose_drop(context, ledger)


def test_the_daily_run_looks_again_at_the_last_drop(
    context: dict[str, Any], ledger: Ledger, tmp_path: Path
) -> None:
    """It must not put the default, the sample, in the place of a real drop."""
    context["dag_run"].run_type = DagRunType.SCHEDULED
    assert choose_drop(context, ledger).name == "default"
    ledger.last = bring(tmp_path / "2026-11-21")
    assert str(choose_drop(context, ledger)) == ledger.last


def test_the_daily_run_has_nothing_to_do_when_the_last_drop_is_gone(
    context: dict[str, Any], ledger: Ledger, tmp_path: Path
) -> None:
    """Drops are moved away when they are loaded: that is no failure every night."""
    context["dag_run"].run_type = DagRunType.SCHEDULED
    ledger.last = str(tmp_path / "archived")
    with pytest.raises(AirflowSkipException, match=f"{ledger.last}, is no longer there"):
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


def test_a_repeated_run_takes_the_same_drop(
    context: dict[str, Any], ledger: Ledger, tmp_path: Path
) -> None:
    """A task that is tried again, or cleared, does not go on to the next drop."""
    drops = [bring(tmp_path / name) for name in ("1", "2")]
    announce(context, *drops)
    assert choose_drop(context, ledger) == choose_drop(context, ledger)


def test_a_drop_that_another_run_has_taken_is_not_taken_twice(
    context: dict[str, Any], ledger: Ledger, tmp_path: Path
) -> None:
    """A restart of the triggerer may announce it again; written again it counts again."""
    source = bring(tmp_path / "1")
    announce(context, source)
    states = context["asset_state_store"][DROPS]
    states[source] = {"stamp": "1", "run_id": "another_run"}
    with pytest.raises(AirflowSkipException, match="another run has taken it"):
        choose_drop(context, ledger)
    announce(context, source, stamp="2")
    assert str(choose_drop(context, ledger)) == source


def test_a_marker_of_a_drop_loaded_before_starts_no_second_load(
    context: dict[str, Any], ledger: Ledger, tmp_path: Path
) -> None:
    """Going back to an older drop is a decision: the message says how."""
    announce(context, bring(tmp_path / "1"))
    ledger.earlier = "an_older_run"
    with pytest.raises(AirflowSkipException, match=r"by run an_older_run.*trigger a run with this"):
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
    for extra in ({}, {"payload": 5}, {"payload": None}, {"source": 5}, {"source": ""}):
        context["triggering_asset_events"][DROPS] = [event(extra=extra)]
        with pytest.raises(ConfigurationError, match="laboratory_drops names no drop"):
            choose_drop(context, ledger)


def test_an_announced_drop_must_lie_in_a_source_root(
    context: dict[str, Any], ledger: Ledger
) -> None:
    """Watching a folder does not allow to read it."""
    announce(context, "/etc")
    with pytest.raises(ConfigurationError, match="outside"):
        choose_drop(context, ledger)


def test_a_backfill_takes_the_drop_of_its_day(
    context: dict[str, Any], ledger: Ledger, tmp_path: Path
) -> None:
    """The folder named by it; a day without one is said, and a source that is given goes first."""
    context["dag_run"].run_type = DagRunType.BACKFILL_JOB
    with pytest.raises(ConfigurationError, match="found no complete drop of 2026-11-22"):
        choose_drop(context, ledger)
    source = bring(tmp_path / "2026-11-22")
    assert str(choose_drop(context, ledger)) == source
    context["dag_run"].conf = {"source": context["params"]["source"]}
    assert choose_drop(context, ledger).name == "default"
