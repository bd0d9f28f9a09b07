"""A start of the local stack that fails."""

import pytest

from e2e.local_stack import make_stack


@pytest.mark.thorough
def test_a_wrong_setting_stops_it() -> None:
    """It ends with one line, without Airflow's traceback, and leaves nothing running."""
    stack = make_stack()
    try:
        done = stack.run("start.sh", EXPERIMENT_FEATURES_SCHEDULE="daily")
        assert done.returncode == 1
        assert done.stderr == (
            "start.sh: Airflow cannot import the DAG: features_dag.py: EXPERIMENT_FEATURES_SCHEDULE "
            "is 'daily': expected a cron expression such as '0 2 * * *', every day at 02:00 UTC, or "
            "off\n"
        )
        assert stack.processes() == []
    finally:
        stack.remove()
