"""The old path of the trigger, which Airflow's database may still hold: it was stored there."""

from features_airflow.ready_marker import ReadyMarkerTrigger as ReadyMarkerTrigger
