#!/usr/bin/env bash
# Sets up what the tests need, and runs them.
#
# usage: scripts/test.sh [ARGUMENTS OF pytest]
#   scripts/test.sh tests/unit   run those of one folder
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/local_env.sh"

# Spark needs Java. Without it, its tests are skipped.
extras=(--s3)
if command -v java >/dev/null; then extras+=(--spark); fi
"$root/scripts/setup.sh" "${extras[@]}"
cd "$root"
# Tests that share a stack, local or in containers, run in one process: they are an xdist_group.
exec "$python" -m pytest --numprocesses logical --maxprocesses 4 --dist loadgroup "$@"
