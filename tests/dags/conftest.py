"""Airflow without a database: the DAG as the DAG processor finds it."""

import os
import tempfile
from pathlib import Path

import pytest

# Before Airflow is imported anywhere: it makes its home, and reads its settings, at import.
_home = tempfile.TemporaryDirectory(prefix="experiment_features_airflow_")
os.environ |= {"AIRFLOW_HOME": _home.name, "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}

from airflow.dag_processing.dagbag import DagBag  # noqa: E402
from airflow.sdk import DAG  # noqa: E402

DAGS = Path(__file__).parents[2] / "dags"


@pytest.fixture(scope="session")
def dag_bag() -> DagBag:
    """Everything that the folder dags/ holds."""
    return DagBag(DAGS)


@pytest.fixture(scope="session")
def dag(dag_bag: DagBag) -> DAG:
    """The DAG experiment_features."""
    found: DAG = dag_bag.dags["experiment_features"]
    return found
