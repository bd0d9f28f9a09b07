#!/usr/bin/env bash
# Builds the image, makes the secrets on the first run, and brings the stack in containers up; returns
# when it is healthy and knows the DAG. `docker compose down` stops it; the data stay.
# usage: scripts/start_docker.sh      (AIRFLOW_PORT=8080, EXPERIMENT_FEATURES_DROPS=drops)
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/local_env.sh"
source "$(dirname "${BASH_SOURCE[0]}")/docker_env.sh"
[[ $# -eq 0 ]] || fail "usage: scripts/start_docker.sh"

timeout_seconds=600

build() {
    local output
    output=$(compose --progress plain build 2>&1) || {
        printf '%s\n' "$output" | tail -n 40 >&2
        fail 'docker compose build failed'
    }
}

bring_up() {
    local output service
    output=$(compose up --detach --wait --wait-timeout "$timeout_seconds" 2>&1) && return
    while read -r service; do
        compose logs --no-color --no-log-prefix --tail 25 "$service" >&2
    done < <(compose ps --all --format '{{.Service}} {{.ExitCode}} {{.Health}}' | grep -vE ' 0 (healthy)?$' | cut -d ' ' -f 1)
    fail "docker compose up failed: $(tail -n 1 <<<"$output")"
}

random_bytes() { head -c "$1" /dev/urandom; }

# Makes the secrets that are missing; those that are there stay as they are.
make_secrets() {
    local name value
    mkdir -p "$secrets"
    # The folder keeps others out. The files are for containers, whose users have other numbers.
    chmod 700 "$secrets"
    for name in {airflow,features_owner,features_writer,features_reader,admin,api}_password jwt_secret session_key fernet_key; do
        [[ ! -s $secrets/$name ]] || continue
        case $name in
            fernet_key) value=$(random_bytes 32 | base64 | tr '+/' '-_') ;;
            *) value=$(random_bytes 32 | od -An -v -tx1 | tr -d ' \n') ;;
        esac
        printf '%s' "$value" >"$secrets/$name.partial"
        chmod 444 "$secrets/$name.partial"
        mv "$secrets/$name.partial" "$secrets/$name"
    done
}

ask_airflow() { # QUERY
    compose exec -T postgres psql --no-psqlrc --quiet --no-align --tuples-only \
        --username=postgres --dbname=airflow --command="$1"
}

wait_for_dag() {
    local deadline=$((SECONDS + timeout_seconds)) error
    until [[ -n $(ask_airflow "select 1 from dag where dag_id = 'experiment_features' and not is_stale") ]]; do
        error=$(ask_airflow 'select filename || chr(10) || stacktrace from import_error')
        [[ -z $error ]] || fail "Airflow cannot import the DAG: $error"
        [[ $SECONDS -lt $deadline ]] || fail "waited $timeout_seconds s for the DAG: see docker compose logs dag-processor"
        sleep 0.5
    done
}

docker compose version >/dev/null 2>&1 || fail 'needs Docker with its Compose plugin (docker compose)'
docker info >/dev/null 2>&1 || fail 'cannot reach the Docker engine: is it running, and may you use it?'
[[ -n ${EXPERIMENT_FEATURES_DROPS:-} ]] || mkdir -p "$drops"
[[ -d $drops ]] || fail "EXPERIMENT_FEATURES_DROPS is $drops: there is no such folder"
if ! docker_url >/dev/null && (exec 3<>"/dev/tcp/127.0.0.1/$AIRFLOW_PORT") 2>/dev/null; then
    fail "port $AIRFLOW_PORT is taken; choose another one: AIRFLOW_PORT=8081 $0"
fi

make_secrets
say "Building the image"
build
say "Starting the containers"
bring_up
wait_for_dag
say "Airflow is healthy: $(docker_url)"
cat <<END
       user      admin
       password  in $secrets/admin_password
       drops     in $drops
       stop      docker compose down
END
