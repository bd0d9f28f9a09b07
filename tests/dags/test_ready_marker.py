"""The trigger: one drop at a time, none lost, none twice."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
from airflow.sdk.execution_time.comms import ErrorResponse
from airflow.triggers.base import TriggerEvent

from experiment_features.drop.arrival import MARKER
from features_airflow.ready_marker import ReadyMarkerTrigger


class Store(dict[str, Any]):
    """Stands for the state store of the watched asset, which only Airflow's triggerer gives."""

    is_away = False

    async def aget(self, key: str) -> Any:
        """The value of a key, unless the API server is away."""
        if self.is_away:
            raise AirflowRuntimeError(ErrorResponse(error=ErrorType.GENERIC_ERROR))
        return self.get(key)

    def take(self, event: TriggerEvent) -> None:
        """What a run does with the drop of an event."""
        self[event.payload["source"]] = {"stamp": event.payload["stamp"], "run_id": "any"}


@pytest.fixture
def store() -> Store:
    """Nothing is taken yet."""
    return Store()


def start(folder: Path, store: Store, remind_seconds: float = 600) -> AsyncIterator[TriggerEvent]:
    """The trigger as the triggerer makes it: from what it was serialized to."""
    declared = ReadyMarkerTrigger([str(folder)], 90, 0.01, remind_seconds)
    _, arguments = declared.serialize()
    trigger = ReadyMarkerTrigger(**arguments)
    trigger.asset_state_store = store
    return trigger.run()


def bring(folder: Path) -> str:
    """A complete drop."""
    folder.mkdir(exist_ok=True)
    (folder / MARKER).touch()
    return str(folder)


async def following(events: AsyncIterator[TriggerEvent]) -> TriggerEvent:
    """The next event, which must come soon."""
    return await asyncio.wait_for(anext(events), timeout=20)


async def silence(events: AsyncIterator[TriggerEvent]) -> None:
    """No event for some twenty looks; the trigger cannot be used afterwards."""
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(anext(events), timeout=0.2)


def test_the_next_drop_waits_until_the_one_before_is_taken(tmp_path: Path, store: Store) -> None:
    """Airflow makes one run of several events, so there must not be several."""

    async def scenario() -> None:
        brought = [bring(tmp_path / name) for name in ("1", "2", "3")]
        events = start(tmp_path, store)
        for source in brought:
            event = await following(events)
            assert event.payload["source"] == source
            store.take(event)
        await silence(events)

    asyncio.run(scenario())


def test_a_drop_that_is_not_taken_is_announced_once(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until it is time to remind of it, more and more seldom."""

    async def scenario() -> None:
        bring(tmp_path / "1")
        bring(tmp_path / "2")
        events = start(tmp_path, store)
        await following(events)
        await silence(events)
        events = start(tmp_path, store, remind_seconds=0)
        assert (await following(events)).payload == (await following(events)).payload
        monkeypatch.setattr("features_airflow.ready_marker.FIRST_REMINDER_SECONDS", 0.02)
        events = start(tmp_path, store)  # as late as 600 seconds only after some reminders
        for _ in range(3):
            assert (await following(events)).payload["source"] == str(tmp_path / "1")

    asyncio.run(scenario())


def test_a_restart_announces_what_is_not_taken(tmp_path: Path, store: Store) -> None:
    """And nothing else: what was taken is in the store, not in the triggerer's memory."""

    async def scenario() -> None:
        bring(tmp_path / "1")
        pending = bring(tmp_path / "2")
        store.take(await following(start(tmp_path, store)))
        assert (await following(start(tmp_path, store))).payload["source"] == pending

    asyncio.run(scenario())


def test_a_marker_written_again_is_announced_again(tmp_path: Path, store: Store) -> None:
    """Somebody says that the drop is complete: the run finds out whether it is a new one."""

    async def scenario() -> None:
        source = bring(tmp_path / "1")
        events = start(tmp_path, store)
        first = await following(events)
        store.take(first)
        (tmp_path / "1" / MARKER).unlink()
        bring(tmp_path / "1")
        second = await following(events)
        assert second.payload["source"] == source
        assert second.payload["stamp"] != first.payload["stamp"]

    asyncio.run(scenario())


def test_without_an_asset_no_drop_is_taken(tmp_path: Path) -> None:
    """Airflow gives the trigger a state store only if an asset watches with it."""
    source = bring(tmp_path)

    async def first() -> TriggerEvent:
        trigger = ReadyMarkerTrigger([str(tmp_path)], 90, 0.01)
        return await anext(trigger.run())

    assert asyncio.run(first()).payload["source"] == source


def test_nothing_on_the_disk_is_touched(tmp_path: Path, store: Store) -> None:
    """The files belong to those who brought them."""

    async def scenario() -> None:
        source = Path(bring(tmp_path / "1"))
        before = {path: path.stat().st_mtime_ns for path in source.rglob("*")}
        store.take(await following(start(tmp_path, store)))
        assert {path: path.stat().st_mtime_ns for path in source.rglob("*")} == before

    asyncio.run(scenario())


def test_a_store_that_is_away_is_asked_again(tmp_path: Path, store: Store) -> None:
    """The API server may restart while the trigger runs."""

    async def scenario() -> None:
        source = bring(tmp_path / "1")
        store.is_away = True
        events = start(tmp_path, store)
        pending = asyncio.ensure_future(anext(events))
        await asyncio.wait([pending], timeout=0.1)
        assert not pending.done()
        store.is_away = False
        assert (await asyncio.wait_for(pending, timeout=20)).payload["source"] == source

    asyncio.run(scenario())


def test_a_trigger_stored_by_an_earlier_version_is_found() -> None:
    """By the path of then; what is stored from now on has the new one."""
    stored = resolve_name("ready_marker.ReadyMarkerTrigger")
    assert stored is ReadyMarkerTrigger
    path, _ = stored(["/drops"], 90).serialize()
    assert path == "features_airflow.ready_marker.ReadyMarkerTrigger"
    assert resolve_name(path) is ReadyMarkerTrigger


def test_a_drop_that_waits_lets_snapshots_pass(tmp_path: Path, store: Store) -> None:
    """It is announced again after each of them, and deltas behind it only once it is taken."""

    async def scenario() -> None:
        waiting, delta, other = (bring(tmp_path / name) for name in ("a", "b", "c"))
        (Path(delta) / MARKER).write_text('{"mode": "delta"}')
        events = start(tmp_path, store)
        first = await following(events)
        assert first.payload["source"] == waiting
        stamp = first.payload["stamp"]
        store[waiting] = {"stamp": stamp, "run_id": "any", "is_waiting": True}
        second = await following(events)
        assert second.payload["source"] == other
        store.take(second)
        third = await following(events)
        assert third.payload["source"] == waiting
        store.take(third)
        assert (await following(events)).payload["source"] == delta

    asyncio.run(scenario())
