#!/usr/bin/env bash
# Compiles the locked requirements, with hashes and for every supported Python, from the .in files.
# Keeps the versions that are locked unless told otherwise.
#
# usage: scripts/lock.sh [ARGUMENTS OF uv pip compile]
#   scripts/lock.sh --upgrade                  take the newest version of everything
#   scripts/lock.sh --upgrade-package duckdb   take the newest version of one package
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/local_env.sh"

"$root/scripts/setup.sh"
cd "$root"
# The order matters: the later files take the versions of the earlier ones.
for name in requirements requirements/{s3,connect,spark,sail,docker,dev} benchmarks/requirements; do
    run_uv pip compile --universal --python-version 3.11 --generate-hashes \
        --custom-compile-command scripts/lock.sh "$@" "$name.in" --output-file "$name.txt"
done
