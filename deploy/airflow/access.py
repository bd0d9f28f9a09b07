"""Creates the roles and the two accounts of the stack, or updates them to what is defined here.

Accounts made in the UI are left alone, and so are permissions that were added to the roles there.
"""

from pathlib import Path
from typing import Any

from airflow.providers.fab.auth_manager.cli_commands.utils import get_application_builder
from werkzeug.security import check_password_hash

from features_airflow import DAG_ID, RAW_ROWS

SECRETS = Path("/run/secrets")

ROLES: dict[str, list[tuple[str, str]]] = {
    # Airflow's own read-only role may also see the features page.
    "Viewer": [("can_read", "Plugins")],
    # Airflow lets only those trigger a run who may edit the DAG, which means: pause it.
    "Operator": [("can_read", "Plugins"), ("can_edit", "DAGs"), ("can_create", "DAG Runs")],
    "Trigger": [
        ("can_read", f"DAG:{DAG_ID}"),
        ("can_edit", f"DAG:{DAG_ID}"),
        ("can_create", f"DAG Run:{DAG_ID}"),
        # For this DAG alone: they count only where the DAG itself may be read.
        ("can_read", "DAG Runs"),
        ("can_read", "Task Instances"),
        ("can_read", "Task Logs"),
        ("can_read", "XComs"),
    ],
}
"""Each role's permissions, on top of those that Airflow gives it; see docs/security.md."""

USERS = {"admin": "Admin", "api": "Trigger"}
"""The role of each account; the secret <name>_password is its password."""


def main() -> None:
    """Creates the roles, then the accounts, which need them."""
    with get_application_builder() as builder:
        manager = builder.sm
        manager.create_permission("can_read", RAW_ROWS)  # so that it can be given to roles
        manager.sync_roles()
        for name, permissions in ROLES.items():
            role = manager.add_role(name)
            wanted = list(permissions)
            if name == "Operator":
                viewer = manager.find_role("Viewer")
                wanted += [(p.action.name, p.resource.name) for p in viewer.permissions]
            for action, resource in wanted:
                permission = manager.create_permission(action, resource)
                manager.add_permission_to_role(role, permission)
        for name, role in USERS.items():
            give_account(manager, name, role, (SECRETS / f"{name}_password").read_text().strip())


def give_account(manager: Any, name: str, role: str, password: str) -> None:
    """Creates the account, or sets its current password."""
    user = manager.find_user(username=name)
    if user is None:
        user = manager.add_user(
            username=name,
            first_name=name,
            last_name="",
            email=f"{name}@localhost",
            role=manager.find_role(role),
            password=password,
        )
        if not user:
            raise SystemExit(f"cannot create the account {name}; the lines above say why")
    elif not check_password_hash(user.password, password):
        manager.reset_password(user.id, password)


if __name__ == "__main__":
    main()
