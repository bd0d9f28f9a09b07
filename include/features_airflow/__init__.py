"""Airflow's side: what a task, a trigger or the scheduler asks of the pipeline."""
