"""Chooses the drop of a run: the one it was given, or the next one due.

| run | drop |
|---|---|
| with a `source` | that one |
| of an arrival | the first announced one that no other run has taken |
| of a backfill | the one in the folder named after the run's day, such as 2026-11-22 |
| any other | that of the last load; before the first load, the sample drop |
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from airflow.sdk import Context

from experiment_features.config import SAMPLE_DROP
from experiment_features.drop.allowed_source import is_absent, resolve_source
from experiment_features.drop.arrival import find_ready_drops, names_source, state_key
from experiment_features.drop.files import find_delta
from experiment_features.drop.local_path import LocalPath
from experiment_features.drop.object_storage import AnyPath
from experiment_features.errors import ConfigurationError, NothingToDo
from experiment_features.load.ledger import FailedDrop
from experiment_features.pipeline import Pipeline
from features_airflow.object_storage import open_filesystem
from features_airflow.schedule import DROPS

_DAY = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}")


def choose_drop(context: Context, pipeline: Pipeline) -> AnyPath:
    """Returns the folder of the run's drop.

    Raises:
        NothingToDo: the drop has been taken, has to wait, or is older than the snapshot in force;
            or that of the daily run is gone.
        ConfigurationError: the folder is outside the allowed roots, or the run has a parameter
            that does not exist, which Airflow itself accepts.
    """
    conf = context["dag_run"].conf or {}
    unknown = sorted(set(conf) - set(context["dag"].params))
    if unknown:
        raise ConfigurationError(
            f"unknown parameter {', '.join(unknown)}: expected {', '.join(context['dag'].params)}"
        )
    run_type = str(context["dag_run"].run_type.value)
    source = context["params"]["source"] or _FINDERS.get(run_type, _last_drop)(context, pipeline)
    resolved = resolve_source(source, pipeline.settings.source_roots, open_filesystem)
    known = pipeline.known_drops
    if run_type == "asset_triggered" and (run_id := known.find_earlier_load(resolved)):
        raise NothingToDo(
            f"the drop {source} was loaded by run {run_id}, and another drop since then: nothing "
            "to do. To go back to it, trigger a run with this source"
        )
    return resolved


def _announced_drop(context: Context, pipeline: Pipeline) -> str:
    """Takes the first complete drop that was announced, and that no other run has taken.

    Or one before it, in the order of their paths, whose marker was written since; but always the
    one that an earlier try of the run has taken. The ones behind it are announced again, each to a
    run of its own: see ReadyMarkerTrigger. A delta waits for the drops before it: without them, it
    would be built on something else. Once a snapshot behind it has been loaded, which has newer
    rows, it is not loaded at all.
    """
    events = context["triggering_asset_events"].get(DROPS, [])
    events = sorted(events, key=lambda event: event.timestamp)  # Airflow keeps no order
    announced = [event.extra.get("payload", event.extra) for event in events]
    if not announced or not all(names_source(drop) for drop in announced):
        raise ConfigurationError(
            f"an event of the asset {DROPS.name} names no drop: expected "
            '{"source": "/path/of/the/drop"} as its extra'
        )
    by_hand = [drop for drop in announced if "stamp" not in drop]  # there is no marker
    if by_hand:
        return str(by_hand[0]["source"])
    states, run_id = context["asset_state_store"][DROPS], context["dag_run"].run_id
    stamps = {str(drop["source"]): drop["stamp"] for drop in announced}
    ready = _find_stamps(pipeline)
    candidates = _in_order(stamps, ready)
    if context["ti"].try_number > 1:
        candidates = _taken_by(run_id, states, {**ready, **stamps}) or candidates
    for source, stamp in candidates.items():
        key = state_key(source)
        taken = states.get(key) or {}
        is_mine = taken.get("run_id") == run_id  # this run itself, repeated
        is_waiting = taken.get("is_waiting") and (is_mine or source in stamps)
        is_open = taken.get("stamp") != stamp or is_waiting
        if not (is_open or is_mine):
            continue
        snapshot = _find_snapshot_behind(source, pipeline)
        failed = _find_failed_before(source, pipeline) if is_open and not snapshot else None
        if (snapshot or failed) and not (is_mine or source in stamps):
            continue  # it will be announced, and then says so
        note = {"stamp": stamp, "run_id": run_id}
        states.set(key, note | ({"is_waiting": True} if failed else {}))
        if snapshot:
            raise NothingToDo(
                f"the snapshot {snapshot}, which comes after the delta {source}, was loaded after "
                "the delta's marker was written: nothing to do. To load the delta on top of the "
                "snapshot, trigger a run with this source"
            )
        if failed:
            raise NothingToDo(
                f"the delta {source} waits, because {failed.source}, which comes before it, "
                f"{'is' if failed.status == 'running' else 'was'} {failed.status} (run "
                f"{failed.run_id}): mend that drop and write its marker again, remove its marker, "
                "or load a snapshot"
            )
        return source
    raise NothingToDo(
        f"the drop {announced[0]['source']} was announced, but its marker has been removed since, "
        "another run has taken it, or it is in no watched folder: nothing to do"
    )


def _in_order(announced: Mapping[str, str], ready: Mapping[str, str]) -> dict[str, str]:
    """The stamps of announced drops with a marker, and of those before them that arrived later."""
    complete = [source for source in ready if source in announced]
    if not complete:
        return {}
    first = min(int(ready[source]) for source in complete)
    return {
        source: announced.get(source, stamp)
        for source, stamp in ready.items()
        if source in announced or (source < complete[-1] and int(stamp) >= first)
    }


def _taken_by(run_id: str, states: Any, stamps: Mapping[str, str]) -> dict[str, str]:
    """The drop that an earlier try of a run has taken, with the stamp that it noted."""
    for source in stamps:
        taken = states.get(state_key(source)) or {}
        if taken.get("run_id") == run_id:
            return {source: taken["stamp"]}
    return {}


def _find_failed_before(source: str, pipeline: Pipeline) -> FailedDrop | None:
    """The first drop before a delta, in the order of their paths, that did not load."""
    if not find_delta(LocalPath(Path(source))):
        return None
    before = [ready for ready in _find_stamps(pipeline) if ready < source]
    return pipeline.known_drops.find_failed(before)


def _find_snapshot_behind(source: str, pipeline: Pipeline) -> str | None:
    """The snapshot in force, if a delta that comes before it was ready when it was loaded."""
    stamps = _find_stamps(pipeline)
    if source not in stamps or not find_delta(LocalPath(Path(source))):
        return None
    snapshot = pipeline.known_drops.find_snapshot()
    if snapshot is None or snapshot.source <= source:
        return None
    folders = [Path(folder).resolve() for folder in pipeline.settings.watched_folders]
    if not any(Path(snapshot.source).is_relative_to(folder) for folder in folders):
        return None  # the order of paths says nothing
    was_ready = int(stamps[source]) < snapshot.loaded_at.timestamp() * 10**9
    return snapshot.source if was_ready else None


def _find_stamps(pipeline: Pipeline) -> dict[str, str]:
    """The stamps of the complete drops, in the order of their paths."""
    settings = pipeline.settings
    ready = find_ready_drops(settings.watched_folders, settings.keep_days)
    return {drop.source: drop.stamp for drop in ready}


def _last_drop(_context: Context, pipeline: Pipeline) -> str:
    """The drop of the last load, whose files may have changed since; at first, the sample drop."""
    return pipeline.known_drops.last_source() or str(SAMPLE_DROP)


def _daily_drop(context: Context, pipeline: Pipeline) -> str:
    """The same, unless it is gone or no longer allowed: the run would otherwise fail every day."""
    source = _last_drop(context, pipeline)
    try:
        resolve_source(source, pipeline.settings.source_roots, open_filesystem)
    except ConfigurationError as error:
        raise NothingToDo(
            f"the last drop cannot be used, so there is nothing to do: {error}"
        ) from error
    if is_absent(source, open_filesystem):
        raise NothingToDo(f"the last drop, {source}, no longer exists, so there is nothing to do")
    return source


def _drop_of_day(context: Context, pipeline: Pipeline) -> str:
    """The complete drop in the folder named after the day of the backfill's run."""
    folders = pipeline.settings.watched_folders
    day = f"{context['dag_run'].run_after:%Y-%m-%d}"
    ready = find_ready_drops(folders, keep_days=36_500)
    of_days: dict[str, list[str]] = {}
    for drop in ready:
        of_days.setdefault(Path(drop.source).name, []).append(drop.source)
    if day in of_days:
        source, *others = of_days[day]
        if others:
            raise ConfigurationError(
                f"{source} and {others[0]} are both complete drops of {day}, and a run takes only "
                "one: remove the marker of the other"
            )
        _refuse_gap(day, of_days, pipeline)
        return source
    raise ConfigurationError(
        f"found no complete drop of {day}: expected a folder {day} with a marker _READY in "
        f"{', '.join(folders) or 'a watched folder'}"
    )


def _refuse_gap(day: str, of_days: Mapping[str, Sequence[str]], pipeline: Pipeline) -> None:
    """Refuses a delta of a backfill unless the drop of the day before it is the last load.

    A base in its manifest says more, and extract looks at it.
    """
    (source,) = of_days[day]
    delta = find_delta(LocalPath(Path(source)))
    if delta is None or delta.base:
        return
    earlier = [name for name in of_days if _DAY.fullmatch(name) and name < day]
    before = of_days[max(earlier)] if earlier else []
    loaded = pipeline.known_drops.loaded_source()
    if loaded is None or loaded not in (*before, source):
        raise ConfigurationError(
            f"the drop of {day} is a delta, and the last load ({loaded or 'there is none'}) is not "
            f"the drop before it ({', '.join(before) or 'there is none'}): begin the backfill with "
            "the day of a snapshot, and run its days one by one (max_active_runs 1), the earliest "
            "first"
        )


_FINDERS = {
    "asset_triggered": _announced_drop,
    "scheduled": _daily_drop,
    "backfill": _drop_of_day,
}
