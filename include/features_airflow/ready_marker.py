"""The trigger that tells Airflow of complete drops.

It lies here because the triggerer, which runs it, finds modules in plugins/ but not in dags/.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

from airflow.sdk.exceptions import AirflowRuntimeError
from airflow.triggers.base import BaseEventTrigger, TriggerEvent

from experiment_features.drop.arrival import ReadyDrop, find_ready_drops, state_key


class ReadyMarkerTrigger(BaseEventTrigger):
    """Announces the drops whose marker is there: one at a time, in the order of their paths.

    It waits with the next drop until a run has taken the one before, because Airflow makes one run
    of several events, and of those that come while a run goes on it hands on only the first. What
    was taken, the runs write into the state store of the watched asset, so a restart of the
    triggerer neither loses nor doubles a drop. Nothing on the disk is touched.

    Args:
        folders: where drops arrive, there and below.
        keep_days: markers older than this are not looked at.
        poll_seconds: the time between two looks.
        remind_seconds: after how long a drop that no run has taken is announced again: its event
            may have been lost, as in the moments in which the DAG was paused.
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

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """The class and its arguments, from which the triggerer makes it anew."""
        names = ("folders", "keep_days", "poll_seconds", "remind_seconds")
        return f"{__name__}.{type(self).__name__}", {name: getattr(self, name) for name in names}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yields an event for each drop, for ever."""
        announced, remind_at = None, 0.0
        while True:
            try:
                drop = await self._find_next()
            except (AirflowRuntimeError, OSError) as error:
                self.log.warning("cannot look for drops, and will try again: %s", error)
                drop = None
            if drop and (drop != announced or time.monotonic() >= remind_at):
                announced, remind_at = drop, time.monotonic() + self.remind_seconds
                yield TriggerEvent({"source": drop.source, "stamp": drop.stamp})
            await asyncio.sleep(self.poll_seconds)

    async def _find_next(self) -> ReadyDrop | None:
        """The first drop that no run has taken."""
        ready = await asyncio.to_thread(find_ready_drops, self.folders, self.keep_days)
        self._taken.intersection_update(ready)
        for drop in ready:
            if drop not in self._taken:
                if await self._read_stamp(drop) != drop.stamp:
                    return drop
                self._taken.add(drop)
        return None

    async def _read_stamp(self, drop: ReadyDrop) -> Any:
        """When the marker was written that a run took last from the drop's folder."""
        if self.asset_state_store is None:  # no asset watches with this trigger
            return None
        taken: Any = await self.asset_state_store.aget(state_key(drop.source))
        return taken and taken["stamp"]
