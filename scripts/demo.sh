#!/usr/bin/env bash
# Sets up everything, runs the pipeline once, prints the features, and leaves Airflow's UI running.
# usage: scripts/demo.sh      (AIRFLOW_PORT=8080)
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/local_env.sh"
[[ $# -eq 0 ]] || fail "usage: scripts/demo.sh"

"$root/scripts/setup.sh"
"$root/scripts/start.sh"
say "Triggering the DAG over REST: scripts/trigger_etl.sh"
"$root/scripts/trigger_etl.sh" | fold -s -w 110 # for the eye; the result is one line
say "The features: scripts/query_features.sh"
"$root/scripts/query_features.sh"

source "$(dirname "${BASH_SOURCE[0]}")/local_env.sh" # start.sh has the port on record now
say "Done. Airflow's UI runs at $airflow_url"
cat <<END
       user      admin
       password  $(sed -E 's/.*"admin": *"([^"]+)".*/\1/' "$passwords")
       stop      scripts/stop.sh
END
