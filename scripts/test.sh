#!/usr/bin/env bash
# Sets up what the tests need and runs them all; arguments go to pytest.
# usage: scripts/test.sh [pytest arguments]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/local_env.sh"

"$root/scripts/setup.sh"
cd "$root"
exec "$python" -m pytest "$@"
