"""Four tasks that do nothing, in the pipeline's order: they show the cost of Airflow itself."""

from airflow.sdk import dag, task


@task
def extract() -> None:
    """Do nothing."""


@task
def validate() -> None:
    """Do nothing."""


@task
def transform() -> None:
    """Do nothing."""


@task
def load() -> None:
    """Do nothing."""


@dag(schedule=None, catchup=False, max_active_runs=1, is_paused_upon_creation=False)
def empty_tasks() -> None:
    """Run the tasks one after the other."""
    extract() >> validate() >> transform() >> load()


empty_tasks()
