"""The values for Airflow's Helm chart, as far as can be checked without the chart."""

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
"""The key that the chart looks up in each of its own secrets."""


def header_commands() -> str:
    """Return the commands in the header that create the secrets."""
    header = TEXT.partition("\nexecutor:")[0].partition("# Once before")[2]
    return "\n".join(re.findall(r"^#   (.*)$", header, re.MULTILINE))


def created_secrets() -> set[tuple[str, str]]:
    """Return each secret and key that these commands create, recorded by a fake kubectl."""
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
    """Yield each secret and key that the values refer to; without key, for mounted secrets."""
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


def test_every_secret_is_created_and_used() -> None:
    """The header creates exactly the secrets that the values use, with the keys they name."""
    made, used = created_secrets(), set(used_secrets(VALUES))
    assert len(made) > len(CHART_KEYS)
    assert {name for name, _ in made} == {name for name, _ in used}
    assert {(name, key) for name, key in used if key} <= made


def test_every_account_has_a_password() -> None:
    """The passwords have the keys that deploy/airflow/access.py looks up."""
    users = re.search(
        r"^USERS = (\{.*\})$", (ROOT / "deploy/airflow/access.py").read_text(), re.MULTILINE
    )
    assert users
    names = {f"{name}_password" for name in yaml.safe_load(users[1])}
    assert {key for name, key in created_secrets() if name == f"{NAME}accounts"} == names


def test_versions_are_the_locked_ones() -> None:
    """Airflow has the version in requirements.txt, and the chart the one that CI renders."""
    version = VALUES["airflowVersion"]
    assert f"apache-airflow=={version} " in (ROOT / "requirements.txt").read_text()
    (chart,) = re.findall(r"--version ([\d.]+)", TEXT)
    assert f"--version {chart} " in (ROOT / ".github" / "workflows" / "ci.yml").read_text()


def test_settings_exist() -> None:
    """The values set only variables that .env.example describes."""
    settings = set(re.findall(r"EXPERIMENT_FEATURES_[A-Z_]+", TEXT))
    assert "EXPERIMENT_FEATURES_WORKSPACES" in settings
    described = (ROOT / ".env.example").read_text()
    assert [name for name in settings if f"#{name}=" not in described] == []


def test_no_task_shares_a_disk_with_another_or_with_spark() -> None:
    """All that they share is in object storage, and Spark is reached by Spark Connect."""
    settings = {
        each["name"].removeprefix("EXPERIMENT_FEATURES_"): each.get("value")
        for each in (*VALUES["env"], *VALUES["workers"]["kubernetes"]["env"])
    }
    assert settings["STORE"].startswith("s3://")
    assert settings["WORKSPACES"].startswith("s3://")
    assert settings["SPARK_MASTER"].startswith("sc://")


def test_only_tasks_may_write_features() -> None:
    """Besides, the DAG processor records that a task has died; only the migration is owner."""
    having = {
        part: {name for name, _ in used_secrets(values)} & {f"{NAME}writer", f"{NAME}owner"}
        for part, values in VALUES.items()
    }
    assert {part: names for part, names in having.items() if names} == {
        "workers": {f"{NAME}writer"},
        "dagProcessor": {f"{NAME}writer"},
        "migrateDatabaseJob": {f"{NAME}owner"},
    }
