#!/usr/bin/env bash
# Sets everything up, runs the pipeline on the sample drop, prints the features, and leaves
# Airflow's UI running.
#
# usage: scripts/demo.sh
#
# Environment:
#   AIRFLOW_PORT                  port of Airflow's UI and API (default: 8080)
#   EXPERIMENT_FEATURES_LOCAL     folder of the stack's state, an absolute path (default: .local)
#   PYTHON                        Python that .venv is made with (default: the newest found)
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/local_env.sh"
[[ $# -eq 0 ]] || wrong_usage

"$root/scripts/start.sh"
say "Triggering the DAG over REST: scripts/trigger_etl.sh"
"$root/scripts/trigger_etl.sh" | fold -s -w 110 # the result is one long line
say "The features: scripts/query_features.sh"
"$root/scripts/query_features.sh" </dev/null # the demo's own input is not meant as SQL

source "$(dirname "${BASH_SOURCE[0]}")/local_env.sh" # now that the port is on record
say "Done. Airflow's UI runs at $airflow_url"
cat <<END
       user      admin
       password  $(sed -E 's/.*"admin": *"([^"]+)".*/\1/' "$passwords")
       stop      scripts/stop.sh
END
