"""Makes the roles and the two accounts of the stack, or brings them to what is written here.

Accounts that people make in the UI are left alone, and so are the permissions they add to roles.
"""

from pathlib import Path
from typing import Any

from airflow.providers.fab.auth_manager.cli_commands.utils import get_application_builder
from werkzeug.security import check_password_hash

SECRETS = Path("/run/secrets")
DAG = "experiment_features"

ROLES: dict[str, list[tuple[str, str]]] = {
    # Airflow's own role for those who look may see the features page as well.
    "Viewer": [("can_read", "Plugins")],
    # Airflow asks whoever triggers a run for the right to edit the DAG, which is: to pause it.
    "Operator": [("can_read", "Plugins"), ("can_edit", "DAGs"), ("can_create", "DAG Runs")],
    "Trigger": [
        ("can_read", f"DAG:{DAG}"),
        ("can_edit", f"DAG:{DAG}"),
        ("can_create", f"DAG Run:{DAG}"),
        # Of this DAG alone: each of them counts only where its DAG may be read.
        ("can_read", "DAG Runs"),
        ("can_read", "Task Instances"),
        ("can_read", "Task Logs"),
        ("can_read", "XComs"),
    ],
}
"""Permissions of each role, beside those that Airflow gives it; docs/security.md describes them."""

USERS = {"admin": "Admin", "api": "Trigger"}
"""The role of each account; its password is the secret <name>_password."""


def main() -> None:
    """Roles first, because the accounts need them."""
    with get_application_builder() as builder:
        manager = builder.sm
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
    """Makes the account, or gives it its present password."""
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
            raise SystemExit(f"cannot make the account {name}; the lines above say why")
    elif not check_password_hash(user.password, password):
        manager.reset_password(user.id, password)


if __name__ == "__main__":
    main()
