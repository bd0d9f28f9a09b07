"""Who may see the page, and who may trigger the DAG: Airflow's auth manager decides."""

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import (
    AccessView,
    DagAccessEntity,
    DagDetails,
)
from airflow.api_fastapi.core_api.security import (
    GetUserDep,
    requires_access_dag,
    requires_access_view,
)
from airflow.models.dag import DagModel
from fastapi import Depends

from features_airflow import DAG_ID as DAG_ID

GUARDS = [
    Depends(requires_access_view(AccessView.PLUGINS)),
    Depends(requires_access_dag("GET", param_dag_id=DAG_ID)),
]
"""Airflow mounts a plugin's app without any guard. These answer 401 to a visitor who is not logged
in, and 403 to a user who may not see the DAG."""


def may_trigger(user: GetUserDep) -> bool:
    """Whether the user may start a run, by the same question that Airflow's own API asks."""
    is_authorized: bool = get_auth_manager().is_authorized_dag(
        method="POST",
        access_entity=DagAccessEntity.RUN,
        details=DagDetails(id=DAG_ID, team_name=DagModel.get_team_name(DAG_ID)),
        user=user,
    )
    return is_authorized
