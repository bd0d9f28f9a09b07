# shellcheck shell=bash
# Reads settings as Docker Compose reads .env: as data, never as shell. Sourced by local_env.sh.

# Exports the settings in a file, except those that are already in the environment.
read_settings() { # FILE
    local line name value
    local assignment='^[[:blank:]]*(export[[:blank:]]+)?([A-Za-z0-9_.-]+)[[:blank:]]*([=:][[:blank:]]*(.*))?$'
    [[ -e $1 ]] || return 0
    while IFS= read -r line || [[ -n $line ]]; do
        line=${line%$'\r'}
        [[ ! $line =~ ^[[:blank:]]*(#|$) ]] || continue
        [[ $line =~ $assignment ]] || fail "$1: expected NAME=value, not $line"
        name=${BASH_REMATCH[2]} value=${BASH_REMATCH[4]}
        [[ -n ${BASH_REMATCH[3]} ]] || continue # to Compose, this refers to the environment
        case $value in
            [\'\"]*) read_quoted ;;
            *)
                value=${value%% #*}
                resolve "${value%"${value##*[![:space:]]}"}"
                ;;
        esac
        [[ ! $name =~ ^[A-Z_][A-Z0-9_]*$ || -n ${!name+set} ]] || export "$name=$value"
    done <"$1"
}

# Sets value to the text in its quotes, which may span several lines.
read_quoted() {
    local more quote=${value:0:1}
    local quoted="^$quote(([^\\\\$quote]|\\\\.)*)$quote"
    until [[ $value =~ $quoted ]]; do
        IFS= read -r more || fail "the value of $name has an opening quote, but no closing one"
        value+=$'\n'${more%$'\r'}
    done
    value=${BASH_REMATCH[1]}
    if [[ $quote == "'" ]]; then
        value=${value//"\\'"/"'"}
    else
        unescape "$value"
        resolve "$value"
    fi
}

# Sets value to a text without its backslashes; `\$` becomes `$$`, which resolve takes for a `$`.
unescape() { # TEXT
    local rest=$1
    value=''
    while [[ $rest =~ ^([^\\]*)\\(.)(.*)$ ]]; do
        value+=${BASH_REMATCH[1]} rest=${BASH_REMATCH[3]}
        case ${BASH_REMATCH[2]} in
            n) value+=$'\n' ;;
            r) value+=$'\r' ;;
            t) value+=$'\t' ;;
            '$') value+='$$' ;;
            [\"\\]) value+=${BASH_REMATCH[2]} ;;
            *) value+=\\${BASH_REMATCH[2]} ;;
        esac
    done
    value+=$rest
}

# Sets value to a text with $NAME and ${NAME} replaced by what they refer to.
resolve() { # TEXT
    local rest=$1 of
    value=''
    while [[ $rest =~ ^([^$]*)\$(.*)$ ]]; do
        value+=${BASH_REMATCH[1]} rest=${BASH_REMATCH[2]}
        if [[ $rest == '$'* ]]; then
            value+='$' rest=${rest:1}
        elif [[ $rest =~ ^([A-Za-z_][A-Za-z0-9_]*)(.*)$ || $rest =~ ^\{([A-Za-z_][A-Za-z0-9_]*)\}(.*)$ ]]; then
            of=${BASH_REMATCH[1]} rest=${BASH_REMATCH[2]}
            value+=${!of-}
        elif [[ $rest == '{'* ]]; then
            fail "the value of $name has a \${...} that does not contain just a variable's name: write \$\$ for a \$"
        else
            value+='$'
        fi
    done
    value+=$rest
}
