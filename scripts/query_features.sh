#!/usr/bin/env bash
# Queries the features database of the running stack as a role that can only read. Prints the
# feature report, or whatever the arguments of psql ask for.
#
# usage: scripts/query_features.sh [ARGUMENTS OF psql]
#   scripts/query_features.sh -c 'select * from features.compound_features'
#
# Environment:
#   EXPERIMENT_FEATURES_TARGET    local or docker, when both stacks are running
#   EXPERIMENT_FEATURES_LOCAL     folder of the stack's state, an absolute path (default: .local)
#   EXPERIMENT_FEATURES_SECRETS   folder of the secrets, with Docker (default: .secrets)
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/local_env.sh"
source "$(dirname "${BASH_SOURCE[0]}")/docker_env.sh"

choose_stack
if [[ $# -eq 0 ]]; then
    set -- --pset null=- --command '
        select user_id, user_name, total_experiments, average_experiments_per_user,
            most_common_compound_name as most_common_compound,
            most_common_compound_experiments as used_in
        from features.user_feature_report
        order by user_id'
fi
set -- --pset pager=off "$@"
if [[ $stack == docker ]]; then
    terminal=(--no-TTY)
    [[ ! -t 0 || ! -t 1 ]] || terminal=()
    compose exec ${terminal[@]+"${terminal[@]}"} postgres \
        psql --no-psqlrc --username features_reader --dbname experiment_features "$@"
else
    psql --dbname "$(database_url features_reader experiment_features)" "$@"
fi
