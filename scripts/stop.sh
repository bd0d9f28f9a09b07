#!/usr/bin/env bash
# Stops the local stack and leaves nothing of it running; the data stay.
# usage: scripts/stop.sh [--quiet]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/local_env.sh"
[[ $# -eq 0 || $* == --quiet ]] || fail "usage: scripts/stop.sh [--quiet]"

[[ -x $python ]] || fail "there is no $python: run scripts/setup.sh"
"$python" "$root/scripts/local_processes.py" stop "$local"
"$python" "$root/scripts/local_postgres.py" stop "$local/postgres"
rm -f "$local/port"
[[ $* == --quiet ]] || say "Stopped"
