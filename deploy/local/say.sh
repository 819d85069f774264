# shellcheck shell=bash disable=SC2034,SC2154 # the pieces share variables
# Talking to the person, and telling our processes from everybody else's. Sourced by ./dev.
#
# Progress and complaints go to stderr, results (an address, exports) to stdout, so that `$(./dev
# server url DIR)` is only the address.

say() { printf '→ %s\n' "$*" >&2; }
warn() { printf '! %s\n' "$*" >&2; }

# What went wrong, then what to do about it, one line each.
complain() {
    printf '✗ %s\n' "$1" >&2
    shift
    # One argument may be several lines of apt's, or empty.
    (($# == 0)) || printf '%s\n' "$@" | sed '/^$/d; s/^/  /' >&2
}

fail() {
    complain "$@"
    exit 1
}

# The lines of a log that a person would look for first.
log_excerpt() {
    [[ -s $1 ]] || return 0
    {
        grep -E '\[ERROR\]|^(ERROR|FATAL)|\b(ERROR|FATAL|Error:|panicked at)\b' "$1" ||
            tail -n 4 "$1"
    } | tail -n 4 | cut -c1-300 | sed 's/^/  | /' >&2
    printf '  the whole log: %s\n' "$1" >&2
}

# A pid alone says nothing a minute later: the number is given to somebody else. Pid, start time and
# boot together name one process for ever. Prints that name while PID runs. A zombie does not run,
# unless threads of it still hold files.
process_name() {
    local line fields threads
    { IFS= read -r line <"/proc/$1/stat"; } 2>/dev/null || return 1
    read -ra fields <<<"${line##*) }" # the command before it may itself hold spaces and parentheses
    if [[ ${fields[0]} == [ZX] ]]; then
        threads=("/proc/$1/task"/*)
        ((${#threads[@]} > 1)) || return 1
    fi
    printf '%s %s %s\n' "$1" "${fields[19]}" "$(</proc/sys/kernel/random/boot_id)"
}

# Prints the pid recorded in FILE while that very process runs.
alive() {
    local name
    { IFS= read -r name <"$1"; } 2>/dev/null || return 1
    [[ -n $name && $(process_name "${name%% *}") == "$name" ]] || return 1
    printf '%s\n' "${name%% *}"
}

# launch PIDFILE LOG COMMAND...: starts COMMAND in a session of its own, so that Ctrl-C reaches us
# and not it: we stop things in their order. It gets none of our locks, or they would be held as
# long as it lives (descriptor 7: the cache of programs.sh, 8: the instance, 9: a server). It
# carries the name of its pid file, by which `stray` finds it if the file is lost.
launch() {
    local pidfile=$1 log=$2
    shift 2
    ZHANGFANG_DEV_PIDFILE=$pidfile setsid "$@" </dev/null >>"$log" 2>&1 7>&- 8>&- 9>&- &
    launched=$!
    # It may have died already; whoever waits for it will say so.
    process_name "$launched" >"$pidfile" || true
}

# Finds a process that was launched with PIDFILE although the file is gone (somebody deleted .dev
# under it, or we were killed before we wrote it). A server is also known by working in the folder
# DATA: Redis overwrites its environment with a title. Prints the process's name (process_name), or
# nothing.
stray() {
    local pidfile=$1 data=${2:-} process command
    {
        grep -lszxF "ZHANGFANG_DEV_PIDFILE=$pidfile" /proc/[0-9]*/environ || true
        [[ -z $data ]] || working_in "$data"
    } | while IFS=/ read -r _ _ process _; do # of /proc/PID/…
        # Whoever inherited the variable without being the program: a shell, or ourselves.
        command=$(tr '\0' ' ' 2>/dev/null <"/proc/$process/cmdline") || continue
        [[ $process != "$$" ]] || continue
        [[ $command == *@(mysqld|mariadbd|redis-server|wechat-pay-simulator|zhangfang)* ]] ||
            continue
        process_name "$process" || true
    done | head -n 1 || true
}

# Prints /proc/PID/cwd of every process that works in a folder, or did before it was deleted.
working_in() {
    find /proc -mindepth 2 -maxdepth 2 -name cwd -printf '%p\t%l\n' 2>/dev/null |
        FOLDER=$1 awk -F'\t' '
            $2 == ENVIRON["FOLDER"] || $2 == ENVIRON["FOLDER"] " (deleted)" { print $1 }'
}

# finish PIDFILE SECONDS WHAT: asks politely, and after SECONDS does not ask.
finish() {
    local pid tenths
    if ! pid=$(alive "$1"); then
        rm -f "$1"
        return 0
    fi
    if ! kill -TERM "$pid" 2>/dev/null && alive "$1" >/dev/null; then
        complain "$3 (pid $pid) belongs to another user" "stop it as that user: ./dev stop"
        return 1
    fi
    for ((tenths = $2 * 10; tenths > 0; tenths--)); do
        alive "$1" >/dev/null || break
        sleep 0.1
    done
    if alive "$1" >/dev/null; then
        warn "$3 did not stop within $2 s: killing it"
        slay "$1"
    fi
    rm -f "$1"
}

# kill -9, and back only when it is gone.
slay() {
    local pid
    while pid=$(alive "$1"); do
        kill -KILL "$pid" 2>/dev/null || return 1
        sleep 0.02
    done
    rm -f "$1"
}

# Runs a long command so that a signal to us ends it with everything it started: in a process group
# of its own, which the exit trap kills. Without this bash would sit out a twenty-minute test run
# before it looked at a TERM.
attended=
attend() {
    local status=0
    set -m
    "$@" </dev/null 7>&- 8>&- 9>&- &
    attended=$!
    set +m
    [[ -z ${attended_note:-} ]] || process_name "$attended" >"$attended_note" || true
    wait "$attended" || status=$?
    attended=
    return "$status"
}

dismiss_attended() {
    local group=$attended tenths
    [[ -n $group ]] || return 0
    attended=
    disown "$group" 2>/dev/null # or bash reports its death over our own last lines
    kill -TERM -- "-$group" 2>/dev/null || return 0
    for ((tenths = 50; tenths > 0; tenths--)); do
        kill -0 -- "-$group" 2>/dev/null || return 0
        sleep 0.1
    done
    kill -KILL -- "-$group" 2>/dev/null || true
}

# From here on every way out, Ctrl-C included, goes through the function named.
on_the_way_out() {
    # shellcheck disable=SC2064 # the name is meant to be fixed now
    trap "way_out $1" EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    trap 'exit 129' HUP
}

way_out() {
    local status=$?
    # A second Ctrl-C must not leave a server behind; everything below has its own time limit.
    trap '' INT TERM HUP PIPE
    trap - EXIT
    set +e
    dismiss_attended
    "$1"
    exit "$status"
}

# Is something listening (state 0A) on this TCP port? Read from the kernel, so that asking does not
# open a connection.
port_busy() {
    local hex tables=(/proc/net/tcp)
    hex=$(printf '%04X' "$1")
    [[ ! -r /proc/net/tcp6 ]] || tables+=(/proc/net/tcp6)
    # Columns: number, local address, remote address, state.
    grep -qE "^ *[0-9]+: [0-9A-F]+:$hex [0-9A-F]+:[0-9A-F]+ 0A " "${tables[@]}"
}

free_port() {
    local port=$1
    while port_busy "$port"; do port=$((port + 1)); done
    printf '%s\n' "$port"
}

# The status code of GET http://127.0.0.1:PORT/PATH, without needing curl.
http_status() (
    exec 2>/dev/null
    exec 3<>"/dev/tcp/127.0.0.1/$1" || exit 1
    printf 'GET %s HTTP/1.1\r\nHost: 127.0.0.1:%s\r\nConnection: close\r\n\r\n' "$2" "$1" >&3
    read -r -t 3 _ code _ <&3 || exit 1
    printf '%s\n' "$code"
)

# For the value of a URL parameter; `/` may stay.
percent_encoded() {
    local LC_ALL=C text=$1 out='' char i
    for ((i = 0; i < ${#text}; i++)); do
        char=${text:i:1}
        case $char in
            [A-Za-z0-9/._~-]) out+=$char ;;
            # Some versions of bash sign-extend bytes above 127: the last two digits are the byte.
            *) printf -v char '%02X' "'$char" && out+=%${char: -2} ;;
        esac
    done
    printf '%s\n' "$out"
}
