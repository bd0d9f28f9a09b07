"""Airflow's side: what a task, a trigger, the scheduler or the page asks of the pipeline."""

DAG_ID = "experiment_features"
