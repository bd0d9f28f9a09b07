#!/usr/bin/env bash
# Stops the local stack. The data is kept.
#
# usage: scripts/stop.sh [--quiet]
#   --quiet   print nothing when all is well
#
# Environment:
#   EXPERIMENT_FEATURES_LOCAL     folder of the stack's state, an absolute path (default: .local)
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/local_env.sh"
[[ $# -eq 0 || $* == --quiet ]] || wrong_usage

[[ -x $python ]] || fail "there is no $python: run scripts/setup.sh"
"$python" "$root/scripts/local_processes.py" stop "$local"
"$python" "$root/scripts/local_postgres.py" stop "$local/postgres"
rm -f "$local/port"
[[ $* == --quiet ]] || say "Stopped"
