"""Queries for the page inside Airflow."""
