"""Features per user from a laboratory's drop of users, experiments and compounds.

The stages, in the order in which they run; none imports another:

    extract    files of any dialect -> typed Parquet, each row with its file and line
    validate   typed rows -> which of them are rejected, and an issue for every fault
    transform  valid rows -> features per user and per compound
    load       features -> PostgreSQL, in one transaction

The package does not depend on Airflow: dags/features_dag.py and the command line
(``python -m experiment_features``) run the same stages.
"""
