#!/usr/bin/env bash
# Compiles the files of locked requirements from their .in files, with hashes, for all
# supported Pythons. Keeps the locked versions; --upgrade takes the newest.
# usage: scripts/lock.sh [uv pip compile arguments]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/local_env.sh"

"$root/scripts/setup.sh"
cd "$root"
# The others build on requirements; the benchmarks have an environment of their own.
for name in requirements requirements/{s3,spark,docker,dev} benchmarks/requirements; do
    run_uv pip compile --universal --python-version 3.11 --generate-hashes \
        --custom-compile-command scripts/lock.sh "$@" "$name.in" --output-file "$name.txt"
done
