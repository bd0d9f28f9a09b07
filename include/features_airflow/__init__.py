"""Airflow's side: what a task, a trigger, the scheduler or the page asks of the pipeline."""

DAG_ID = "experiment_features"

RAW_ROWS = "Experiment features raw rows"
"""The resource, in Airflow's permissions, that those may read who may see raw rows on the page."""
