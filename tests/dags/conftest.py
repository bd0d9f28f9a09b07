"""Airflow without a database: the DAG as the DAG processor finds it."""

import os
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DAGS = ROOT / "dags"

# Before Airflow is imported anywhere: it makes its home, and reads its settings, at import.
_home = tempfile.TemporaryDirectory(prefix="experiment_features_airflow_")
os.environ |= {
    "AIRFLOW_HOME": _home.name,
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
}

from airflow.dag_processing.dagbag import DagBag  # noqa: E402
from airflow.sdk import DAG  # noqa: E402

# Where Airflow's processes find the modules beside the DAG.
sys.path.append(str(DAGS))


@pytest.fixture(scope="session")
def dag_bag() -> DagBag:
    """Everything that the folder dags/ holds."""
    return DagBag(DAGS)


@pytest.fixture(scope="session")
def dag(dag_bag: DagBag) -> DAG:
    """The DAG experiment_features."""
    found: DAG = dag_bag.dags["experiment_features"]
    return found
