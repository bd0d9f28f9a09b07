#!/usr/bin/env bash
# Runs the pipeline's command line against the database of the running stack. With the stack in
# containers it runs inside one, so paths are those inside it: the drops are in /drops. Ends with the exit
# status of the command; docs/running.md lists the commands and statuses.
#
# usage: scripts/features.sh COMMAND [ARGUMENTS]
#   --database-url URL   another database; needs no stack
#   scripts/features.sh check include/data/sample
#   scripts/features.sh run include/data/sample --max-rejected-percent 8
#   scripts/features.sh trace 2
#   scripts/features.sh restore RUN --dry-run
#   scripts/features.sh run --help
#   scripts/features.sh --version
#
# Environment:
#   DATABASE_URL                  the database (default: the running stack's)
#   EXPERIMENT_FEATURES_TARGET    local or docker, when both stacks are running
#   EXPERIMENT_FEATURES_LOCAL     folder of the stack's state, an absolute path (default: .local)
#   EXPERIMENT_FEATURES_SECRETS   folder of the secrets, with Docker (default: .secrets)
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/local_env.sh"
source "$(dirname "${BASH_SOURCE[0]}")/docker_env.sh"
failure=2 # of the command line, 1 would mean that the input was refused
[[ $# -gt 0 ]] || wrong_usage

needs_database() { # COMMAND ARGUMENTS...
    [[ -z ${DATABASE_URL:-} && $1 != check && $1 != -* ]] &&
        [[ ! " $* " =~ \ (--database-url[=\ ]|--dry-run\ |--help\ |-h\ ) ]]
}

find_stack
if [[ $stack == docker ]]; then
    [[ $1 != migrate ]] || fail 'in containers, scripts/start_docker.sh migrates the database'
    # libpq finds the host in PGHOST; a temporary folder of its own would be in memory.
    # shellcheck disable=SC2016 # expanded in the container
    compose_exec --env TMPDIR=/opt/airflow/workspaces scheduler bash -c '
        if [[ -n $0 ]]; then export DATABASE_URL=$0; else
            export DATABASE_URL=postgresql://features_writer@/experiment_features
            export PGPASSWORD=$(</run/secrets/features_writer_password)
        fi
        exec python -m experiment_features "$@"' "${DATABASE_URL:-}" "$@"
    exit
fi
is_set_up || "$root/scripts/setup.sh" >&2 || exit "$failure"
if [[ -n $stack && -z ${DATABASE_URL:-} ]]; then
    unset "${!PG@}" # of another server
    role=features_writer
    [[ $1 != migrate ]] || role=postgres # the schema's owner
    DATABASE_URL=$(database_url "$role" experiment_features)
    export DATABASE_URL EXPERIMENT_FEATURES_STORE=$store
elif needs_database "$@"; then
    fail "$no_stack; or give --database-url"
fi
PYTHONPATH=$root/include exec "$python" -m experiment_features "$@"
