# shellcheck shell=bash disable=SC2034,SC2154 # sourced behind local_env.sh, by scripts that use both
# Where the stack in containers is, and which of the two stacks a script works with.

secrets=${EXPERIMENT_FEATURES_SECRETS:-$root/.secrets}
drops=${EXPERIMENT_FEATURES_DROPS:-$root/drops}

compose() { (cd "$root" && docker compose "$@"); }

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

# Sets stack to local or docker, and airflow_url to its address.
choose_stack() {
    local url=''
    stack=${EXPERIMENT_FEATURES_TARGET:-}
    [[ $stack == local ]] || url=$(docker_url) || true
    case $stack in
        '')
            if [[ -s $local/port && -n $url ]]; then
                fail "both stacks are running: choose with EXPERIMENT_FEATURES_TARGET=local or =docker"
            fi
            if [[ -n $url ]]; then stack=docker; else stack=local; fi
            ;;
        local | docker) ;;
        *) fail "EXPERIMENT_FEATURES_TARGET is $stack: expected local or docker" ;;
    esac
    if [[ $stack == docker ]]; then
        [[ -n $url ]] || fail 'the stack in containers is not running: start it with scripts/start_docker.sh'
        airflow_url=$url
    elif [[ ! -s $local/port ]]; then
        fail 'no stack is running: start one with scripts/start.sh, or in containers with scripts/start_docker.sh'
    fi
}
