"""Where Airflow has stored the callback of an earlier version; the next version does without."""

from features_airflow.alerts import alert_overdue as alert_overdue
