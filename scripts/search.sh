#!/usr/bin/env bash
# Searches for an hour or so for what the tests may miss, and ends in one line of figures.
#
# usage: scripts/search.sh drops|kills|soak [--count N] [--seed N]
#   drops     random drops, whose features and issues must be the oracle's (5,000)
#   kills     loads that are killed at random moments and must leave all or nothing (1,000)
#   soak      minutes of a local stack that is fed, stopped and killed, and must not grow (60)
#   --count   how many
#   --seed    what the random choices follow from (default: a new one, which is printed); a search
#             that was stopped goes on when it is started again with its seed
#
# Exit status 1: there were faults. What explains them is in .local/searches.
#
# Environment:
#   EXPERIMENT_FEATURES_LOCAL     folder of the stack's state, an absolute path (default: .local)
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/local_env.sh"

[[ ${1:-} =~ ^(drops|kills|soak)$ ]] || wrong_usage
"$root/scripts/setup.sh"
cd "$root"
PYTHONPATH=$root:$root/include:$root/tests:$root/scripts \
    exec "$python" tests/search.py "$@" --folder "$local/searches"
