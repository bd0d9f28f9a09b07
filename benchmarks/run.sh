#!/usr/bin/env bash
# Measures the pipeline beside other ways of doing the same, and writes docs/performance.md.
# usage: benchmarks/run.sh [--only NAME,...] [--sizes N,...] [--rounds N] [--folder PATH]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../scripts/local_env.sh"

if command -v java >/dev/null; then "$root/scripts/setup.sh" --spark; else "$root/scripts/setup.sh"; fi
cd "$root"
environment=benchmarks/.venv # the project's own need not know what it is compared with
wanted=$(cksum <benchmarks/requirements.txt)
if [[ ! -s $environment/installed || $(<"$environment/installed") != "$wanted" ]]; then
    say "Installing what the benchmarks compare with"
    "$python" -m venv --clear --without-pip "$environment"
    run_uv pip sync --python "$environment/bin/python" --require-hashes benchmarks/requirements.txt
    echo "$wanted" >"$environment/installed"
fi
PYTHONPATH=$root:$root/include:$root/scripts exec "$python" -m benchmarks "$@"
