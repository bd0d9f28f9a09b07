"""Airflow's side: what a task, a trigger, the scheduler or the page asks of the pipeline."""

DAG_ID = "experiment_features"

DROPS_ASSET = "laboratory_drops"
"""The asset whose events announce drops."""

RAW_ROWS = "Experiment features raw rows"
"""The resource, in Airflow's permissions, that those may read who may see raw rows on the page."""
