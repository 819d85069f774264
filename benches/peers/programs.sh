# shellcheck shell=bash disable=SC2034,SC2154 # the pieces share variables
# Finding Node.js, or bringing it. Sourced by ./run, after deploy/local/programs.sh.

# Sets `node` and `npm`. Debian's Node cannot be unpacked into a folder of ours as the databases
# are (it looks for parts of itself below /usr/share and aborts), so it is installed if we may.
need_node() {
    (need_tool node nodejs npm && need_tool npm nodejs npm) || return 1
    node=$(type -P node) npm=$(type -P npm)
    local version
    version=$("$node" --version)
    version=${version#v}
    ((${version%%.*} >= 18)) || {
        complain "Node.js $version is too old: Express wants 18" "put a newer one on PATH"
        return 1
    }
}
