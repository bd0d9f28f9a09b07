#!/usr/bin/env bash
# Starts the local stack, PostgreSQL and Airflow, and returns when Airflow is healthy and knows the
# DAG. Does nothing when it is running already.
#
# usage: scripts/start.sh
#
# Environment:
#   AIRFLOW_PORT                  port of Airflow's UI and API (default: 8080)
#   EXPERIMENT_FEATURES_LOCAL     folder of the stack's state, an absolute path (default: .local)
#   PYTHON                        Python that .venv is made with (default: the newest found)
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/local_env.sh"
[[ $# -eq 0 ]] || wrong_usage

unset "${!PG@}" # PGPORT, for example, would become the server's
timeout_seconds=180
logs=$local/logs
is_set_up || "$root/scripts/setup.sh"

quietly() { # NAME COMMAND...; shows the end of the output if the command fails
    local log=$logs/$1.log
    "${@:2}" >"$log" 2>&1 || fail_with_log "$1 failed" "$log"
}

fail_with_log() { # MESSAGE FILE
    tail -n 25 "$2" >&2
    fail "$1; the whole log is in $2"
}

make_secrets() {
    "$python" - "$AIRFLOW_HOME" <<'PYTHON'
import base64, json, pathlib, secrets, sys

home = pathlib.Path(sys.argv[1])
contents = {
    "passwords.json": json.dumps({"admin": secrets.token_hex(8), "viewer": secrets.token_hex(8)}),
    "secrets.env": f"""\
export AIRFLOW__API_AUTH__JWT_SECRET={secrets.token_hex(32)}
export AIRFLOW__API__SECRET_KEY={secrets.token_hex(32)}
export AIRFLOW__CORE__FERNET_KEY={base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()}
""",
}
for name, content in contents.items():
    partial = home / f"{name}.partial"
    partial.write_text(content)
    partial.rename(home / name)
PYTHON
}

# In a session of its own, out of reach of Ctrl-C and a closing terminal. Only a component and its
# children know the stack, as stop.sh ends whoever does.
launch() { # COMPONENT
    local options=() log=$logs/$1.log
    # The API server reads the logs from disk; log servers would take two more ports.
    case $1 in scheduler | triggerer) options=(--skip-serve-logs) ;; esac
    [[ ! -e $log ]] || mv "$log" "$log.old"
    EXPERIMENT_FEATURES_STACK=$local EXPERIMENT_FEATURES_COMPONENT=$1 "$python" -c '
import os, sys
os.setsid()
os.execv(sys.executable, [sys.executable, "-m", "airflow", *sys.argv[1:]])
' "$1" ${options[@]+"${options[@]}"} >"$log" 2>&1 </dev/null &
    pids+=($!)
    disown # a failed start ends them: bash would report each
}

# All four components report so, with a heartbeat since then.
is_healthy() { # SINCE
    local health heartbeat
    health=$(curl --silent --fail --max-time 5 "$airflow_url/api/v2/monitor/health") || return 1
    [[ $(grep -o '"status":"healthy"' <<<"$health" | wc -l) -eq 4 ]] || return 1
    while IFS= read -r heartbeat; do
        [[ ! $heartbeat < $1 ]] || return 1
    done < <(grep -oE '_heartbeat":"[^"]+' <<<"$health" | cut -d '"' -f 3)
}

ask_airflow() { # QUERY SINCE
    psql --quiet --no-align --tuples-only --dbname "$(database_url airflow airflow)" \
        --set ON_ERROR_STOP=1 --set since="$2" <<<"$1"
}

knows_dag() { # SINCE
    local error
    # Of an error that is reported to users, only what it says; of others, the traceback.
    error=$(ask_airflow "select filename || ': ' ||
        coalesce(substring(stacktrace from 'experiment_features\.errors\.\w+: (.*)'), stacktrace)
        from import_error where \"timestamp\" >= :'since'" "$1")
    [[ -z $error ]] || fail "Airflow cannot import the DAG: $error"
    [[ -n $(ask_airflow "select 1 from dag where dag_id = 'experiment_features' and not is_stale
        and last_parsed_time >= :'since'" "$1") ]]
}

wait_until() { # WHAT COMMAND...
    local deadline=$((SECONDS + timeout_seconds)) index
    until "${@:2}"; do
        for index in "${!pids[@]}"; do
            kill -0 "${pids[index]}" 2>/dev/null ||
                fail_with_log "Airflow's ${components[index]} ended" "$logs/${components[index]}.log"
        done
        [[ $SECONDS -lt $deadline ]] || fail_with_log "gave up after $timeout_seconds s of waiting until $1" "$logs/scheduler.log"
        sleep 0.5
    done
}

alive=$("$python" "$root/scripts/local_processes.py" list "$local")
if [[ $(wc -w <<<"$alive") -eq ${#components[@]} ]]; then
    [[ ${wanted_port:-$running_port} == "$running_port" ]] ||
        fail "this stack is running on port $running_port already; stop it with scripts/stop.sh"
    if is_healthy 0; then
        say "Airflow is running already: $airflow_url"
        exit 0
    fi
fi
"$root/scripts/stop.sh" --quiet # whatever a crash or an interrupted start left
"$root/scripts/setup.sh"        # not while this stack is running

umask 077 # only the owner may read what the stack writes
mkdir -p "$local"/{airflow,logs,store,workspaces}
# Root's PostgreSQL runs as another user, who has to pass through; the folders inside are private.
if [[ $EUID -eq 0 ]]; then chmod 711 "$local"; else chmod 700 "$local"; fi
airflow_url=http://127.0.0.1:$AIRFLOW_PORT
if (exec 3<>"/dev/tcp/127.0.0.1/$AIRFLOW_PORT") 2>/dev/null; then
    fail "port $AIRFLOW_PORT is taken; choose another one: AIRFLOW_PORT=8081 $0"
fi

trap '"$root/scripts/stop.sh" --quiet' EXIT # a failed start leaves nothing running
"$python" "$root/scripts/local_postgres.py" start "$local/postgres"
say "PostgreSQL is up"

export AIRFLOW_HOME=$local/airflow
[[ -s $AIRFLOW_HOME/secrets.env ]] || make_secrets
export_airflow_env

quietly migrate "$python" -m experiment_features migrate \
    --database-url "$(database_url postgres experiment_features)" &
migration=$!
# Airflow's own tables change only with its version, and checking them takes seconds.
version=$(grep '^apache-airflow==' "$root/requirements.txt")
stamp=$local/postgres/airflow_version
if [[ ! -s $stamp || $(<"$stamp") != "$version" ]]; then
    quietly airflow_migrate "$python" -m airflow db migrate
    echo "$version" >"$stamp"
fi
wait "$migration" || exit 1
say "The databases are ready"

since=$(date -u +%Y-%m-%dT%H:%M:%S)
echo "$AIRFLOW_PORT" >"$local/port"
pids=()
for component in "${components[@]}"; do launch "$component"; done
wait_until "Airflow is healthy" is_healthy "$since"
# Airflow builds its API for tasks on the first request: better ours than the first task's.
curl --silent --output /dev/null --max-time "$timeout_seconds" "$airflow_url/execution/health" &
warming=$!
wait_until "Airflow knows the DAG" knows_dag "$since"
wait "$warming" || fail_with_log "Airflow's execution API does not answer" "$logs/api-server.log"
trap - EXIT
say "Airflow is healthy: $airflow_url"
