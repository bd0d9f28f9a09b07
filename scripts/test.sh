#!/usr/bin/env bash
# Sets up what the tests need, and runs them: all, or the suites that are named first.
#
# usage: scripts/test.sh [--coverage] [SUITE ...] [ARGUMENTS OF pytest]
#   --coverage                    also lists the lines that no test has run, of all suites but docker,
#                                 whose processes it does not see; takes half as long again
#   SUITE                         unit, dags, integration, e2e, browser or docker
#   scripts/test.sh unit -k csv   the unit tests with csv in their names
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/local_env.sh"

is_covered=
if [[ ${1:-} == --coverage ]]; then
    is_covered=true
    shift
fi
suites=()
while [[ ${1:-} =~ ^[a-z0-9]+$ && -d $root/tests/$1 ]]; do
    suites+=("tests/$1")
    shift
done

# What cannot be installed here is skipped; a line says so.
extras=(--s3 --sail)
if command -v java >/dev/null; then extras+=(--spark); else say 'Skipping Spark on a cluster: there is no Java'; fi
docker info >/dev/null 2>&1 || say 'Skipping the stack in containers: no Docker engine answers'
command -v chromium google-chrome >/dev/null || say 'Skipping the browser: there is no Chromium'
chosen=()
if [[ ${CI:-} != true ]]; then
    say 'Leaving to CI=true, as somebody waits: most random cases, and the tests marked as thorough'
    chosen=(-m 'not thorough')
fi

[[ -z $is_covered || ${suites[*]} != tests/docker ]] || fail 'coverage does not see containers'

last_times=$root/.pytest_cache/seconds # of each set of arguments, the latest at the end
arguments="${suites[*]:-all suites}${*:+ $*}${is_covered:+, with coverage}"
last=$(grep -sF "$arguments: " "$last_times" | tail -n 1) || true
say "Running $arguments${last:+ (last time: ${last##*: } s)}"

"$root/scripts/setup.sh" "${extras[@]}"
cd "$root"
unset PYTHONDONTWRITEBYTECODE # else each of a thousand processes compiles what it imports
if [[ -n $is_covered ]]; then # of all processes that the tests start, Airflow's tasks included
    chosen+=(--deselect tests/docker)
    export COVERAGE_FILE=$root/.coverage/lines COVERAGE_PROCESS_START=$root/pyproject.toml
    rm -rf .coverage
    mkdir .coverage
fi
status=0
# Tests that share a stack, local or in containers, run in one process: they are an xdist_group.
# Groups start first, the one with the most tests before the others.
# These wait a lot, so there is one process more than there are cores.
cores=$(getconf _NPROCESSORS_ONLN)
"$python" -m pytest --numprocesses "$((cores < 4 ? cores + 1 : 4))" --dist loadgroup \
    ${chosen[@]+"${chosen[@]}"} ${suites[@]+"${suites[@]}"} "$@" || status=$?
if [[ -n $is_covered ]]; then
    unset COVERAGE_PROCESS_START
    "$python" -m coverage combine --quiet
    least=() # a part of the tests runs a part of the lines
    [[ ${CI:-} == true && ${#suites[@]} -eq 0 ]] || least=(--fail-under=0)
    "$python" -m coverage report ${least[@]+"${least[@]}"} || status=$?
fi
mkdir -p "${last_times%/*}"
echo "$arguments: $SECONDS" >>"$last_times"
exit "$status"
