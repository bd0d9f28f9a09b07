"""The instructions for administrators in docs/deployment.md work."""

import re
from typing import Any

import pytest
from psycopg import sql

from docker.container_stack import ONE_WORKER, ContainerStack
from e2e.local_stack import ROOT, RUNS, SAMPLE

pytestmark = [
    pytest.mark.xdist_group("docker"),
    pytest.mark.timeout(1200),
    pytest.mark.usefixtures("loaded"),
]

PAGE = (ROOT / "docs" / "deployment.md").read_text()


def lines_of(heading: str) -> str:
    """Return the shell blocks below a heading of the page."""
    section = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    return "\n".join(re.findall(r"^```bash\n(.*?)^```$", section, re.DOTALL | re.MULTILINE))


def all_data(stack: ContainerStack) -> dict[str, Any]:
    """Return features, history, issues and runs from both databases."""
    query = "select * from {relation} order by 1, 2"
    relations = ("user_features", "compound_features", "user_features_history", "pipeline_runs")
    found = {
        name: stack.query(query, relation=sql.Identifier("features", name))
        for name in (*relations, "data_issues")
    }
    return found | {
        "dag_run": stack.query("select run_id, state from dag_run order by 1", "airflow")
    }


def test_backup_brings_everything_back_and_every_secret_can_be_changed(
    stack: ContainerStack,
) -> None:
    """A restore into empty volumes recovers all data; new secrets keep it and replace the old.

    The stack starts with a worker, which test_workers.py needs.
    """
    stack.compose("exec", "-T", "scheduler", "airflow", "variables", "set", "kept", "encrypted")
    before, old_token = all_data(stack), stack.token("admin")
    old = {path.name: path.read_text() for path in stack.secrets.iterdir()}
    stack.type_in(lines_of("Backup"))
    stack.compose("down", "--volumes")
    # The start at the end of the restore can wait, as the secrets need one, too.
    *restore, start = lines_of("Restore").splitlines()
    assert start == "scripts/start_docker.sh"
    stack.type_in("\n".join(restore))
    assert all_data(stack) == before

    stack.type_in(lines_of("Changing the secrets"), **ONE_WORKER)
    new = {path.name: path.read_text() for path in stack.secrets.iterdir()}
    assert new.keys() == old.keys()
    assert not {name for name in old if new[name] == old[name]}
    assert stack.call("GET", RUNS, old_token)[0] == 403
    login = {"username": "admin", "password": old["admin_password"]}
    assert stack.call("POST", "/auth/token", body=login)[0] == 401
    for role in ("features_owner", "features_writer", "features_reader"):
        for passwords, status in ((old, 2), (new, 0)):
            done = stack.log_in(role, passwords[f"{role}_password"], "select 1")
            assert done.returncode == status, done.stderr
    assert all_data(stack) == before
    token = stack.token("admin")
    assert stack.call("GET", "/api/v2/variables/kept", token)[1]["value"] == "encrypted"
    assert stack.trigger(SAMPLE, "--conf", '{"force": true}')["status"] == "loaded"
