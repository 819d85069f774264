# shellcheck shell=bash disable=SC2034,SC2154 # the pieces share variables
# ./dev test and ./dev bench: on private servers that live as long as the command. Sourced by ./dev.
#
# Each call has a folder of its own, `.dev/test-XXXXXX`, so any number may run beside each other and beside ./dev run. Servers that tests start
# with `./dev server start` belong below $ZHANGFANG_TEST_DIR: they end with the folder, whatever becomes of the test.

new_folder() {
    mkdir -p "$dev_dir"
    folder=$(mktemp -d "$dev_dir/$1-XXXXXX")
    process_name $$ >"$folder/owner"
    attended_note=$folder/attended
    on_the_way_out leave_checks
}

leave_checks() {
    [[ ! -d ${folder:-} ]] || discard_servers "$folder"
}

# Removes the folders of calls that were killed, with the servers (and the cargo) still running in them.
sweep() {
    local left group
    for left in "$dev_dir"/test-* "$dev_dir"/bench-*; do
        [[ -d $left ]] || continue
        ! alive "$left/owner" >/dev/null || continue
        [[ -e $left/owner || -n $(find "$left" -maxdepth 0 -mmin +1) ]] || continue # just being made
        say "clearing away $(shown "$left"), left by a call that was killed …"
        ! group=$(alive "$left/attended") || kill -KILL -- "-$group" 2>/dev/null || true
        discard_servers "$left"
    done
}

# What CI tries on the first engine only: modules of tests/it that are about HTTP, Redis, rules or
# WeChat, and those that play further cases of statements which the others execute as well. Every
# statement is executed on both engines, and so is whatever races, crashes, or finds damage; a module
# that is not named here is tried on both.
same_on_every_engine=(
    access_token caps clock connections contract coupons document histories limits
    mini_program model papers outages::silence risk::backtest risk::counting risk::decisions
    risk::script risk::topology risk::without_redis risk_end_to_end sdk suspension tables
    wechat_channel words
    expiry::part_captures expiry::refunds expiry::returns expiry::service
    points_rules
    points_transactions::debts points_transactions::holds points_transactions::returns
    points_transactions::reviews points_transactions::timeouts
    reviews::queue reviews::refunds reviews::settle
    sharing::attempts sharing::returns sharing::rules sharing::share
)

check_test() {
    local engine='' engines=() ran=() failed=() status=0 ci='' one module arguments skipped=()
    local -A named=()
    while (($#)); do
        case $1 in
            --ci) ci=1 engine=both ;;
            --engine) engine=${2:-} && shift ;;
            --engine=*) engine=${1#*=} ;;
            *) break ;;
        esac
        (($# == 0)) || shift
    done
    forget_own_exports
    sweep
    need_rust
    if [[ -n ${ZHANGFANG_TEST_DATABASE_URL:-} ]]; then
        engines=("${ZHANGFANG_TEST_ENGINE:=mysql}")
        named[$ZHANGFANG_TEST_ENGINE]="your $(engine_label "$ZHANGFANG_TEST_ENGINE")"
    else
        choose_engines
    fi
    [[ -n ${ZHANGFANG_TEST_REDIS_URL:-} ]] || need redis

    new_folder test
    local given_database=${ZHANGFANG_TEST_DATABASE_URL:-}
    export ZHANGFANG_TEST_DATABASE_URL ZHANGFANG_TEST_REDIS_URL ZHANGFANG_TEST_ENGINE
    export ZHANGFANG_TEST_DEV=$root/dev ZHANGFANG_TEST_DIR=$folder
    give_temporary_folder
    unset DATABASE_URL DATABASE_MIGRATION_URL REDIS_URL
    # They wait for servers most of the time.
    export RUST_TEST_THREADS=${RUST_TEST_THREADS:-$((2 * $(nproc)))}
    [[ -n ${ZHANGFANG_TEST_REDIS_URL:-} ]] || ZHANGFANG_TEST_REDIS_URL=$(server_start redis "$folder/redis")
    for one in "${engines[@]}"; do
        ZHANGFANG_TEST_ENGINE=$one
        [[ -n $given_database ]] || ZHANGFANG_TEST_DATABASE_URL=$(server_start "$one" "$folder/$one")
        # What does not touch a database need not be tested twice.
        arguments=(test --locked)
        ((${#ran[@]} == 0)) || arguments+=(--test it)
        arguments+=("$@")
        if [[ -n $ci && ${#ran[@]} -gt 0 ]]; then
            skipped=()
            for module in "${same_on_every_engine[@]}"; do skipped+=(--skip "$module::"); done
            [[ " $* " == *' -- '* ]] || arguments+=(--)
            arguments+=("${skipped[@]}")
        fi
        say "testing on ${named[$one]}: cargo ${arguments[*]}"
        ran+=("${named[$one]}")
        if ! attend cargo "${arguments[@]}"; then
            status=1
            failed+=("${named[$one]}")
        fi
        [[ -n $given_database ]] || discard_servers "$folder/$one"
    done
    if ((status == 0)); then
        say "✓ tests passed on $(joined "${ran[@]}")"
        tells_of_left_files || status=1
    else
        complain "tests ran on $(joined "${ran[@]}") and failed on $(joined "${failed[@]}")"
    fi
    [[ $engine != both || ${#ran[@]} -eq 2 ]] || warn "both engines were asked for, only $(joined "${ran[@]}") ran"
    return "$status"
}

# Files of the moment go with the folder, and so do the servers that tests start there, whatever becomes
# of the tests. Not from a deep checkout: the path of a socket holds 107 bytes.
give_temporary_folder() {
    ((${#folder} <= 64)) || return 0
    export TMPDIR=$folder/tmp
    mkdir "$TMPDIR"
}

# A test that passes cleans up after itself. What is said of one that fails is in what it left.
tells_of_left_files() {
    local left
    [[ -d $folder/tmp ]] || return 0
    left=$(ls -A "$folder/tmp")
    [[ -n $left ]] || return 0
    complain "the tests passed and left files behind: ${left//$'\n'/ }"
    return 1
}

joined() {
    local first=$1
    shift
    printf '%s' "$first"
    (($# == 0)) || printf ' and %s' "$@"
}

# Sets `engines` from `engine`; what cannot be had has said why by then.
choose_engines() {
    case $engine in
        '') can_have mysql || can_have mariadb || true ;;
        mysql | mariadb) can_have "$engine" || true ;;
        both)
            can_have mysql || true
            can_have mariadb || true
            ;;
        *) fail "no engine is called $engine" "./dev test --engine mysql|mariadb|both" ;;
    esac
    ((${#engines[@]})) || fail "no database to test on" "see above; or set ZHANGFANG_TEST_DATABASE_URL to a root account that may create databases"
}

can_have() {
    need "$1" || return 1
    engines+=("$1")
    named[$1]="$(engine_label "$1") $program_version"
}

check_bench() {
    local engine
    need_rust
    if [[ ${1:-} == --pure ]]; then
        shift
        pure_bench "$@"
        return
    fi
    if [[ " $* " == *' --help '* || " $* " == *' -h '* ]]; then
        cargo bench --locked --quiet --bench throughput -- "$@"
        return
    fi
    forget_own_exports
    sweep
    raise_open_files # the load comes over a thousand connections
    [[ -n ${REDIS_URL:-} ]] || need redis
    new_folder bench
    if [[ -n ${DATABASE_URL:-} ]]; then
        say "measuring on your DATABASE_URL"
    else
        engine=${ZHANGFANG_DEV_ENGINE:-mysql}
        need "$engine" || { [[ $engine == mysql ]] && need mariadb && engine=mariadb; } || fail "no database to measure on" "see above; or set DATABASE_URL"
        say "measuring on a fresh private $(engine_label "$engine") $program_version; leave the machine alone meanwhile"
        server_start "$engine" "$folder/db" run >/dev/null
        DATABASE_URL=$(database_url zhangfang zhangfang "$folder/db")
        DATABASE_MIGRATION_URL=$(database_url zhangfang_owner zhangfang "$folder/db")
    fi
    [[ -n ${REDIS_URL:-} ]] || REDIS_URL=$(server_start redis "$folder/redis")
    export DATABASE_URL DATABASE_MIGRATION_URL=${DATABASE_MIGRATION_URL:-$DATABASE_URL} REDIS_URL
    attend cargo bench --locked --bench throughput -- "$@"
}

# Beside ./dev run and with servers of nobody: what is measured asks none.
pure_bench() {
    if [[ " $* " == *' --help '* || " $* " == *' -h '* ]]; then
        cat <<'TEXT'
What the service computes for a payment, without a database, Redis or the network:

  ./dev bench --pure [NAME]                  less than two minutes; NAME is a part of a name, such as
                                             callback, settle, settle/encode, events, risk, bill,
                                             order_no, access_token or json
  ./dev bench --pure --save-baseline before  keeps the figures under a name, before a change
  ./dev bench --pure --baseline before       compares with these, after it

Without a baseline it compares with the run before. docs/performance.md says how to read it. Any other
option is Criterion's.
TEXT
        return
    fi
    say "measuring what needs no server; leave the machine alone meanwhile"
    cargo bench --locked --bench pure -- "$@"
}
