#!/usr/bin/env bash
# Checks formatting, lint, types, the scripts and the Dockerfile, without changing anything.
# usage: scripts/check.sh
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/local_env.sh"
[[ $# -eq 0 ]] || fail "usage: scripts/check.sh"

"$root/scripts/setup.sh"
cd "$root"
"$python" -m ruff format --check .
"$python" -m ruff check .
"$python" -m mypy
PYTHONPATH=include:plugins .venv/bin/lint-imports
.venv/bin/shellcheck --external-sources --source-path=SCRIPTDIR scripts/*.sh benchmarks/*.sh deploy/airflow/*.sh .ci/run
.venv/bin/hadolint Dockerfile
