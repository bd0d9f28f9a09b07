"""The values for Airflow's Helm chart, as far as they can be checked without the chart."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "deploy" / "helm" / "values.yaml").read_text()
VALUES = yaml.safe_load(TEXT)
NAME = "experiment-features-"

CHART_KEYS = {
    "metadataSecretName": "connection",
    "fernetKeySecretName": "fernet-key",
    "apiSecretKeySecretName": "api-secret-key",
    "jwtSecretName": "jwt-secret",
}
"""The key that the chart looks for in each of its own secrets."""


def header_commands() -> str:
    """The commands that the header gives for the secrets."""
    header = TEXT.partition("\nexecutor:")[0].partition("# Once before")[2]
    return "\n".join(re.findall(r"^#   (.*)$", header, re.MULTILINE))


def made_secrets() -> set[tuple[str, str]]:
    """Secret and key of all that these commands make; a kubectl of ours says what it was told."""
    script = "set -eu\nkubectl() { printf '%s\\n' \"$@\"; }\n" + header_commands()
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    made, name = set(), ""
    for word in done.stdout.splitlines():
        if word.startswith(NAME):
            name = word
        elif word.startswith("--from-literal="):
            key, _, value = word.removeprefix("--from-literal=").partition("=")
            assert value
            made.add((name, key))
    return made


def used_secrets(values: Any) -> Iterator[tuple[str, str | None]]:
    """Secret and key of all that the values refer to; of a mounted one, every key."""
    if isinstance(values, list):
        for each in values:
            yield from used_secrets(each)
    if isinstance(values, dict):
        for name, value in values.items():
            if name in CHART_KEYS:
                yield value, CHART_KEYS[name]
            elif name == "secretKeyRef":
                yield value["name"], value["key"]
            elif name == "secretName":
                yield value, None
            else:
                yield from used_secrets(value)


def test_every_secret_is_made_and_used() -> None:
    """With the key that is asked for."""
    made, used = made_secrets(), set(used_secrets(VALUES))
    assert len(made) > len(CHART_KEYS)
    assert {name for name, _ in made} == {name for name, _ in used}
    assert {(name, key) for name, key in used if key} <= made


def test_accounts_have_their_passwords() -> None:
    """Under the names by which deploy/airflow/access.py looks for them."""
    users = re.search(
        r"^USERS = (\{.*\})$", (ROOT / "deploy/airflow/access.py").read_text(), re.MULTILINE
    )
    assert users
    names = {f"{name}_password" for name in yaml.safe_load(users[1])}
    assert {key for name, key in made_secrets() if name == f"{NAME}accounts"} == names


def test_airflow_is_the_one_that_is_locked() -> None:
    """And the chart the one that CI renders."""
    version = VALUES["airflowVersion"]
    assert f"apache-airflow=={version} " in (ROOT / "requirements.txt").read_text()
    (chart,) = re.findall(r"--version ([\d.]+)", TEXT)
    assert f"--version {chart} " in (ROOT / ".github" / "workflows" / "ci.yml").read_text()


def test_settings_exist() -> None:
    """What the values set is what the project reads."""
    settings = set(re.findall(r"EXPERIMENT_FEATURES_[A-Z_]+", TEXT))
    assert "EXPERIMENT_FEATURES_WORKSPACES" in settings
    described = (ROOT / ".env.example").read_text()
    assert [name for name in settings if f"#{name}=" not in described] == []


def test_only_tasks_may_write_features() -> None:
    """The writer's connection is in their pods alone, the owner's in the migration alone."""
    having = {
        part: {name for name, _ in used_secrets(values)} & {f"{NAME}writer", f"{NAME}owner"}
        for part, values in VALUES.items()
    }
    assert {part: names for part, names in having.items() if names} == {
        "workers": {f"{NAME}writer"},
        "migrateDatabaseJob": {f"{NAME}owner"},
    }
