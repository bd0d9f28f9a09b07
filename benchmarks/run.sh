#!/usr/bin/env bash
# Measures the pipeline beside other ways of doing the same, and writes docs/performance.md.
#
# usage: benchmarks/run.sh [--only NAME,...] [--sizes N,...] [--rounds N] [--folder FOLDER]
#                          [--port N] [--results FOLDER]
#   --only      what to measure: runs, checks, load, engines, latency (default: all)
#   --sizes     numbers of experiments, such as 10_000,1_000_000 (default: depends on NAME)
#   --rounds    how often to measure each (default: 3)
#   --folder    where to put drops and databases (default: /tmp)
#   --port      port of Airflow, for latency (default: 8091)
#   --results   where to keep the figures; the page is only written from benchmarks/results, the
#               default
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../scripts/local_env.sh"

if command -v java >/dev/null; then "$root/scripts/setup.sh" --spark; else "$root/scripts/setup.sh"; fi
cd "$root"
environment=benchmarks/.venv # apart from the project's own
wanted=$(cksum <benchmarks/requirements.txt)
if [[ ! -s $environment/installed || $(<"$environment/installed") != "$wanted" ]]; then
    say "Installing what the benchmarks compare with"
    "$python" -m venv --clear --without-pip "$environment"
    run_uv pip sync --python "$environment/bin/python" --require-hashes benchmarks/requirements.txt
    echo "$wanted" >"$environment/installed"
fi
PYTHONPATH=$root:$root/include:$root/scripts exec "$python" -m benchmarks "$@"
