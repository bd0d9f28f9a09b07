#!/usr/bin/env bash
# Starts a service of the image: gives Airflow the connections whose passwords the container has, then
# goes on as the base image does.
# usage: entrypoint.sh AIRFLOW_ARGUMENTS... | bash ... | python ...
set -euo pipefail

connection() { # ROLE
    # The host is libpq's PGHOST.
    printf '{"conn_type": "postgres", "login": "%s", "password": "%s", "schema": "experiment_features"}' \
        "$1" "$(<"/run/secrets/$1_password")"
}

# Compose can hand on nothing but an empty value.
[[ -n ${AIRFLOW__CORE__EXECUTOR:-} ]] || unset AIRFLOW__CORE__EXECUTOR
if [[ -r /run/secrets/features_writer_password && -z ${AIRFLOW_CONN_FEATURES_DB:-} ]]; then
    AIRFLOW_CONN_FEATURES_DB=$(connection features_writer)
    export AIRFLOW_CONN_FEATURES_DB
fi
if [[ -r /run/secrets/features_reader_password && -z ${AIRFLOW_CONN_FEATURES_DB_READER:-} ]]; then
    AIRFLOW_CONN_FEATURES_DB_READER=$(connection features_reader)
    export AIRFLOW_CONN_FEATURES_DB_READER
fi
exec /entrypoint "$@"
