"""What Airflow knows of drops: which were announced, and with which parameters a run loads one."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

from airflow.models.asset import AssetEvent, AssetModel
from airflow.models.asset_state_store import AssetStateStoreModel
from airflow.models.serialized_dag import SerializedDagModel
from airflow.utils.session import create_session
from fastapi import Depends
from sqlalchemy import or_, select

from experiment_features.drop.arrival import names_source, state_key
from experiment_features.report.drops import Arrival
from features_airflow import DAG_ID, DROPS_ASSET
from features_page.access import may_trigger

EVENTS = 100
"""How many of the newest events are looked at. A drop that no run takes is announced again and
again, and the ones behind it only after it."""


def find_arrivals() -> list[Arrival]:
    """The drops that were announced lately, or wait for another: see ReadyMarkerTrigger."""
    event, noted = AssetEvent, AssetStateStoreModel
    with create_session(scoped=False) as session:
        asset_id = session.scalar(select(AssetModel.id).where(AssetModel.name == DROPS_ASSET))
        newest = select(event.extra, event.timestamp).where(event.asset_id == asset_id)
        events = session.execute(newest.order_by(event.timestamp.desc()).limit(EVENTS)).all()
        announced: dict[str, tuple[Any, datetime]] = {}
        for extra, at in events:
            drop = extra.get("payload", extra)
            if names_source(drop):
                announced.setdefault(drop["source"], (drop.get("stamp"), at))
        keys = [state_key(source) for source in announced]
        of_drops = select(noted.key, noted.value, noted.updated_at).where(
            noted.asset_id == asset_id,
            or_(noted.key.in_(keys), noted.value.contains('"is_waiting"')),
        )
        found = [(key, json.loads(value), at) for key, value, at in session.execute(of_drops)]
        states = {key: (state, at) for key, state, at in found if isinstance(state, dict)}
        is_any_waiting = any("is_waiting" in state for state, _ in states.values())
        every_key = select(noted.key).where(noted.asset_id == asset_id).order_by(noted.key)
        taken = list(session.scalars(every_key)) if is_any_waiting else []
    arrivals = []
    for source, (stamp, at) in announced.items():
        state, _ = states.pop(state_key(source), ({}, None))
        arrivals.append(_arrival(source, at, stamp, state, taken))
    for key, (state, at) in states.items():
        if key.startswith("/"):  # otherwise, it is the hash of a path
            arrivals.append(_arrival(key, at, state.get("stamp"), state, taken))
    return arrivals


def _arrival(
    source: str, at: datetime, stamp: Any, state: dict[str, Any], taken: Sequence[str]
) -> Arrival:
    shown = source[:500]  # as in the ledger's other queries
    if stamp is None:
        return Arrival(shown, at, "unknown")
    if state.get("stamp") != stamp:
        return Arrival(shown, at, "new")
    if not state.get("is_waiting"):
        return Arrival(shown, at, "taken", state.get("run_id"))
    behind = tuple(key for key in taken if key.startswith("/") and key < source)
    return Arrival(shown, at, "waiting", state.get("run_id"), behind)


def find_parameters(
    may_trigger_runs: Annotated[bool, Depends(may_trigger)],
) -> dict[str, dict[str, Any]]:
    """The DAG's parameters, each with value, description and schema, for those who may trigger."""
    dag = SerializedDagModel.get_dag(DAG_ID) if may_trigger_runs else None
    return {name: param.dump() for name, param in dag.params.items()} if dag else {}
