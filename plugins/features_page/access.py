"""Who may see the page, and who may trigger the DAG: Airflow's auth manager decides."""

import logging
from datetime import datetime
from typing import Annotated

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import (
    AccessView,
    DagAccessEntity,
    DagDetails,
)
from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager
from airflow.api_fastapi.core_api.security import (
    GetUserDep,
    bearer_scheme,
    get_user,
    requires_access_dag,
    requires_access_view,
)
from airflow.models.dag import DagModel
from airflow.utils.session import create_session
from fastapi import Depends, HTTPException, Request
from fastapi.security import HTTPAuthorizationCredentials
from sqlalchemy.exc import SQLAlchemyError

from features_airflow import DAG_ID as DAG_ID
from features_airflow import RAW_ROWS

log = logging.getLogger(__name__)


async def requires_login(
    request: Request,
    token: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer_scheme)],
) -> None:
    """Answers 401 for any invalid token.

    Airflow answers 403 to one that is not valid, for example because the secret has been changed.
    It would look as if the user were not allowed to see the page.
    """
    try:
        await get_user(request, bearer_credentials=token)
    except HTTPException as error:
        raise HTTPException(401) from error


GUARDS = [
    Depends(requires_login),
    Depends(requires_access_view(AccessView.PLUGINS)),
    Depends(requires_access_dag("GET", param_dag_id=DAG_ID)),
]
"""Airflow mounts a plugin's app without any guard. These answer 401 to a visitor who is not logged
in, and 403 to a user who may not see the DAG."""


def next_run_at() -> datetime | None:
    """When Airflow will start the next run by itself; None if it will not, or does not say."""
    try:
        with create_session(scoped=False) as session:
            dag = session.get(DagModel, DAG_ID)
            return dag.next_dagrun_create_after if dag and not dag.is_paused else None
    except SQLAlchemyError as error:
        log.warning("Airflow does not say when the next run is due: %s", error)
        return None


def may_trigger(user: GetUserDep) -> bool:
    """Whether the user may start a run, by the same question that Airflow's own API asks."""
    is_authorized: bool = get_auth_manager().is_authorized_dag(
        method="POST",
        access_entity=DagAccessEntity.RUN,
        details=DagDetails(id=DAG_ID, team_name=DagModel.get_team_name(DAG_ID)),
        user=user,
    )
    return is_authorized


def is_steward(user: GetUserDep) -> bool:
    """Whether the user may see raw rows and what may quote them.

    The simple auth manager does not know the resource, and would let every viewer read it.
    """
    manager = get_auth_manager()
    if isinstance(manager, SimpleAuthManager):
        return str(user.role).lower() == "admin"
    is_authorized: bool = manager.is_authorized_custom_view(
        method="GET", resource_name=RAW_ROWS, user=user
    )
    return is_authorized
