"""What the page inside Airflow and the command line show of loads, features and their lines."""
