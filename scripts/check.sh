#!/usr/bin/env bash
# Checks formatting, lint, types, the direction of imports, the shell scripts and the Dockerfile.
# Changes nothing but .venv.
#
# usage: scripts/check.sh
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/local_env.sh"
[[ $# -eq 0 ]] || wrong_usage

"$root/scripts/setup.sh"
cd "$root"
"$python" -m ruff format --check .
"$python" -m ruff check .
"$python" -m mypy
imports=$(PYTHONPATH=include:plugins .venv/bin/lint-imports --no-logo) || fail "$imports"
tail -n 1 <<<"$imports"
.venv/bin/shellcheck --external-sources --source-path=SCRIPTDIR scripts/*.sh benchmarks/*.sh deploy/airflow/*.sh .ci/run
.venv/bin/hadolint Dockerfile
