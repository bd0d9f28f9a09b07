"""Airflow's settings: each in one place, known to this Airflow, and not forgotten in Kubernetes."""

import re
from configparser import RawConfigParser
from pathlib import Path
from typing import Any

import pytest
import yaml
from airflow.configuration import retrieve_configuration_description
from airflow.utils import process_utils

ROOT = Path(__file__).parents[2]
PREFIX = "AIRFLOW__"

NOT_FOR_KUBERNETES = {
    "api.base_url": "the address of another installation",
    "api.secret_key_cmd": "the chart takes it from a secret",
    "api_auth.jwt_secret_cmd": "the chart takes it from a secret",
    "celery.broker_url_cmd": "tasks run in pods, not on workers",
    "celery.result_backend_cmd": "tasks run in pods, not on workers",
    "celery.worker_concurrency": "tasks run in pods, not on workers",
    "celery_broker_transport_options.visibility_timeout": "tasks run in pods, not on workers",
    "core.auth_manager": "the chart's own value is the same",
    "core.execution_api_server_url": "the chart knows the address of its API server",
    "core.executor": "values.yaml names it outside of config",
    "core.fernet_key_cmd": "the chart takes it from a secret",
    "core.load_examples": "the chart's own value is the same",
    "core.mp_forkserver_preload": "a pod runs one task",
    "core.mp_start_method": "a pod runs one task",
    "core.parallelism": "pods do not share one machine",
    "database.check_migrations": "the chart's pods wait for the migration",
    "database.sql_alchemy_conn_cmd": "the chart takes it from a secret",
    "scheduler.enable_health_check": "the chart's probes do not ask it",
    "scheduler.orphaned_tasks_check_interval": "the executor watches the pods",
}
"""Settings of airflow.cfg and Compose that values.yaml lacks or has otherwise, and why."""


def read_shared() -> dict[str, str]:
    """What airflow.cfg says."""
    parser = RawConfigParser()
    parser.read_string((ROOT / "deploy" / "airflow" / "airflow.cfg").read_text())
    return {
        f"{section}.{option}": value
        for section in parser.sections()
        for option, value in parser.items(section)
    }


def in_environment(variables: dict[str, Any]) -> dict[str, str]:
    """The settings among environment variables."""
    return {
        name.removeprefix(PREFIX).replace("__", ".", 1).lower(): str(value)
        for name, value in variables.items()
        if name.startswith(PREFIX)
    }


def read_compose() -> dict[str, str]:
    """What docker-compose.yaml adds for any of its services."""
    compose = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())
    environments = [service.get("environment", {}) for service in compose["services"].values()]
    return in_environment({name: each[name] for each in environments for name in each})


def read_local() -> dict[str, str]:
    """What the local stack adds."""
    text = (ROOT / "scripts" / "local_env.sh").read_text()
    return in_environment(dict(re.findall(rf"\b({PREFIX}\w+)=(.*)", text)))


def read_helm() -> dict[str, str]:
    """What values.yaml has the chart write."""
    config = yaml.safe_load((ROOT / "deploy" / "helm" / "values.yaml").read_text())["config"]
    return {
        f"{section}.{option}": str(value)
        for section, options in config.items()
        for option, value in options.items()
    }


SETTINGS = {
    "airflow.cfg": read_shared(),
    "docker-compose.yaml": read_compose(),
    "local_env.sh": read_local(),
    "values.yaml": read_helm(),
}


@pytest.mark.parametrize("file", ["docker-compose.yaml", "local_env.sh"])
def test_what_all_share_is_set_once(file: str) -> None:
    """An installation adds settings of its own; it repeats and overrides none."""
    assert len(SETTINGS[file]) >= 5
    assert SETTINGS[file].keys() & SETTINGS["airflow.cfg"].keys() == set()


@pytest.mark.parametrize("file", SETTINGS)
def test_airflow_knows_every_setting(file: str) -> None:
    """It takes no notice of a misspelt one, nor of one that a new version has dropped."""
    known = {
        f"{section}.{option}"
        for section, description in retrieve_configuration_description().items()
        for option in description["options"]
    }
    # These two can stand in several sections, and so in no description.
    known |= {
        f"core.{process_utils._MP_START_METHOD_OPTION}",
        f"core.{process_utils._MP_FORKSERVER_PRELOAD_OPTION}",
    }
    of_the_image = ("celery.", "celery_broker_transport_options.", "fab.")  # not installed here
    names = {name for name in SETTINGS[file] if not name.startswith(of_the_image)}
    assert {name.removesuffix("_cmd") for name in names} - known == set()


def test_kubernetes_has_every_setting_or_a_reason() -> None:
    """The chart does not read airflow.cfg: what is set there is repeated in values.yaml."""
    elsewhere = SETTINGS["airflow.cfg"] | SETTINGS["docker-compose.yaml"]
    wanted = {name: elsewhere[name] for name in elsewhere if name not in NOT_FOR_KUBERNETES}
    helm = SETTINGS["values.yaml"]
    assert {name: helm.get(name) for name in wanted} == wanted
    assert NOT_FOR_KUBERNETES.keys() <= elsewhere.keys()
