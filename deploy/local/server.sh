# shellcheck shell=bash disable=SC2034,SC2154 # the pieces share variables
# One private server in one folder. Sourced by ./dev, and what `./dev server` does.
#
#   DIR/engine    mysql, mariadb or redis: also the mark by which a folder is known to be ours
#   DIR/data      what it keeps; stays through stop, kill and start
#   DIR/pid log   of the running (or the last) process
#   DIR/url       how to reach it; stays the same through kill and start
#   DIR/elsewhere the folder of its socket, when DIR is too deep for one (see socket_of)

# The accounts have no password: the socket lies in a folder that only its owner can enter, and sqlx
# refuses caching_sha2 accounts that nobody has logged in to yet over a socket. `zhangfang` gets its
# rights from `zhangfang migrate`, table by table. Run at every start: harmless twice. One statement
# a line, as init-file wants it.
accounts_sql() {
    cat <<'SQL'
CREATE DATABASE IF NOT EXISTS zhangfang CHARACTER SET utf8mb4;
CREATE USER IF NOT EXISTS 'zhangfang'@'localhost';
CREATE USER IF NOT EXISTS 'zhangfang_owner'@'localhost';
GRANT CREATE ON *.* TO 'zhangfang_owner'@'localhost';
GRANT ALL PRIVILEGES ON `zhangfang%`.* TO 'zhangfang_owner'@'localhost' WITH GRANT OPTION;
SQL
}

# What both databases are given. An acknowledged commit survives the machine: that is the point of
# the product, so also in tests and benchmarks.
database_options() {
    local pool=$1
    options=(
        --skip-networking
        --character-set-server=utf8mb4
        --default-time-zone=+00:00
        --transaction-isolation=READ-COMMITTED
        --innodb-flush-log-at-trx-commit=1
        --sync-binlog=1
        --server-id=1
        --log-bin=binlog
        --binlog-format=ROW
        --max-binlog-size=256M
        --binlog-expire-logs-seconds=3600
        --performance-schema=OFF
        --innodb-buffer-pool-size="$pool"
        --max-allowed-packet=64M
        --max-connections=1000
    )
    ((EUID != 0)) || options+=(--user=root)
}

mysql_options() {
    database_options "$1"
    options+=(
        --mysqlx=OFF
        --secure-file-priv=NULL # its default is a folder that only the installed package has
        --innodb-log-writer-threads=OFF # a fifth more at small commits on few cores
        --loose-innodb-redo-log-capacity="$2"
        # COUNT(*) of a table that fits into a page would start a thread for it: a twentieth of the
        # processor time of the tests.
        --loose-innodb-parallel-read-threads=1
        --auto-generate-certs=OFF # nobody comes over the network
        --loose-caching-sha2-password-auto-generate-rsa-keys=OFF
        --loose-sha256-password-auto-generate-rsa-keys=OFF
    )
}

mariadb_options() {
    database_options "$1"
    options+=(--innodb-log-file-size="$2")
}

# server_start ENGINE DIR [run|test]: back when it answers, with its address on stdout. On a folder
# that was used before, on the same data. A subshell, so that the lock goes with it.
server_start() (
    set -e
    engine=$1 dir=$2 size=${3:-test}
    case $engine in
        mysql | mariadb | redis) ;;
        *) fail "no engine is called $engine" "mysql, mariadb or redis" ;;
    esac
    # Somebody who starts the same server at the same moment may have made the lock, and nothing
    # else, by now.
    if [[ -d $dir && ! -e $dir/engine ]] &&
        [[ -n $(find "$dir" -mindepth 1 ! -name lock -print -quit) ]]; then
        fail "$dir is in use for something else" "name a folder that is empty or does not exist"
    fi
    mkdir -p "$dir"
    dir=$(cd "$dir" && pwd -P)
    chmod 700 "$dir"
    server_lock "$dir"
    if [[ -s $dir/engine && $(<"$dir/engine") != "$engine" ]]; then
        fail "$dir holds a $(engine_label "$(<"$dir/engine")"), not a $(engine_label "$engine")" \
            "take another folder, or delete this one"
    fi
    if server_pid "$dir" >/dev/null; then
        cat "$dir/url"
        exit 0
    fi
    echo "$engine" >"$dir/engine"
    need "$engine" || exit 1
    raise_open_files
    case $engine in
        redis) start_redis "$dir" ;;
        *) start_database "$engine" "$dir" "$size" ;;
    esac
    cat "$dir/url"
)

server_lock() {
    exec 9>"$1/lock"
    flock -w 180 9 ||
        fail "another ./dev has been starting or stopping $1 for three minutes" \
            "look for it: fuser -v $1/lock"
}

# Prints the pid of the server of a folder while it runs, also if its pid file was lost.
# (`return 0`, not `return`: in a trap the bare word returns what came before the trap.)
server_pid() {
    local dir=$1 found
    alive "$dir/pid" && return 0
    [[ -d $dir ]] || return 1
    dir=$(cd "$dir" && pwd -P)
    found=$(stray "$dir/pid" "$dir/data")
    [[ -n $found ]] || return 1
    printf '%s\n' "$found" >"$dir/pid"
    alive "$dir/pid"
}

# A database with a thousand connections needs more files than the usual 1024; far more than this
# only costs memory.
raise_open_files() {
    local most
    most=$(ulimit -Hn)
    [[ $most != unlimited && $most -lt 65535 ]] || most=65535
    ulimit -Sn "$most" 2>/dev/null || true
}

# A socket's path holds 107 bytes. A deeper folder gets its socket in a short one, which only we can
# enter.
socket_of() {
    local LC_ALL=C dir=$1 short='' # C: bytes, not characters
    if ((${#dir} + 11 <= 107)); then
        printf '%s/mysql.sock\n' "$dir"
        return 0
    fi
    [[ ! -s $dir/elsewhere ]] || short=$(<"$dir/elsewhere")
    # The short folder of last time is taken again, so that the address stays; but not if it is
    # somebody else's now, who could then be our database.
    [[ -z $short ]] || mkdir -m 700 "$short" 2>/dev/null || true
    if [[ -z $short || -L $short || ! -O $short ]]; then
        short=$(mktemp -d /tmp/zhangfang-XXXXXXXX)
        printf '%s\n' "$short" >"$dir/elsewhere"
    fi
    chmod 700 "$short"
    printf '%s/mysql.sock\n' "$short"
}

# database_url USER DATABASE DIR
database_url() {
    local socket
    socket=$(socket_of "$3")
    printf 'mysql://%s@localhost%s?socket=%s\n' "$1" "${2:+/$2}" "$(percent_encoded "$socket")"
}

start_database() {
    local engine=$1 dir=$2 size=$3 pool=256M redo=256M socket options
    [[ $size != run ]] || pool=1G redo=1G
    "${engine}_options" "$pool" "$redo"
    if [[ ! -d $dir/data ]]; then
        say "preparing a private $(engine_label "$engine") $program_version in $dir …"
        rm -rf "$dir/data.new"
        mkdir -m 700 "$dir/data.new"
        : >"$dir/log"
        "initialise_$engine" "$dir"
        mv -T "$dir/data.new" "$dir/data" # the name means: complete
    fi
    accounts_sql >"$dir/accounts.sql"
    socket=$(socket_of "$dir")
    database_url root '' "$dir" >"$dir/url"
    # We know that no server of this folder lives. MySQL would ask whether *some* process has the
    # pid in the old lock file, and not start if one has.
    rm -f "$socket" "$socket.lock" "$dir/data/server.pid"
    [[ ! -e $dir/log ]] || mv "$dir/log" "$dir/log.before"
    cd "$dir/data"
    launch "$dir/pid" "$dir/log" "${program[@]}" --datadir="$dir/data" --socket="$socket" \
        --pid-file="$dir/data/server.pid" --init-file="$dir/accounts.sql" "${options[@]}"
    cd "$dir"
    await_log "$dir" 'ready for connections' 600
}

initialise_mysql() {
    launch "$1/pid" "$1/log" "${program[@]}" --initialize-insecure --datadir="$1/data.new" \
        "${options[@]}"
    await_initialised "$1"
}

# What mariadb-install-db does, less its guesses about where things are: the system tables, a root
# without password, no anonymous account.
initialise_mariadb() {
    local file
    {
        printf '%s;\n' 'CREATE DATABASE mysql' 'USE mysql' \
            'SET @auth_root_socket = NULL' 'SET @skip_auth_anonymous = 1'
        for file in system_tables performance_tables system_tables_data; do
            cat "$program_share/mariadb_$file.sql" 2>/dev/null ||
                cat "$program_share/mysql_$file.sql"
        done
    } >"$1/bootstrap.sql"
    # The script's words reach the server on its standard input, which `launch` closes: hence the
    # shell between.
    # shellcheck disable=SC2016 # expanded by that shell
    launch "$1/pid" "$1/log" bash -c 'sql=$1; shift; exec "$@" <"$sql"' - "$1/bootstrap.sql" \
        "${program[@]}" --bootstrap --datadir="$1/data.new" "${options[@]}" --skip-log-bin
    await_initialised "$1"
    rm "$1/bootstrap.sql"
}

await_initialised() {
    if ! wait "$launched"; then
        log_excerpt "$1/log"
        fail "the private database could not be prepared" \
            "is the disk full, or $1 on a file system that cannot lock files?"
    fi
    rm -f "$1/pid"
}

# await_log DIR WORDS SECONDS: until the log of the running server has WORDS. Recovery after a crash
# may take its time, so as long as it lives we wait.
await_log() {
    local dir=$1 label tenths
    label=$(engine_label "$(<"$dir/engine")")
    for ((tenths = 0; tenths < $3 * 10; tenths++)); do
        ! grep -q "$2" "$dir/log" 2>/dev/null || return 0
        if ! alive "$dir/pid" >/dev/null; then
            ! grep -q "$2" "$dir/log" || return 0
            log_excerpt "$dir/log"
            fail "$label in $dir did not start" \
                "if its data is not needed, or from a newer version: ./dev reset," \
                "or delete that folder"
        fi
        ((tenths != 100)) || say "still waiting for $label: it may be recovering from a crash …"
        sleep 0.1
    done
    fail "$label in $dir does not answer after $3 s" "its log: $dir/log"
}

# Redis keeps nothing: whatever is in it may vanish at any time, and the service must live with
# that, here too.
start_redis() {
    local dir=$1 port last
    mkdir -p "$dir/data"
    # Servers of tests start looking at different places, so that one that is down for a moment
    # finds its port still free.
    case $dir in
        */.dev/run/redis) port=16379 ;;
        *) port=$((16400 + $(cksum <<<"$dir" | cut -d' ' -f1) % 4000)) ;;
    esac
    [[ ! -s $dir/port ]] || port=$(<"$dir/port")
    for ((last = port + 100; port < last; port++)); do
        port=$(free_port "$port")
        echo "$port" >"$dir/port"
        echo "redis://127.0.0.1:$port" >"$dir/url"
        : >"$dir/log"
        cd "$dir/data"
        launch "$dir/pid" "$dir/log" "${program[@]}" --port "$port" --bind 127.0.0.1 \
            --dir "$dir/data" --save '' --appendonly no
        cd "$dir"
        # Two that look at the same time may choose the same port: the loser takes the next.
        while alive "$dir/pid" >/dev/null; do
            ! grep -qi 'ready to accept connections' "$dir/log" || return 0
            sleep 0.05
        done
        grep -qi 'address already in use' "$dir/log" || break
    done
    log_excerpt "$dir/log"
    fail "Redis in $dir did not start" "its log: $dir/log"
}

server_dir() {
    [[ -e $1/engine ]] || fail "$1 holds no server" "./dev server start mysql|mariadb|redis $1"
    (cd "$1" && pwd -P)
}

server_stop() (
    set -e
    dir=$(server_dir "$1")
    server_lock "$dir"
    if server_pid "$dir" >/dev/null; then
        finish "$dir/pid" 60 "$(engine_label "$(<"$dir/engine")")"
    fi
    leave_elsewhere "$dir"
)

# As if the power had gone.
server_kill() (
    set -e
    dir=$(server_dir "$1")
    server_lock "$dir"
    if server_pid "$dir" >/dev/null; then
        slay "$dir/pid" ||
            fail "the server in $dir belongs to another user" "call ./dev as that user"
    fi
)

server_url() {
    local dir
    dir=$(server_dir "$1")
    cat "$dir/url"
}

# Removes the short folder of a socket, if there is one and it is ours.
leave_elsewhere() {
    local short
    [[ -s $1/elsewhere ]] || return 0
    short=$(<"$1/elsewhere")
    [[ ! -O $short || -L $short ]] || rm -rf "$short"
}

# Ends every server below a folder at once, then removes the folder: for data that nobody will look
# at again.
discard_servers() {
    local folder=$1 mark
    while IFS= read -r -d '' mark; do
        server_kill "${mark%/engine}" || true
        leave_elsewhere "${mark%/engine}"
    done < <(find "$folder" -maxdepth 4 -name engine -type f -print0 2>/dev/null)
    rm -rf "$folder"
}
