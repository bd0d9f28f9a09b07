#!/usr/bin/env bash
# Starts a service of the image: defines the Airflow connections whose passwords the container has,
# then continues with the base image's entrypoint.
# usage: entrypoint.sh AIRFLOW_ARGUMENTS... | bash ... | python ...
set -euo pipefail

connection() { # ROLE
    # The host is libpq's PGHOST.
    printf '{"conn_type": "postgres", "login": "%s", "password": "%s", "schema": "experiment_features"}' \
        "$1" "$(<"/run/secrets/$1_password")"
}

# Compose cannot leave a variable out, only empty; the empty name of an executor is an error.
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
