"""Where Airflow has stored the trigger of an earlier version; the next version does without."""

from features_airflow.ready_marker import ReadyMarkerTrigger as ReadyMarkerTrigger
