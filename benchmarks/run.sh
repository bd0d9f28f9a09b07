#!/usr/bin/env bash
# Compares the pipeline with other ways to do the same, and writes docs/performance.md.
#
# usage: benchmarks/run.sh [--only NAME,...] [--sizes N,...] [--rounds N] [--folder FOLDER]
#                          [--port N] [--results FOLDER]
#   --only      what to measure: runs, deltas, checks, load, engines, latency (default: all)
#   --sizes     numbers of experiments, such as 10_000,1_000_000 (default: depends on NAME)
#   --rounds    how many times to measure each (default: 3)
#   --folder    where to put drops and databases (default: /tmp)
#   --port      port of Airflow, for latency (default: 8091)
#   --results   where to save the figures; the page is only written from the default,
#               benchmarks/results
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../scripts/local_env.sh"

if command -v java >/dev/null; then "$root/scripts/setup.sh" --spark --sail; else "$root/scripts/setup.sh" --sail; fi
cd "$root"
environment=benchmarks/.venv # separate from the project's own
wanted=$(cksum <benchmarks/requirements.txt)
if [[ ! -s $environment/installed || $(<"$environment/installed") != "$wanted" ]]; then
    say "Installing the tools to compare with"
    "$python" -m venv --clear --without-pip "$environment"
    run_uv pip sync --python "$environment/bin/python" --require-hashes benchmarks/requirements.txt
    echo "$wanted" >"$environment/installed"
fi
PYTHONPATH=$root:$root/include:$root/scripts exec "$python" -m benchmarks "$@"
