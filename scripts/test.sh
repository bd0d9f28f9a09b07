#!/usr/bin/env bash
# Sets up what the tests need and runs them all; arguments go to pytest.
# usage: scripts/test.sh [pytest arguments]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/local_env.sh"

# Spark needs Java; without it, its tests are skipped.
extras=(--s3)
if command -v java >/dev/null; then extras+=(--spark); fi
"$root/scripts/setup.sh" "${extras[@]}"
cd "$root"
# The end-to-end tests share one stack, and so one of the processes: their mark says so (xdist_group).
# So do those of the stack in containers.
exec "$python" -m pytest --numprocesses logical --maxprocesses 4 --dist loadgroup "$@"
