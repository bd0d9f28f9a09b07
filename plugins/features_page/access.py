"""Who may look at the page, and who may trigger the DAG: Airflow's auth manager decides."""

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

DAG_ID = "experiment_features"

GUARDS = [
    Depends(requires_access_view(AccessView.PLUGINS)),
    Depends(requires_access_dag("GET", param_dag_id=DAG_ID)),
]
"""Airflow mounts an app of a plugin without any: 401 to who is not logged in, 403 to who may not
see the DAG."""


def may_trigger(user: GetUserDep) -> bool:
    """Whether the user may start a run, as Airflow's own API asks it."""
    is_authorized: bool = get_auth_manager().is_authorized_dag(
        method="POST",
        access_entity=DagAccessEntity.RUN,
        details=DagDetails(id=DAG_ID, team_name=DagModel.get_team_name(DAG_ID)),
        user=user,
    )
    return is_authorized
