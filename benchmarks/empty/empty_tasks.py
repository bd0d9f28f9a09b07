"""Four tasks that do nothing, with the pipeline's flow: what Airflow itself takes for a run."""

from airflow.sdk import dag, task


@task
def extract() -> None:
    """Nothing."""


@task
def validate() -> None:
    """Nothing."""


@task
def transform() -> None:
    """Nothing."""


@task
def load() -> None:
    """Nothing."""


@dag(schedule=None, catchup=False, max_active_runs=1, is_paused_upon_creation=False)
def empty_tasks() -> None:
    """One after the other."""
    extract() >> validate() >> transform() >> load()


empty_tasks()
