# shellcheck shell=bash disable=SC2154 # the pieces share variables
# ./dev fuzz: arbitrary bytes for what strangers can send, in fuzz/. Sourced by ./dev.
#
# `cargo fuzz run TARGET` works too, with a nightly toolchain and an hour of patience: it builds every dependency anew, instrumented. Here only our own code is
# instrumented, by a wrapper around rustc for the members of the workspace, so the dependencies of the tests serve and any toolchain will do.

check_fuzz() {
    local target seconds=60 targets=() status=0
    local -A running=()
    while (($#)); do
        case $1 in
            --seconds) seconds=${2:-} && shift ;;
            --seconds=*) seconds=${1#*=} ;;
            -*) fail "./dev fuzz does not know $1" "./dev fuzz [callback|bill] [--seconds N]" ;;
            *) targets+=("$1") ;;
        esac
        (($# == 0)) || shift
    done
    [[ $seconds =~ ^[0-9]+$ ]] || fail "--seconds wants a number, not \`$seconds\`" "./dev fuzz [callback|bill] [--seconds N]"
    ((${#targets[@]})) || targets=(callback bill)
    need_rust
    if ! command -v "${CXX:-c++}" >/dev/null; then
        say "SKIPPED: libFuzzer is built with a C++ compiler, and there is none (apt install g++)"
        return 0
    fi
    say "building the fuzz targets …"
    RUSTC_WORKSPACE_WRAPPER=$root/deploy/local/instrumented-rustc cargo build --locked -p zhangfang-fuzz
    for target in "${targets[@]}"; do
        [[ -x $root/target/debug/$target && -f $root/fuzz/fuzz_targets/$target.rs ]] || fail "there is no fuzz target $target" "callback, bill"
    done
    say "fuzzing ${targets[*]} for $seconds seconds, side by side …"
    for target in "${targets[@]}"; do
        # The corpus grows where git does not look; what is in fuzz/seeds is where it begins.
        mkdir -p "$root/target/fuzz/$target"
        "$root/target/debug/$target" -max_total_time="$seconds" -max_len=8192 -print_final_stats=1 -artifact_prefix="$root/target/fuzz/" \
            "$root/target/fuzz/$target" "$root/fuzz/seeds/$target" >"$root/target/fuzz/$target.log" 2>&1 &
        running[$target]=$!
    done
    for target in "${targets[@]}"; do
        if wait "${running[$target]}"; then
            say "$target: nothing found"
        else
            complain "$target: see below, and the input in target/fuzz/"
            status=1
        fi
        tail -n 12 "$root/target/fuzz/$target.log"
    done
    return "$status"
}
