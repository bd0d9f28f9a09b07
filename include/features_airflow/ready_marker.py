"""The trigger that announces complete drops to Airflow."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from airflow.sdk.exceptions import AirflowRuntimeError
from airflow.triggers.base import BaseEventTrigger, TriggerEvent

from experiment_features.drop.arrival import ReadyDrop, find_ready_drops, state_key
from experiment_features.drop.files import find_delta
from experiment_features.drop.local_path import LocalPath

FIRST_REMINDER_SECONDS = 60
"""Then twice as long each time."""


class ReadyMarkerTrigger(BaseEventTrigger):
    """Announces the drops that have a marker: one at a time, in the order of their paths.

    It announces a drop only once a run has taken the one before: Airflow makes a single run of
    several events, and passes on only the first of those that come while a run is going on. Runs
    note what they have taken in the state store of the watched asset, so a restart of the triggerer
    neither loses nor repeats a drop. Nothing on the disk is touched.

    Args:
        folders: where drops arrive, there or up to three levels below.
        keep_days: older markers are ignored.
        poll_seconds: how long to wait between two looks.
        remind_seconds: when to announce a drop again that waits; one that no run has taken is
            announced again sooner at first, because its event may have been lost, as it was when
            another came before it, or while the DAG was paused.
    """

    def __init__(
        self,
        folders: Sequence[str],
        keep_days: int,
        poll_seconds: float = 2,
        remind_seconds: float = 600,
    ) -> None:
        super().__init__()
        self.folders = list(folders)
        self.keep_days = keep_days
        self.poll_seconds = poll_seconds
        self.remind_seconds = remind_seconds
        self._taken: set[ReadyDrop] = set()
        self._behind: set[ReadyDrop] = set()
        """Deltas behind a drop that waits."""

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """The path of the class and its arguments, from which the triggerer makes a new one."""
        names = ("folders", "keep_days", "poll_seconds", "remind_seconds")
        return f"{__name__}.{type(self).__name__}", {name: getattr(self, name) for name in names}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yields an event for each drop; never ends."""
        announced, remind_at, pause = None, 0.0, 0.0
        while True:
            drop, is_waiting = None, False
            try:
                drop, is_waiting = await self._find_next()
            except (AirflowRuntimeError, OSError) as error:
                self.log.warning("cannot look for drops, and will try again: %s", error)
            if drop and (drop != announced or time.monotonic() >= remind_at):
                pause = 2 * pause if drop == announced else FIRST_REMINDER_SECONDS
                pause = self.remind_seconds if is_waiting else min(pause, self.remind_seconds)
                announced, remind_at = drop, time.monotonic() + pause
                yield TriggerEvent({"source": drop.source, "stamp": drop.stamp})
            await asyncio.sleep(self.poll_seconds)

    async def _find_next(self) -> tuple[ReadyDrop | None, bool]:
        """The first drop that no run has taken; else the first that waits, and that it does.

        Deltas behind a drop that waits wait with it.
        """
        ready = await asyncio.to_thread(find_ready_drops, self.folders, self.keep_days)
        self._taken.intersection_update(ready)
        self._behind.intersection_update(ready)
        waiting = None
        for drop in ready:
            if drop not in self._taken and not (waiting and drop in self._behind):
                taken = await self._read_state(drop)
                if taken.get("stamp") != drop.stamp:
                    if waiting is None or not await asyncio.to_thread(_is_delta, drop):
                        return drop, False
                    self._behind.add(drop)
                elif taken.get("is_waiting"):
                    waiting = waiting or drop
                else:
                    self._taken.add(drop)
        return waiting, waiting is not None

    async def _read_state(self, drop: ReadyDrop) -> Mapping[str, Any]:
        """What a run noted that last took a drop from the folder: see choose_drop."""
        if self.asset_state_store is None:  # no asset watches with this trigger
            return {}
        taken: Any = await self.asset_state_store.aget(state_key(drop.source))
        return taken or {}


def _is_delta(drop: ReadyDrop) -> bool:
    return find_delta(LocalPath(Path(drop.source))) is not None
