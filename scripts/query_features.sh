#!/usr/bin/env bash
# Queries the features database of the running stack as a role that can only read. Prints a report
# of the features, or what is asked for: a preset, SQL (which may also come from a pipe or a file on
# standard input), or whatever the arguments of psql say.
#
# usage: scripts/query_features.sh [--csv] [PRESET | SQL] [ARGUMENTS OF psql]
#   users       all features of every user
#   compounds   all features of every compound
#   issues      the faulty and doubtful rows of the last load
#   rejected    the faulty rows of the drop that was rejected last
#   changes     what the last load changed, for each user and feature: before and after
#   runs        the last 20 runs of the ledger
#   --csv       print CSV instead of a table
#   scripts/query_features.sh users --csv >users.csv
#   scripts/query_features.sh 'select * from features.user_features where total_experiments > 10'
#   scripts/query_features.sh --tuples-only -c 'select count(*) from features.compound_features'
#
# Environment:
#   EXPERIMENT_FEATURES_TARGET    local or docker, when both stacks are running
#   EXPERIMENT_FEATURES_LOCAL     folder of the stack's state, an absolute path (default: .local)
#   EXPERIMENT_FEATURES_SECRETS   folder of the secrets, with Docker (default: .secrets)
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/local_env.sh"
source "$(dirname "${BASH_SOURCE[0]}")/docker_env.sh"

# A table that is wider than the terminal becomes a list of values.
options=(--pset pager=off --pset expanded=auto --set ON_ERROR_STOP=1)
if [[ ${1:-} == --csv ]]; then
    options+=(--csv)
    shift
fi
preset='' sql=''
if [[ $# -eq 0 ]]; then
    [[ ! -p /dev/stdin && ! -f /dev/stdin ]] || sql=$(cat)
    [[ $sql =~ [^[:space:]] ]] || preset=report
elif [[ $1 =~ ^[a-z_]*$ ]]; then
    preset=${1:-none}
    shift
elif [[ $1 != -* ]]; then
    sql=$1
    shift
fi
if [[ -n $preset ]]; then
    [[ -f $root/scripts/sql/$preset.sql ]] || wrong_usage
    sql=$(<"$root/scripts/sql/$preset.sql")
    [[ " ${options[*]} $* " == *' --csv '* ]] || options+=(--pset null=-)
fi

choose_stack
# Overrides the settings of role, database and server.
session='client_encoding=UTF8&options=-c%20DateStyle%3DISO%20-c%20extra_float_digits%3D1'
query() { # ARGUMENTS OF psql
    if [[ $stack == docker ]]; then
        # SQL on standard input leaves psql without a terminal to ask for its width.
        [[ ! -t 1 ]] || set -- --pset columns="$(tput cols 2>/dev/null || echo 0)" "$@"
        compose_exec postgres psql --no-psqlrc --dbname "postgresql://features_reader@/experiment_features?$session" "$@"
    else
        psql --dbname "$(database_url features_reader experiment_features)&$session" "$@"
    fi
}

if [[ -n $sql ]]; then
    query "${options[@]}" --file - "$@" <<<"$sql"
else
    query "${options[@]}" "$@"
fi
