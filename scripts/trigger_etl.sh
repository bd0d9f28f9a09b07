#!/usr/bin/env bash
# Runs the DAG experiment_features over Airflow's REST API and waits until it ends. The last line on
# standard output is the result, a JSON object, and the run's note in Airflow names its source. Exit
# status 1: the run was refused, or failed; 130: interrupted by Control-C; the run continues.
#
# usage: scripts/trigger_etl.sh [SOURCE] [--conf JSON]
#   SOURCE        folder or URI of the drop (default: the drop of the last load; the sample drop if
#                 nothing has been loaded yet)
#   --conf JSON   the run's other parameters, such as '{"engine": "duckdb", "force": true}'
#
# Environment:
#   AIRFLOW_URL, AIRFLOW_USER, AIRFLOW_PASSWORD   the Airflow to call (default: the running stack's)
#   EXPERIMENT_FEATURES_TARGET    local or docker, when both stacks are running
#   EXPERIMENT_FEATURES_LOCAL     folder of the stack's state, an absolute path (default: .local)
#   EXPERIMENT_FEATURES_DROPS     folder of the drops, with Docker (default: drops)
#   EXPERIMENT_FEATURES_SECRETS   folder of the secrets, with Docker (default: .secrets)
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/local_env.sh"
source "$(dirname "${BASH_SOURCE[0]}")/docker_env.sh"

source_uri='' conf='{}'
while [[ $# -gt 0 ]]; do
    case $1 in
        --conf) [[ $# -ge 2 ]] || wrong_usage && conf=$2 && shift ;;
        -*) wrong_usage ;;
        *) [[ -z $source_uri && -n $1 ]] || wrong_usage && source_uri=$1 ;;
    esac
    shift
done

[[ -x $python ]] || python=python3 # only to read and write JSON: any Python will do
stack=other
[[ -n ${AIRFLOW_URL:-} ]] || choose_stack
url=${AIRFLOW_URL:-$airflow_url}
url=${url%/}
# In containers there is an account for this alone.
if [[ $stack == docker ]]; then user=${AIRFLOW_USER:-api}; else user=${AIRFLOW_USER:-admin}; fi
runs=/api/v2/dags/experiment_features/dagRuns
run_id=''

interrupted() {
    printf '\n' >&2 # behind the ^C
    [[ -z $run_id ]] || printf '%s: interrupted, but the run is still in progress: %s\n' "$(basename "$0")" "$(run_page)" >&2
    exit 130
}
trap interrupted INT

run_page() { printf '%s/dags/experiment_features/runs/%s' "$url" "$run_id"; }

# Secrets go through curl's standard input: the list of processes shows arguments.
secret=''

request() { # PATH CURL_ARGUMENTS...: sets status and body
    local response
    response=$(printf '%s' "$secret" | curl --silent --show-error --max-time 60 \
        --header 'Content-Type: application/json' --write-out '\n%{http_code}' \
        "${@:2}" "$url$1" 2>&1) || { body=${response%%$'\n'*} && return 1; }
    status=${response##*$'\n'} body=${response%$'\n'*}
}

get() { # EXPRESSION; in it, body is the JSON on standard input
    "$python" -c "import json, sys; body = json.load(sys.stdin); print($1)" 2>/dev/null
}

unreachable() { fail "cannot reach Airflow at $url: ${body#curl: }"; }

refused() { # WHAT
    local detail
    detail=$(get '" ".join(str(body["detail"]).partition("\n\n")[0].split())' <<<"$body") || detail=${body%%$'\n'*}
    fail "$1 (HTTP $status): $detail"
}

known_password() {
    case $stack in
        local) get 'body["admin"]' <"$passwords" ;;
        docker) cat "$secrets/${user}_password" 2>/dev/null ;;
        *) return 1 ;;
    esac
}

log_in() { # sets secret to the header that all further requests need
    [[ -n ${AIRFLOW_PASSWORD:-} ]] || AIRFLOW_PASSWORD=$(known_password) || fail "set AIRFLOW_PASSWORD for $url"
    secret=$(printf '%s\n%s' "$user" "$AIRFLOW_PASSWORD" | "$python" -c '
import json, sys
print(json.dumps(dict(zip(("username", "password"), sys.stdin.read().split("\n", 1)))))')
    request /auth/token --data @- || unreachable
    [[ $status != 401 ]] || fail "wrong user or password for $url (user $user)"
    secret=$(get '"Authorization: Bearer " + body["access_token"]' <<<"$body") || refused "cannot log in at $url"
}

make_body() {
    "$python" -c '
import datetime, json, sys
conf = {**json.loads(sys.argv[1])}
if sys.argv[2]:
    conf["source"] = sys.argv[2]
# Our own name: by it, the ledger tells runs over REST from those of the Trigger button.
run_id = f"api__{datetime.datetime.now(datetime.timezone.utc):%Y-%m-%dT%H:%M:%S.%fZ}"
print(json.dumps({"dag_run_id": run_id, "logical_date": None, "conf": conf}))' "$conf" "$source_uri" 2>/dev/null ||
        fail "--conf must be a JSON object, not $conf"
}

report_state() { # STATE
    [[ $1 == "$state" ]] || say "$1" >&2
    state=$1
}

wait_for_run() { # sets state and, if Airflow sends the result, last
    local line misses=0
    # One request: Airflow sends the state ten times a second, and the result of load at the end.
    while IFS= read -r line; do
        [[ ! $line =~ \"state\":\ *\"([a-z]+)\" ]] || report_state "${BASH_REMATCH[1]}"
        last=$line
    done < <(printf '%s' "$secret" | curl --silent --no-buffer --fail --header @- "$url$runs/$run_id/wait?interval=0.1&result=load")
    # That endpoint is experimental, and connections break: polling always works.
    while [[ $state != success && $state != failed ]]; do
        sleep 2
        if request "$runs/$run_id" --header @- && [[ $status == 200 ]]; then
            misses=0
            report_state "$(get 'body["state"]' <<<"$body")"
        else
            misses=$((misses + 1))
            [[ $misses -lt 150 ]] || fail "lost the connection to $url while the run $run_id was $state"
        fi
        last=''
    done
}

explain_failure() {
    local page task try reason=''
    page=$(run_page)
    request "$runs/$run_id/taskInstances?state=failed" --header @- || unreachable
    task=$(get 'body["task_instances"][0]["task_id"]' <<<"$body") || fail "the run failed; see $page"
    try=$(get 'body["task_instances"][0]["try_number"]' <<<"$body")
    # The last error in the task's log: the exception's message, or the line itself.
    if request "$runs/$run_id/taskInstances/$task/logs/$try?full_content=true" --header @- --header 'Accept: application/json'; then
        reason=$(get '" ".join([(line.get("error_detail") or [{}])[0].get("exc_value") or line["event"]
            for line in body["content"] if line.get("level") in ("error", "critical")][-1].split())' <<<"$body") || true
    fi
    fail "$task failed: ${reason:-no error in its log}$(how_to_allow "$reason") ($page)"
}

# The run had nothing to do, which is not a failure.
explain_skip() {
    local reason=''
    if request "$runs/$run_id/taskInstances/extract/logs/1?full_content=true" --header @- --header 'Accept: application/json'; then
        reason=$(get '[line["reason"] for line in body["content"] if "reason" in line][-1]' <<<"$body") || true
    fi
    say "Skipped: ${reason:-its log says why} ($(run_page))" >&2
    "$python" -c 'import json, sys; print(json.dumps({"run_id": sys.argv[1], "status": "skipped"}))' "$run_id"
    exit 0
}

# Prints how to run it again with the limit raised that a message names: to the value it suggests, or
# else just above the highest percentage in it.
how_to_allow() { # MESSAGE
    local limit rest=$1 highest=''
    [[ $1 =~ max_[a-z]+_percent ]] || return 0
    limit=${BASH_REMATCH[0]}
    while [[ $rest =~ ([0-9]+)(\.[0-9]+)?\ ?%(.*)$ ]]; do
        rest=${BASH_REMATCH[3]}
        [[ ${BASH_REMATCH[1]} -lt ${highest:-0} ]] || highest=${BASH_REMATCH[1]}
    done
    [[ $1 != *"$limit 100"* ]] || highest=100
    [[ -z $highest ]] || "$python" -c '
import json, shlex, sys
conf = {**json.loads(sys.argv[1]), sys.argv[2]: int(sys.argv[3])}
print(end=f": --conf {shlex.quote(json.dumps(conf))}")' \
        "$conf" "$limit" "$((highest < 100 ? highest + 1 : 100))"
}

# Makes the source that a run has found its note, unless this account may not change runs, as `api`
# may not.
note_source() {
    local note
    request "$runs/$run_id/taskInstances/extract/xcomEntries/source" --header @- || return 0
    note=$(get 'json.dumps({"note": body["value"][:1000]})' <<<"$body") || return 0
    request "$runs/$run_id?update_mask=note" --request PATCH --header @- --data "$note" || true
}

print_result() { # EXPRESSION; restores the order of the names, which Airflow's database loses
    PYTHONPATH=$root/include "$python" -c "
import json, sys
body = json.load(sys.stdin)
try:
    from experiment_features.run import in_order
except (ImportError, SyntaxError, TypeError):  # a Python that is older than the pipeline's
    in_order = dict
print(json.dumps(in_order($1)))" 2>/dev/null
}

# Tasks run in another folder, where a relative path would lead elsewhere.
[[ ! -d $source_uri ]] || source_uri=$(cd "$source_uri" && pwd)
if [[ $stack == docker ]]; then source_uri=$(path_in_container "$source_uri"); fi
run_request=$(make_body)
log_in
run_id=$(get 'body["dag_run_id"]' <<<"$run_request") # before Airflow knows it: Control-C may come at any time
request "$runs" --header @- --data "$run_request" || unreachable
[[ $status == 200 ]] || refused 'Airflow refuses the run'
say "Run $run_id" >&2
state='' last=''
wait_for_run
[[ $state == success ]] || { note_source; explain_failure; }
if ! result=$(print_result 'body["results"]["load"]' <<<"$last"); then
    request "$runs/$run_id/taskInstances/load/xcomEntries/return_value" --header @- || unreachable
    [[ $status != 404 ]] || { note_source; explain_skip; }
    result=$(print_result 'body["value"]' <<<"$body") || refused 'the run succeeded, but its result cannot be read'
fi
printf '%s\n' "$result"
note_source # only now: the result is what the caller waits for
