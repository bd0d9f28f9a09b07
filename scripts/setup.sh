#!/usr/bin/env bash
# Makes .venv with exactly the locked requirements. Does nothing when it is up to date.
#
# usage: scripts/setup.sh [--s3] [--connect] [--spark] [--sail]
#   --s3        also install what object storage on s3:// needs
#   --connect   also install what the engine spark needs for Spark Connect, some 50 MB
#   --spark     the same, and what it needs for a cluster beside Java, some 460 MB
#   --sail      also install what it needs for Sail, which takes the place of a cluster, some 220 MB
# What was installed with an option stays, and is updated, when the script is called without it.
#
# Environment:
#   PYTHON    Python that .venv is made with: 3.11, 3.12 or 3.13 (default: that which it has, or the
#             newest found)
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/local_env.sh"

for argument in "$@"; do
    [[ $argument =~ ^--(s3|connect|spark|sail)$ ]] || wrong_usage
done
cd "$root"
chosen() { sed -n "$1p" .venv/installed 2>/dev/null || true; } # LINE
extras=''
for extra in s3 connect spark sail; do
    if [[ " $* " == *" --$extra "* ]] || [[ " $(chosen 1) " == *" $extra "* ]]; then
        extras+=" $extra"
    fi
done
locked=(requirements.txt requirements/dev.txt)
for extra in s3 connect spark sail; do
    if [[ $extra == connect ]]; then # Sail needs it, too; PySpark has it, in the same folder
        [[ $extras =~ connect|sail && $extras != *spark* ]] || continue
    elif [[ $extras != *" $extra"* ]]; then
        continue
    fi
    locked+=("requirements/$extra.txt")
done

# Whether this is a Python that we support and that can make environments: a name on the PATH may be
# a shim without a version behind it, or (on Debian) lack ensurepip.
suits() { # PYTHON
    "$1" -c 'import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
        >/dev/null 2>&1
}

find_python() {
    local candidate
    if [[ -n ${PYTHON:-} ]]; then
        suits "$PYTHON" || fail "PYTHON=$PYTHON is not a Python 3.11, 3.12 or 3.13 with the modules venv and ensurepip"
        command -v "$PYTHON"
        return
    fi
    while IFS= read -r candidate; do
        if suits "$candidate"; then
            echo "$candidate"
            return
        fi
    done < <(type -ap python3.13 python3.12 python3.11 python3 python)
    fail "found no Python 3.11, 3.12 or 3.13 with the modules venv and ensurepip" \
        "(Debian, Ubuntu: apt install python3-venv); name one with PYTHON=/path/to/python3"
}

# What .venv was made with last time stays, unless PYTHON names another.
made_with=${PYTHON:-$(chosen 2 | sed -n 's/^PYTHON=//p')}
record() { printf '%s\nPYTHON=%s\n' "$1$extras" "$made_with"; } # STATE
wanted=$(cat "${locked[@]}" | cksum)
if [[ -s .venv/installed && $(<.venv/installed) == "$(record "$wanted")" ]] && "$python" -c '' 2>/dev/null; then
    exit 0
fi

if [[ -n ${PYTHON:-} ]] || ! suits "$python"; then
    made_with=${PYTHON:-}
    base=$(find_python)
    say "Making .venv with $base"
    "$base" -m venv --clear .venv
fi
record unfinished >.venv/installed # the next try knows the options, too

say "Installing the locked requirements"
uv_requirement=$(mktemp)
trap 'rm -f "$uv_requirement"' EXIT
# uv's own entry, with its hashes: up to the first line that is not continued.
awk '/^uv==/ { found = 1 } found { print } found && !/\\$/ { exit }' requirements/dev.txt >"$uv_requirement"
"$python" -m ensurepip >/dev/null
"$python" -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r "$uv_requirement"
run_uv pip sync --python "$python" --require-hashes "${locked[@]}"
record "$wanted" >.venv/installed
