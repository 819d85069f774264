# shellcheck shell=bash disable=SC2034,SC2154 # the pieces share variables
# The running instance of this checkout: ./dev run, stop, reset, status, env, and commands against it. Sourced by ./dev.
#
#   .dev/run/owner            the ./dev that is starting it or follows it; absent when detached
#   .dev/run/env              how to reach it, as exports
#   .dev/run/db redis         private servers, see server.sh
#   .dev/run/wechat           keys and settings of the simulator
#   .dev/run/service.log ...  what they say
#   .dev/run.lock             held while starting or stopping
#
# Order matters both ways: what is started last depends on what was started first, and is stopped first.

# The service finishes what it has accepted before it goes.
service_patience=30

# How many times faster than WeChat the simulator's time runs, and with it the service's patience: what takes WeChat minutes can be looked at.
time_times=10

lock_instance() {
    mkdir -p "$dev_dir"
    exec 8>"$dev_dir/run.lock"
    flock "$@" 8
}

# Settings that ./dev env gave to this shell describe our own instance, they are not the wish of the person for another database.
forget_own_exports() {
    local name
    for name in ${ZHANGFANG_DEV_EXPORTS:-}; do unset "$name"; done
    unset ZHANGFANG_DEV_EXPORTS
}

instance_parts() {
    printf '%s\n' service simulator
}

instance_up() {
    local part
    for part in $(instance_parts); do
        alive "$run_dir/$part.pid" >/dev/null || return 1
    done
    for part in db redis; do
        [[ ! -e $run_dir/$part/engine ]] || server_pid "$run_dir/$part" >/dev/null || [[ -e $run_dir/$part/unused ]] || return 1
    done
}

# Processes of ours whose pid files are gone, because somebody deleted .dev while they ran. Their data went with it: no need to be gentle.
end_strays() {
    local part found
    for part in service simulator db redis; do
        found=$run_dir/$part.pid
        [[ $part != @(db|redis) ]] || found=$run_dir/$part/pid
        ! alive "$found" >/dev/null && [[ ! -e ${found%pid}engine ]] || continue
        found=$(stray "$found" "$run_dir/$part/data")
        [[ -n $found ]] || continue
        say "ending a $part (pid ${found%% *}) that has outlived its folder"
        kill -KILL "${found%% *}" || true
    done
}

instance_leftovers() {
    local part
    for part in $(instance_parts); do
        ! alive "$run_dir/$part.pid" >/dev/null || return 0
    done
    for part in db redis; do
        ! server_pid "$run_dir/$part" >/dev/null || return 0
    done
    return 1
}

# Stops whatever runs, last started first. Also the way out of ./dev run.
instance_down() {
    instance_leftovers || return 0
    ! alive "$run_dir/service.pid" >/dev/null || say "stopping the service …"
    finish "$run_dir/service.pid" "$service_patience" "the service"
    finish "$run_dir/simulator.pid" 5 "the simulator"
    [[ ! -e $run_dir/redis/engine ]] || server_stop "$run_dir/redis"
    if [[ -e $run_dir/db/engine ]]; then
        ! server_pid "$run_dir/db" >/dev/null || say "stopping the private $(engine_label "$(<"$run_dir/db/engine")") …"
        server_stop "$run_dir/db"
    fi
}

leave_run() {
    [[ -z ${follower:-} ]] || kill "$follower" 2>/dev/null
    lock_instance -w 60
    if instance_leftovers; then
        instance_down
        say "stopped; the data stays in $(shown "$run_dir") (./dev reset deletes it)"
    fi
    rm -f "$run_dir/owner"
}

# As a person would write it.
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
    [[ -z $engine || $engine == mysql || $engine == mariadb ]] || fail "no engine is called $engine" "mysql or mariadb"
    forget_own_exports
    if ! lock_instance -n; then
        fail "another ./dev is starting or stopping this instance$(owner_said)" "wait for it, or: ./dev stop"
    fi
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
    choose_stores "$engine" # what must be brought is brought before the long build, while somebody still looks
    build_binary
    start_stores
    start_service "$format"
    if [[ -n $detach ]]; then
        trap - EXIT INT TERM HUP
        rm -f "$run_dir/owner"
        introduce
        say "runs in the background: ./dev status, ./dev stop; its log: $(shown "$run_dir/service.log")"
        return 0
    fi
    exec 8>&- # from here on another ./dev may look, or stop us
    introduce
    follow
}

owner_said() {
    local pid
    ! pid=$(alive "$run_dir/owner") || printf ' (pid %s)' "$pid"
}

build_binary() {
    say "building (the first time takes minutes) …"
    attend env -u DATABASE_URL cargo build --release --locked || fail "the build failed" "its messages are above"
    programs=$(programs_folder)
}

# Where cargo puts what it builds: the service, the simulator and the demo.
programs_folder() {
    local target
    target=$(cargo metadata --format-version 1 --no-deps --locked --offline 2>/dev/null | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
    printf '%s/release\n' "${target:-$root/target}"
}

# Database and Redis: the person's own if the variables say so, else private ones. Sets `private_engine`, empty for the person's own.
choose_stores() {
    private_engine=''
    if [[ -n ${DATABASE_URL:-} ]]; then
        say "using your DATABASE_URL $(sed -E 's#//([^:@/]*):[^@/]*@#//\1:***@#' <<<"$DATABASE_URL")"
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

# The engine asked for; else the one that already holds our data; else MySQL if it can be had; else MariaDB.
database_engine() {
    local asked=$1 kept=''
    [[ ! -s $run_dir/db/engine ]] || kept=$(<"$run_dir/db/engine")
    if [[ -n $kept && -n $asked && $kept != "$asked" ]]; then
        fail "the data of this checkout is in $(engine_label "$kept")" "./dev reset deletes it, then ./dev run --engine $asked"
    elif [[ -n $asked || -n $kept ]]; then
        printf '%s\n' "${asked:-$kept}"
    elif need mysql; then
        echo mysql
    else
        say "going on with MariaDB instead"
        echo mariadb
    fi
}

# Migrations, simulator, service, demo data.
start_service() {
    local port simulator_port listen=${ZHANGFANG_HTTP__LISTEN:-}
    if [[ -z $listen ]]; then
        port=$(free_port 8080)
        ((port == 8080)) || say "port 8080 is busy: taking $port"
        listen=127.0.0.1:$port
    else
        port=${listen##*:}
        ! port_busy "$port" || fail "port $port (ZHANGFANG_HTTP__LISTEN) is busy" "choose another, or leave the variable out"
    fi
    simulator_port=$((port == 8090 ? 8091 : 8090))
    simulator_port=$(free_port "$simulator_port")
    ((simulator_port == 8090)) || say "port 8090 is busy: the simulator takes $simulator_port"

    [[ -s $run_dir/jwt.secret ]] || (umask 077 && od -An -N48 -tx1 /dev/urandom | tr -d ' \n' >"$run_dir/jwt.secret")
    export DATABASE_URL DATABASE_MIGRATION_URL=${DATABASE_MIGRATION_URL:-$DATABASE_URL} REDIS_URL
    export ZHANGFANG_HTTP__LISTEN=$listen ZHANGFANG_HTTP__PUBLIC_URL=${ZHANGFANG_HTTP__PUBLIC_URL:-http://127.0.0.1:$port}
    export ZHANGFANG_AUTH__JWT_SECRET_FILE=${ZHANGFANG_AUTH__JWT_SECRET_FILE:-$run_dir/jwt.secret} ZHANGFANG_LOG__FORMAT=$1
    export ZHANGFANG_JOBS__TIME_SCALE=${ZHANGFANG_JOBS__TIME_SCALE:-$time_times}
    # ./dev demo is a day of hundreds of customers in a minute, all from one address: nobody is slowed down, unless one asks for it.
    export ZHANGFANG_LIMITS__ENABLED=${ZHANGFANG_LIMITS__ENABLED:-false}
    # Every caller is on this machine, so one may say which address to play: with X-Forwarded-For, as a proxy would.
    export ZHANGFANG_LIMITS__TRUSTED_PROXIES=${ZHANGFANG_LIMITS__TRUSTED_PROXIES:-127.0.0.1}
    # Edit it while everything runs: within about a second it is in force, or the service's log says what is wrong with it.
    # One machine plays everybody: the counters may take their time.
    export ZHANGFANG_RISK__REDIS_TIMEOUT_MS=${ZHANGFANG_RISK__REDIS_TIMEOUT_MS:-200}
    export ZHANGFANG_RISK__RULES=${ZHANGFANG_RISK__RULES:-$root/risk-rules.yaml}
    local names='DATABASE_URL DATABASE_MIGRATION_URL REDIS_URL ZHANGFANG_HTTP__LISTEN ZHANGFANG_HTTP__PUBLIC_URL ZHANGFANG_AUTH__JWT_SECRET_FILE ZHANGFANG_LOG__FORMAT'
    names+=' ZHANGFANG_JOBS__TIME_SCALE ZHANGFANG_LIMITS__ENABLED ZHANGFANG_LIMITS__TRUSTED_PROXIES ZHANGFANG_RISK__RULES ZHANGFANG_RISK__REDIS_TIMEOUT_MS'

    say "migrating the database …"
    attend "$programs/zhangfang" migrate || fail "the migration failed" "what it said is above"

    say "starting the WeChat simulator …"
    : >"$run_dir/simulator.log"
    launch "$run_dir/simulator.pid" "$run_dir/simulator.log" "$programs/wechat-pay-simulator" --listen "127.0.0.1:$simulator_port" \
        --dir "$run_dir/wechat" --env-prefix ZHANGFANG_WECHAT__ --service "http://127.0.0.1:$port" --notify-base "http://127.0.0.1:$port" \
        --resend-compression "$ZHANGFANG_JOBS__TIME_SCALE" --bills-at-once --log "${ZHANGFANG_LOG__FILTER:-info}" --log-format "$1"
    disown "$launched"
    await_http simulator "$simulator_port" /healthz
    read_settings "$run_dir/wechat/wechat.env"
    names+=" $settings"

    write_env "$names" "$port" "$simulator_port"
    say "starting the service …"
    : >"$run_dir/service.log"
    launch "$run_dir/service.pid" "$run_dir/service.log" "$programs/zhangfang" serve
    disown "$launched"
    await_http service "$port" /readyz

    say "loading the demo merchants …"
    attend "$programs/zhangfang-demo" --prepare || fail "the demo data could not be loaded" "what it said is above; the service's log: $run_dir/service.log"
}

# await_http PART PORT PATH
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

# Exports the KEY=value lines of a file, and leaves their names in `settings`. The values are taken as they are, not run through the shell.
read_settings() {
    local key value
    settings=''
    [[ -r $1 ]] || fail "$1 is missing" "the simulator writes it at its start; its log: $run_dir/simulator.log"
    while IFS='=' read -r key value || [[ -n $key ]]; do
        [[ $key =~ ^[A-Za-z_][A-Za-z0-9_]*$ ]] || continue
        [[ $value != \"*\" && $value != \'*\' ]] || value=${value:1:-1}
        export "$key=$value"
        settings+="$key "
    done <"$1"
}

write_env() (
    umask 077
    {
        for name in $1; do printf 'export %s=%q\n' "$name" "${!name}"; done
        printf 'export ZHANGFANG_DEV_EXPORTS=%q\n' "$1"
    } >"$run_dir/env.new"
    mv "$run_dir/env.new" "$run_dir/env"
    printf 'service_at=http://127.0.0.1:%s simulator_at=http://127.0.0.1:%s\n' "$2" "$3" >"$run_dir/ports"
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
		  TOKEN=\$(curl -s $service_at/api/v1/auth/wechat/login -H 'content-type: application/json' -d '{"tenant":"demo","code":"sim-demo-customer-1","as":"customer"}' | sed -E 's/.*"(access_)?token":"([^"]*)".*/\\2/')
		  curl -s $service_at/api/v1/customer/points -H "authorization: Bearer \$TOKEN"

		And in another terminal: ./dev demo, ./dev verify-ledger, eval "\$(./dev env)"; ./dev help tells more.

	EOT
}

# What was killed comes back, as it would under any supervisor: kill -9 the service or the database and look on. Not for ever: what keeps dying is broken.
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
        launch "$run_dir/service.pid" "$run_dir/service.log" "$programs/zhangfang" serve
        disown "$launched"
    fi
}

# Shows the service's log until Ctrl-C, or until a part of the instance dies for good.
follow() {
    local part revived=0
    say "following the service; Ctrl-C stops everything"
    tail --pid=$$ -n 0 -F "$run_dir/service.log" 2>/dev/null &
    follower=$!
    while instance_up || revive; do
        sleep 0.5 &
        wait $! || true
    done
    for part in $(instance_parts); do
        alive "$run_dir/$part.pid" >/dev/null && continue
        log_excerpt "$run_dir/$part.log"
        fail "the $part has ended by itself" "its log: $run_dir/$part.log"
    done
    fail "the private database or Redis has ended by itself" "their logs: $run_dir/db/log, $run_dir/redis/log"
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
    lock_instance -w 120 || fail "another ./dev is still starting or stopping this instance" "try again when it is done"
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

instance_status() {
    local part pid at=() service_at='' simulator_at=''
    # shellcheck disable=SC1091 # written by write_env
    [[ ! -r $run_dir/ports ]] || . "$run_dir/ports"
    for part in db redis; do
        if [[ ! -e $run_dir/$part/engine || -e $run_dir/$part/unused ]]; then
            printf '%-11s %s\n' "$part" "none of ours"
        elif pid=$(server_pid "$run_dir/$part"); then
            printf '%-11s %s\n' "$part" "$(engine_label "$(<"$run_dir/$part/engine")"), pid $pid, $(<"$run_dir/$part/url"), $(du -sh "$run_dir/$part/data" | cut -f1)"
        else
            printf '%-11s %s\n' "$part" "$(engine_label "$(<"$run_dir/$part/engine")"), not running"
        fi
    done
    at=("$simulator_at/healthz" "$service_at/readyz")
    for part in simulator service; do
        if pid=$(alive "$run_dir/$part.pid"); then
            [[ $part == simulator ]] && at=("$simulator_at" /healthz) || at=("$service_at" /readyz)
            printf '%-11s %s\n' "$part" "pid $pid, ${at[0]}, ${at[1]} answers $(http_status "${at[0]##*:}" "${at[1]}" || echo nothing)"
        else
            printf '%-11s %s\n' "$part" "not running"
        fi
    done
    ! pid=$(alive "$run_dir/owner") || printf '%-11s %s\n' "followed by" "./dev run, pid $pid"
    for part in "$dev_dir"/test-* "$dev_dir"/bench-*; do
        ! pid=$(alive "$part/owner") || printf '%-11s %s\n' "also" "$(shown "$part"), pid $pid"
    done
    instance_up || return 3
}

instance_env() {
    instance_up || fail "nothing is running here" "./dev run"
    cat "$run_dir/env"
}

# The demo, and any other word as a command of `zhangfang`, against the running instance. Without one, against what the environment says, if it says anything.
instance_command() {
    need_rust
    programs=$(programs_folder)
    [[ -x $programs/zhangfang ]] || fail "nothing is built yet" "./dev run builds and starts everything; ./dev help tells what there is"
    if instance_up; then
        # shellcheck disable=SC1091 # written by write_env
        . "$run_dir/env"
    elif [[ -z ${DATABASE_URL:-} || -n ${ZHANGFANG_DEV_EXPORTS:-} ]]; then
        fail "nothing is running here for \`zhangfang $1\`" "./dev run starts it; ./dev help tells what else there is"
    fi
    cd "$caller_dir" || exit
    if [[ $1 == demo ]]; then
        exec "$programs/zhangfang-demo" "${@:2}"
    fi
    exec "$programs/zhangfang" "$@"
}
