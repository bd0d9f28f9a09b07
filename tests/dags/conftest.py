"""Airflow without a database: the DAG as the DAG processor finds it."""

from pathlib import Path

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG

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
