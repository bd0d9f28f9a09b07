# shellcheck shell=bash
# Answers --help and -h for the script that sources this: prints the comment at its top. Sourced
# before anything else.

header() { sed -n -e 1d -e '/^#/!q' -e 's/^# \{0,1\}//p' "$0"; }

if [[ $* == --help || $* == -h ]]; then
    header
    exit 0
fi

fail() {
    printf '%s: %s\n' "$(basename "$0")" "$*" >&2
    exit "${failure:-1}"
}

wrong_usage() { fail "$(header | grep '^usage:')"; }
