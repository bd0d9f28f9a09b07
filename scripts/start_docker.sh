#!/usr/bin/env bash
# Starts the stack in containers, and returns when Airflow is healthy and knows the DAG. Builds the
# image, and on the first run makes the secrets. `docker compose down` stops it; the data is kept.
#
# usage: scripts/start_docker.sh
#
# Environment:
#   AIRFLOW_PORT                  port of Airflow's UI and API (default: 8080)
#   EXPERIMENT_FEATURES_DROPS     folder of the drops (default: drops)
#   EXPERIMENT_FEATURES_SECRETS   folder of the secrets (default: .secrets)
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/local_env.sh"
source "$(dirname "${BASH_SOURCE[0]}")/docker_env.sh"
[[ $# -eq 0 ]] || wrong_usage

timeout_seconds=600

# The image has no repository, so it is told its commit.
build() {
    local output
    if [[ -e $root/.git ]]; then
        EXPERIMENT_FEATURES_COMMIT=$(git -C "$root" describe --always --dirty '--exclude=*' --abbrev=40 2>/dev/null) || true
        export EXPERIMENT_FEATURES_COMMIT
    fi
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

# Makes the secrets that are missing.
make_secrets() {
    local name value
    mkdir -p "$secrets"
    # The folder keeps others out; the files must be open, for users in containers have other ids.
    chmod 700 "$secrets"
    for name in {airflow,features_owner,features_writer,features_reader,admin,api,redis}_password jwt_secret session_key fernet_key; do
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

# Asks as the account that can only trigger: if it sees the DAG, accounts and roles are there too.
knows_dag() { # URL
    local token
    token=$(printf '{"username": "api", "password": "%s"}' "$(<"$secrets/api_password")" |
        curl --silent --fail --header 'Content-Type: application/json' --data @- "$1/auth/token" |
        sed -E 's/.*"access_token": *"([^"]+)".*/\1/') &&
        printf 'Authorization: Bearer %s' "$token" |
        curl --silent --fail --output /dev/null --header @- "$1/api/v2/dags/experiment_features"
}

wait_for_dag() { # URL
    local deadline=$((SECONDS + timeout_seconds))
    until knows_dag "$1"; do
        [[ $SECONDS -lt $deadline ]] || fail "gave up after $timeout_seconds s of waiting for the DAG: see docker compose logs dag-processor"
        sleep 1
    done
}

docker compose version >/dev/null 2>&1 || fail 'Docker with its Compose plugin (docker compose) is needed'
docker info >/dev/null 2>&1 || fail 'cannot reach the Docker engine: is it running, and are you allowed to use it?'
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
url=$(docker_url)
wait_for_dag "$url"
say "Airflow is healthy: $url"
cat <<END
       user      admin
       password  in $secrets/admin_password
       drops     in $drops
       stop      docker compose down
END
