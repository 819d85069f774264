# shellcheck shell=bash disable=SC2034,SC2154 # the pieces share variables
# The running instance of this checkout: ./dev run, stop, reset, status, env, and commands against
# it. Sourced by ./dev.
#
#   .dev/run/owner            the ./dev that is starting it or follows it; absent when detached
#   .dev/run/env              how to reach it, as exports
#   .dev/run/db redis         private servers, see server.sh
#   .dev/run/wechat           keys and settings of the simulator
#   .dev/run/service.log ...  what they say
#   .dev/run.lock             held while starting or stopping
#
# Order matters both ways: what is started last depends on what was started first, and is stopped
# first.
#
# A program is known by its pid file, `$run_dir/NAME.pid`, and a server by its folder,
# `$run_dir/NAME` (server.sh).

programs_run=(service simulator)
servers_run=(db redis)

# Seconds in which the service finishes what it has accepted before it is killed.
service_patience=30

# How many times faster than WeChat the simulator's time runs, and with it the service's patience:
# what takes WeChat minutes can be looked at.
time_times=10

# lock_instance FLOCK_OPTIONS...: until this shell ends, or closes descriptor 8.
lock_instance() {
    mkdir -p "$dev_dir"
    exec 8>"$dev_dir/run.lock"
    flock "$@" 8
}

# A shell that has evaluated `./dev env` carries the settings of our own instance. They must not be
# taken for a database of the person's own, which choose_stores would use instead of ours.
forget_own_exports() {
    local name
    for name in ${ZHANGFANG_DEV_EXPORTS:-}; do unset "$name"; done
    unset ZHANGFANG_DEV_EXPORTS
}

# Does everything run that belongs to the instance?
instance_up() {
    local name
    for name in "${programs_run[@]}"; do
        alive "$run_dir/$name.pid" >/dev/null || return 1
    done
    for name in "${servers_run[@]}"; do
        ! is_ours "$name" || server_pid "$run_dir/$name" >/dev/null || return 1
    done
}

# Does the instance use a server of its own, and not the person's? `unused` marks one whose data is
# kept while the person's is used.
is_ours() {
    [[ -e $run_dir/$1/engine && ! -e $run_dir/$1/unused ]]
}

# Does anything of the instance run?
instance_leftovers() {
    local name
    for name in "${programs_run[@]}"; do
        ! alive "$run_dir/$name.pid" >/dev/null || return 0
    done
    for name in "${servers_run[@]}"; do
        ! server_pid "$run_dir/$name" >/dev/null || return 0
    done
    return 1
}

# Ends processes of ours whose pid files are gone, because somebody deleted .dev while they ran:
# they hold ports, and nothing else would find them. Their data went with the folder, so they are
# killed. A server that still has its folder is left to server_pid, which finds it gently.
end_strays() {
    local name
    for name in "${programs_run[@]}"; do
        alive "$run_dir/$name.pid" >/dev/null || end_stray "$name" "$run_dir/$name.pid" ''
    done
    for name in "${servers_run[@]}"; do
        [[ -e $run_dir/$name/engine ]] || alive "$run_dir/$name/pid" >/dev/null ||
            end_stray "$name" "$run_dir/$name/pid" "$run_dir/$name/data"
    done
}

# end_stray WHAT PIDFILE DATA
end_stray() {
    local found
    found=$(stray "$2" "$3")
    [[ -n $found ]] || return 0
    say "ending a $1 (pid ${found%% *}) that has outlived its folder"
    kill -KILL "${found%% *}" || true
}

# Stops whatever runs, last started first. Also the way out of ./dev run.
instance_down() {
    instance_leftovers || return 0
    ! alive "$run_dir/service.pid" >/dev/null || say "stopping the service …"
    finish "$run_dir/service.pid" "$service_patience" "the service"
    finish "$run_dir/simulator.pid" 5 "the simulator"
    [[ ! -e $run_dir/redis/engine ]] || server_stop "$run_dir/redis"
    if [[ -e $run_dir/db/engine ]]; then
        ! server_pid "$run_dir/db" >/dev/null ||
            say "stopping the private $(engine_label "$(<"$run_dir/db/engine")") …"
        server_stop "$run_dir/db"
    fi
}

# The way out of a ./dev run in the foreground: Ctrl-C, an error, or a part that died.
leave_run() {
    [[ -z ${follower:-} ]] || kill "$follower" 2>/dev/null
    lock_instance -w 60
    if instance_leftovers; then
        instance_down
        say "stopped; the data stays in $(shown "$run_dir") (./dev reset deletes it)"
    fi
    rm -f "$run_dir/owner"
}

# A path as a person would write it.
shown() {
    printf '%s\n' "${1#"$root"/}"
}

instance_run() {
    local detach='' engine=${ZHANGFANG_DEV_ENGINE:-} format=${ZHANGFANG_LOG__FORMAT:-pretty}
    while (($#)); do
        case $1 in
            --detach | -d) detach=yes ;;
            --engine) engine=${2:-} && shift ;;
            --engine=*) engine=${1#*=} ;;
            *) fail "./dev run does not know $1" "./dev run [--detach] [--engine mysql|mariadb]" ;;
        esac
        shift
    done
    [[ -z $engine || $engine == mysql || $engine == mariadb ]] ||
        fail "no engine is called $engine" "mysql or mariadb"
    forget_own_exports
    lock_instance -n ||
        fail "another ./dev is starting or stopping this instance$(owner_said)" \
            "wait for it, or: ./dev stop"
    if instance_up; then
        say "already running$(owner_said); ./dev stop ends it"
        introduce
        return 0
    fi
    end_strays
    mkdir -p "$run_dir"
    chmod 700 "$run_dir"
    if instance_leftovers; then
        say "stopping what an interrupted run has left …"
        instance_down
    fi
    sweep
    process_name $$ >"$run_dir/owner"
    on_the_way_out leave_run

    need_rust
    # Brings what is missing before the long build, while somebody still looks.
    choose_stores "$engine"
    build_binary
    start_stores
    choose_ports
    choose_settings "$format"
    migrate
    start_simulator "$format"
    write_env
    start_service
    load_demo
    if [[ -n $detach ]]; then
        trap - EXIT INT TERM HUP
        rm -f "$run_dir/owner"
        introduce
        say "runs in the background: ./dev status, ./dev stop;" \
            "its log: $(shown "$run_dir/service.log")"
        return 0
    fi
    exec 8>&- # from here on another ./dev may look, or stop us
    introduce
    follow
}

# Who starts or follows the instance, to be put behind a sentence; nothing if nobody does.
owner_said() {
    local pid
    ! pid=$(alive "$run_dir/owner") || printf ' (pid %s)' "$pid"
}

build_binary() {
    say "building (the first time takes minutes) …"
    # Without DATABASE_URL, as in CI: a build does not depend on a database.
    attend env -u DATABASE_URL cargo build --release --locked ||
        fail "the build failed" "its messages are above"
    programs=$(programs_folder)
}

# Where cargo puts what it builds: the service, the simulator and the demo. Cargo is asked, since
# a person's settings may send it elsewhere (CARGO_TARGET_DIR, ~/.cargo/config.toml).
programs_folder() {
    local target
    target=$(cargo metadata --format-version 1 --no-deps --locked --offline 2>/dev/null |
        sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
    printf '%s/release\n' "${target:-$root/target}"
}

# choose_stores ENGINE: database and Redis, the person's own if the variables say so, else private
# ones. Sets `private_engine`, empty for the person's own database.
choose_stores() {
    private_engine=''
    if [[ -n ${DATABASE_URL:-} ]]; then
        # Without the password.
        say "using your DATABASE_URL" \
            "$(sed -E 's#//([^:@/]*):[^@/]*@#//\1:***@#' <<<"$DATABASE_URL")"
        [[ ! -d $run_dir/db ]] || touch "$run_dir/db/unused"
    else
        private_engine=$(database_engine "$1")
        need "$private_engine"
        rm -f "$run_dir/db/unused"
    fi
    if [[ -n ${REDIS_URL:-} ]]; then
        [[ ! -d $run_dir/redis ]] || touch "$run_dir/redis/unused"
    else
        need redis
        rm -f "$run_dir/redis/unused"
    fi
}

start_stores() {
    if [[ -n $private_engine ]]; then
        say "starting a private $(engine_label "$private_engine") …"
        server_start "$private_engine" "$run_dir/db" run >/dev/null
        DATABASE_URL=$(database_url zhangfang zhangfang "$run_dir/db")
        DATABASE_MIGRATION_URL=$(database_url zhangfang_owner zhangfang "$run_dir/db")
    fi
    [[ -n ${REDIS_URL:-} ]] || REDIS_URL=$(server_start redis "$run_dir/redis")
}

# The engine asked for; else the one that already holds our data; else MySQL if it can be had; else
# MariaDB.
database_engine() {
    local asked=$1 kept=''
    [[ ! -s $run_dir/db/engine ]] || kept=$(<"$run_dir/db/engine")
    if [[ -n $kept && -n $asked && $kept != "$asked" ]]; then
        fail "the data of this checkout is in $(engine_label "$kept")" \
            "./dev reset deletes it, then ./dev run --engine $asked"
    elif [[ -n $asked || -n $kept ]]; then
        printf '%s\n' "${asked:-$kept}"
    elif need mysql; then
        echo mysql
    else
        say "going on with MariaDB instead"
        echo mariadb
    fi
}

# Sets `port` and `simulator_port`. A port that was asked for is taken or refused; without one, the
# next free port is taken, and said.
choose_ports() {
    local listen=${ZHANGFANG_HTTP__LISTEN:-} wanted=8090
    if [[ -n $listen ]]; then
        port=${listen##*:}
        ! port_busy "$port" ||
            fail "port $port (ZHANGFANG_HTTP__LISTEN) is busy" \
                "choose another, or leave the variable out"
    else
        port=$(free_port 8080)
        ((port == 8080)) || say "port 8080 is busy: taking $port"
    fi
    ((port != wanted)) || wanted=8091 # not the service's, which is not taken yet
    simulator_port=$(free_port "$wanted")
    ((simulator_port == 8090)) || say "port 8090 is busy: the simulator takes $simulator_port"
}

# setting NAME VALUE: exports a setting of the service, unless the person has set it, and notes its
# name in `setting_names`, for ./dev env and for the commands that run beside the service.
setting() {
    local -n variable=$1
    export "$1=${variable:-$2}"
    setting_names+=("$1")
}

# choose_settings LOG_FORMAT
choose_settings() {
    setting_names=()
    # Who starts again keeps the secret: tokens that were given out stay good.
    [[ -s $run_dir/jwt.secret ]] ||
        (umask 077 && od -An -N48 -tx1 /dev/urandom | tr -d ' \n' >"$run_dir/jwt.secret")
    setting DATABASE_URL ''
    setting DATABASE_MIGRATION_URL "$DATABASE_URL"
    setting REDIS_URL ''
    setting ZHANGFANG_HTTP__LISTEN "127.0.0.1:$port"
    setting ZHANGFANG_HTTP__PUBLIC_URL "http://127.0.0.1:$port"
    setting ZHANGFANG_AUTH__JWT_SECRET_FILE "$run_dir/jwt.secret"
    setting ZHANGFANG_LOG__FORMAT "$1"
    setting ZHANGFANG_JOBS__TIME_SCALE "$time_times"
    # ./dev demo is a day of hundreds of customers in a minute, all from one address: nobody is
    # slowed down, unless one asks for it.
    setting ZHANGFANG_LIMITS__ENABLED false
    # Every caller is on this machine, so one may say which address to play: with X-Forwarded-For,
    # as a proxy would.
    setting ZHANGFANG_LIMITS__TRUSTED_PROXIES 127.0.0.1
    # Edit the file while everything runs: within about a second it is in force, or the service's
    # log says what is wrong with it.
    setting ZHANGFANG_RISK__RULES "$root/risk-rules.yaml"
    # One machine plays everybody: the counters may take their time.
    setting ZHANGFANG_RISK__REDIS_TIMEOUT_MS 200
}

migrate() {
    say "migrating the database …"
    attend "$programs/zhangfang" migrate || fail "the migration failed" "what it said is above"
}

# start_simulator LOG_FORMAT: also takes over the settings that it writes, keys and addresses.
start_simulator() {
    say "starting the WeChat simulator …"
    : >"$run_dir/simulator.log"
    launch "$run_dir/simulator.pid" "$run_dir/simulator.log" "$programs/wechat-pay-simulator" \
        --listen "127.0.0.1:$simulator_port" --dir "$run_dir/wechat" \
        --env-prefix ZHANGFANG_WECHAT__ --service "http://127.0.0.1:$port" \
        --notify-base "http://127.0.0.1:$port" \
        --resend-compression "$ZHANGFANG_JOBS__TIME_SCALE" --bills-at-once \
        --log "${ZHANGFANG_LOG__FILTER:-info}" --log-format "$1"
    disown "$launched" # it is ours to stop, not the shell's to report on
    await_http simulator "$simulator_port" /healthz
    read_settings "$run_dir/wechat/wechat.env"
}

start_service() {
    say "starting the service …"
    : >"$run_dir/service.log"
    launch_service
    await_http service "$port" /readyz
}

launch_service() {
    launch "$run_dir/service.pid" "$run_dir/service.log" "$programs/zhangfang" serve
    disown "$launched"
}

load_demo() {
    say "loading the demo merchants …"
    attend "$programs/zhangfang-demo" --prepare ||
        fail "the demo data could not be loaded" \
            "what it said is above; the service's log: $run_dir/service.log"
}

# await_http PROGRAM PORT PATH: until it answers 200; a minute at most.
await_http() {
    local tenths
    for ((tenths = 0; tenths < 600; tenths++)); do
        [[ $(http_status "$2" "$3") != 200 ]] || return 0
        if ! alive "$run_dir/$1.pid" >/dev/null; then
            log_excerpt "$run_dir/$1.log"
            fail "the $1 ended while starting" "its log: $run_dir/$1.log"
        fi
        sleep 0.1
    done
    log_excerpt "$run_dir/$1.log"
    fail "the $1 does not answer 200 on $3 after a minute" "its log: $run_dir/$1.log"
}

# Exports the KEY=value lines of a file, and notes their names. It is not sourced: a path with a
# blank or a dollar in it is a value and not something for the shell.
read_settings() {
    local key value
    [[ -r $1 ]] ||
        fail "$1 is missing" \
            "the simulator writes it at its start; its log: $run_dir/simulator.log"
    while IFS='=' read -r key value || [[ -n $key ]]; do
        [[ $key =~ ^[A-Za-z_][A-Za-z0-9_]*$ ]] || continue
        export "$key=$value"
        setting_names+=("$key")
    done <"$1"
}

# What ./dev env prints, and where to find service and simulator. Whole or not at all, and nobody
# else's to read: a database's password may be in it.
write_env() (
    umask 077
    {
        for name in "${setting_names[@]}"; do printf 'export %s=%q\n' "$name" "${!name}"; done
        printf 'export ZHANGFANG_DEV_EXPORTS=%q\n' "${setting_names[*]}"
    } >"$run_dir/env.new"
    mv "$run_dir/env.new" "$run_dir/env"
    printf '%s=http://127.0.0.1:%s\n' service_at "$port" simulator_at "$simulator_port" \
        >"$run_dir/ports"
)

introduce() {
    local service_at simulator_at
    # shellcheck disable=SC1091 # written by write_env
    . "$run_dir/ports"
    cat <<-EOT

		账房 is running. To open:

		  $simulator_at/phone      a customer's phone: pay at the demo merchants (WeChat is simulated)
		  $service_at/docs       every endpoint, to read and to try
		  $service_at/metrics    what it measures

		To type:

		  curl -s $service_at/readyz
		  TOKEN=\$(curl -s $service_at/api/v1/auth/wechat/login -H 'content-type: application/json' \\
		    -d '{"tenant":"demo","code":"sim-demo-customer-1","as":"customer"}' |
		    sed -E 's/.*"(access_)?token":"([^"]*)".*/\\2/')
		  curl -s $service_at/api/v1/customer/points -H "authorization: Bearer \$TOKEN"

		And in another terminal: ./dev demo, ./dev verify-ledger, eval "\$(./dev env)";
		./dev help tells more.

	EOT
}

# What was killed comes back, as it would under any supervisor: kill -9 the service or the database
# and look on. Thirty times at most: what keeps dying is broken.
revive() {
    ((++revived <= 30)) || return 1
    if [[ -e $run_dir/db/engine ]] && ! server_pid "$run_dir/db" >/dev/null; then
        say "the database was killed: starting it again on the same data …"
        server_start "$(<"$run_dir/db/engine")" "$run_dir/db" run >/dev/null || return 1
    fi
    if [[ -e $run_dir/redis/engine ]] && ! server_pid "$run_dir/redis" >/dev/null; then
        say "Redis was killed: starting it again …"
        server_start redis "$run_dir/redis" >/dev/null || return 1
    fi
    alive "$run_dir/simulator.pid" >/dev/null || return 1
    if ! alive "$run_dir/service.pid" >/dev/null; then
        say "the service was killed: starting it again …"
        launch_service
    fi
}

# Shows the service's log until Ctrl-C, or until a part of the instance dies for good.
follow() {
    local name revived=0
    say "following the service; Ctrl-C stops everything"
    tail --pid=$$ -n 0 -F "$run_dir/service.log" 2>/dev/null &
    follower=$!
    while instance_up || revive; do
        # A sleep in the foreground would keep bash from a signal until it ends; `wait` does not.
        sleep 0.5 &
        wait $! || true
    done
    for name in "${programs_run[@]}"; do
        alive "$run_dir/$name.pid" >/dev/null && continue
        log_excerpt "$run_dir/$name.log"
        fail "the $name has ended by itself" "its log: $run_dir/$name.log"
    done
    fail "the private database or Redis has ended by itself" \
        "their logs: $run_dir/db/log, $run_dir/redis/log"
}

instance_stop() {
    local pid found=''
    forget_own_exports
    # Whoever starts or follows it also stops it, in order; we only wait.
    if pid=$(alive "$run_dir/owner"); then
        found=stopped
        say "telling the ./dev run with pid $pid to stop …"
        finish "$run_dir/owner" 120 "./dev run" || return 1
    fi
    lock_instance -w 120 ||
        fail "another ./dev is still starting or stopping this instance" \
            "try again when it is done"
    end_strays
    if instance_leftovers; then
        found=stopped
        instance_down
    fi
    say "${found:-nothing was running here}"
}

instance_reset() {
    instance_stop
    [[ ! -d $run_dir ]] || rm -rf "$run_dir"
    sweep
    say "deleted $(shown "$run_dir"): the next ./dev run starts with empty books"
}

# Exits with 3 unless everything runs.
instance_status() {
    local name pid folder service_at='' simulator_at=''
    # shellcheck disable=SC1091 # written by write_env
    [[ ! -r $run_dir/ports ]] || . "$run_dir/ports"
    for name in "${servers_run[@]}"; do
        status_line "$name" "$(server_status "$name")"
    done
    status_line simulator "$(program_status simulator "$simulator_at" /healthz)"
    status_line service "$(program_status service "$service_at" /readyz)"
    ! pid=$(alive "$run_dir/owner") || status_line "followed by" "./dev run, pid $pid"
    for folder in "$dev_dir"/test-* "$dev_dir"/bench-*; do
        ! pid=$(alive "$folder/owner") || status_line also "$(shown "$folder"), pid $pid"
    done
    instance_up || return 3
}

status_line() {
    printf '%-11s %s\n' "$1" "$2"
}

server_status() {
    local dir=$run_dir/$1 pid
    if ! is_ours "$1"; then
        echo "none of ours"
    elif pid=$(server_pid "$dir"); then
        printf '%s, pid %s, %s, %s\n' "$(engine_label "$(<"$dir/engine")")" "$pid" \
            "$(<"$dir/url")" "$(du -sh "$dir/data" | cut -f1)"
    else
        echo "$(engine_label "$(<"$dir/engine")"), not running"
    fi
}

# program_status NAME ADDRESS PATH
program_status() {
    local pid
    if pid=$(alive "$run_dir/$1.pid"); then
        echo "pid $pid, $2, $3 answers $(http_status "${2##*:}" "$3" || echo nothing)"
    else
        echo "not running"
    fi
}

instance_env() {
    instance_readable || fail "nothing is running here" "./dev run"
    cat "$run_dir/env"
}

# Can commands be run against the instance? They need its database, and not the service: when that
# has died, somebody looks at the books. (The person's own database may be another one by now.)
instance_readable() {
    instance_up ||
        { [[ -r $run_dir/env ]] && is_ours db && server_pid "$run_dir/db" >/dev/null; }
}

# The demo, and any other word as a command of `zhangfang`, against the running instance. Without
# one, against what the environment says, if it says anything.
instance_command() {
    need_rust
    programs=$(programs_folder)
    [[ -x $programs/zhangfang ]] ||
        fail "nothing is built yet" \
            "./dev run builds and starts everything; ./dev help tells what there is"
    if instance_readable; then
        # shellcheck disable=SC1091 # written by write_env
        . "$run_dir/env"
    elif [[ -z ${DATABASE_URL:-} || -n ${ZHANGFANG_DEV_EXPORTS:-} ]]; then
        fail "nothing is running here for \`zhangfang $1\`" \
            "./dev run starts it; ./dev help tells what else there is"
    fi
    cd "$caller_dir" || exit
    if [[ $1 == demo ]]; then
        exec "$programs/zhangfang-demo" "${@:2}"
    fi
    exec "$programs/zhangfang" "$@"
}
