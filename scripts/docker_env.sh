# shellcheck shell=bash disable=SC2034,SC2154 # sourced behind local_env.sh, by scripts that use both
# Where the stack in containers is, and which of the two stacks a script works with.

# Compose, too, takes a relative path from the project's folder.
in_project() { if [[ $1 == /* ]]; then printf '%s\n' "$1"; else printf '%s\n' "$root/$1"; fi; } # PATH
secrets=$(in_project "${EXPERIMENT_FEATURES_SECRETS:-.secrets}")
drops=$(in_project "${EXPERIMENT_FEATURES_DROPS:-drops}")

compose() { (cd "$root" && docker compose "$@"); }

compose_exec() { # SERVICE COMMAND...; on a terminal if there is one
    local terminal=(--no-TTY)
    [[ ! -t 0 || ! -t 1 ]] || terminal=()
    compose exec ${terminal[@]+"${terminal[@]}"} "$@"
}

# Prints the URL of the stack in containers; fails if it is not running.
docker_url() {
    local address
    [[ -d $secrets ]] && address=$(compose port api-server 8080 2>/dev/null) && printf 'http://%s\n' "$address"
}

# Prints where the containers see a folder: of this machine, they see the drops and the samples.
path_in_container() { # PATH
    local path shared
    path=$(real_path "$1") shared=$(real_path "$drops")
    case $path/ in
        "$shared"/*) printf '/drops%s\n' "${path#"$shared"}" ;;
        "$root"/include/data/*) printf '/opt/airflow%s\n' "${path#"$root"}" ;;
        *)
            [[ ! -d $1 ]] || fail "the containers do not see $1: put the drop into $drops"
            printf '%s\n' "$1"
            ;;
    esac
}

real_path() { # PATH
    if [[ -d $1 ]]; then (cd "$1" && pwd -P); else printf '%s\n' "$1"; fi
}

no_stack='no stack is running: start one with scripts/start.sh, or in containers with scripts/start_docker.sh'

# Sets stack to local or docker, and airflow_url to its address.
choose_stack() {
    find_stack
    [[ -n $stack ]] || fail "$no_stack"
}

# As choose_stack, but leaves stack empty when none is running.
find_stack() {
    local url='' wanted=${EXPERIMENT_FEATURES_TARGET:-}
    [[ $wanted =~ ^(local|docker)?$ ]] || fail "EXPERIMENT_FEATURES_TARGET is $wanted: expected local or docker"
    [[ $wanted == local ]] || url=$(docker_url) || true
    stack=''
    if [[ $wanted == docker && -z $url ]]; then
        fail 'the stack in containers is not running: start it with scripts/start_docker.sh'
    elif [[ -z $wanted && -s $local/port && -n $url ]]; then
        fail "both stacks are running: choose with EXPERIMENT_FEATURES_TARGET=local or =docker"
    elif [[ -n $url ]]; then
        stack=docker airflow_url=$url
    elif [[ -s $local/port ]]; then
        stack=local
    fi
}
