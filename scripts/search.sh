#!/usr/bin/env bash
# Searches for about an hour for faults that the tests may miss, and prints one line of figures.
#
# usage: scripts/search.sh drops|deltas|sail|histories|kills|soak|faults [--count N] [--seed N]
#   drops     random drops: features and issues must equal the oracle's (5,000)
#   deltas    random sequences of snapshots and deltas: the same, after each of them (3,000)
#   sail      random drops and sequences on the engine spark, of which Sail takes the place (1,000)
#   histories the same through PostgreSQL, with runs that are killed, repeated and restored (500)
#   kills     loads killed at random moments: they must leave all of a load, or nothing (1,000)
#   soak      minutes of a local stack that loads drops and deltas, is stopped and killed, must have
#             the right features in the end, and must not use ever more memory or disk (60)
#   faults    faults planted in a copy of this tree, each a wrong line or two: a test must fail (all)
#   --count   how many
#   --seed    the random seed (default: a new one, which is printed); to resume a search that was
#             stopped, start it again with its seed
#
# Exit status 1: faults were found. Their details are in .local/searches.
#
# Environment:
#   EXPERIMENT_FEATURES_LOCAL     folder of the stack's state, an absolute path (default: .local)
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/local_env.sh"

[[ ${1:-} =~ ^(drops|deltas|sail|histories|kills|soak|faults)$ ]] || wrong_usage
if [[ $1 == sail ]]; then "$root/scripts/setup.sh" --sail; else "$root/scripts/setup.sh"; fi
cd "$root"
PYTHONPATH=$root:$root/include:$root/tests:$root/scripts \
    exec "$python" tests/search.py "$@" --folder "$local/searches"
