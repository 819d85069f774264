# shellcheck shell=bash disable=SC2030,SC2031,SC2034,SC2154 # the pieces share variables
# Finding MySQL, MariaDB and Redis, or bringing them. Sourced by ./dev.
#
# What is missing is unpacked from Debian's or Ubuntu's archive into a folder of our own: no root,
# no system service, no change to the machine's apt. Debian stable has no MySQL; Debian unstable
# has, and its packages run here because they bring all their libraries, libc included, and are
# started through their own loader. Signatures are checked by apt as always.
#
#   ~/.cache/zhangfang/mysql-9.7.4-2-amd64/
#       unpacked, ready to run; shared by every clone
#   ~/.cache/zhangfang/packages/mysql-9.7.4-2-amd64/
#       what it was unpacked from: a second installation needs no mirror
#
# Variables: ZHANGFANG_MYSQL_VERSION, ZHANGFANG_MARIADB_VERSION and ZHANGFANG_REDIS_VERSION pin a
# package version (9.7.4-2); ZHANGFANG_DEBIAN_MIRROR names the mirror to bring MySQL from (a dated
# snapshot of the archive, say, for a version that has gone).

cache=${XDG_CACHE_HOME:-${HOME:?is not set; it says where downloads are kept}/.cache}/zhangfang

engine_label() {
    case $1 in
        mysql) echo MySQL ;;
        mariadb) echo MariaDB ;;
        redis) echo Redis ;;
    esac
}

# need ENGINE: sets `program` (the command, ready for options), `program_share` (MariaDB: where its
# SQL files are) and `program_version`. Fails, having said why, when it is not here and cannot be
# had.
need() {
    program_share=''
    use_installed "$1" && return 0
    use_unpacked "$1" && return 0
    bring "$1" && use_unpacked "$1"
}

# The service folders of root are not on everybody's PATH.
on_path() {
    PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin" type -P "$1"
}

# Sets what `need` sets, if the machine has the engine and it can be run from any folder.
use_installed() {
    case $1 in
        mysql) use_installed_mysql ;;
        mariadb) use_installed_mariadb ;;
        redis) use_installed_redis ;;
    esac
}

use_installed_mysql() {
    local found says
    found=$(on_path mysqld) || return 1
    says=$("$found" --version 2>/dev/null) || return 1
    # MariaDB, too, may call itself mysqld; and MySQL before 8 lacks what our statements use.
    [[ $says != *MariaDB* && $says =~ Ver\ ([0-9]+)\.([0-9.]+) ]] || return 1
    ((BASH_REMATCH[1] >= 8)) || return 1
    program_version=${BASH_REMATCH[1]}.${BASH_REMATCH[2]}
    # Ubuntu's AppArmor profile lets /usr/sbin/mysqld write to /var/lib/mysql only; our own copy is
    # not under it.
    if [[ -e /etc/apparmor.d/usr.sbin.mysqld && -d /sys/kernel/security/apparmor ]] &&
        [[ ! -e /etc/apparmor.d/disable/usr.sbin.mysqld ]]; then
        return 1
    fi
    program=("$found" --no-defaults)
}

use_installed_mariadb() {
    local found says share
    found=$(on_path mariadbd) || return 1
    says=$("$found" --version 2>/dev/null) || return 1
    [[ $says =~ Ver\ ([0-9.]+) ]] || return 1
    program_version=${BASH_REMATCH[1]}
    # Packages put the SQL files into different folders below share.
    share=$(dirname "$(dirname "$(realpath "$found")")")/share
    program=("$found" --no-defaults)
    for program_share in "$share/mysql" "$share/mariadb" "$share"; do
        [[ ! -r $program_share/mysql_system_tables.sql ]] || return 0
        [[ ! -r $program_share/mariadb_system_tables.sql ]] || return 0
    done
    return 1
}

use_installed_redis() {
    local found says
    found=$(on_path redis-server) || return 1
    says=$("$found" --version 2>/dev/null) || return 1
    [[ $says =~ v=([0-9.]+) ]] || return 1
    program_version=${BASH_REMATCH[1]}
    program=("$found")
}

pinned_version() {
    case $1 in
        mysql) printf '%s\n' "${ZHANGFANG_MYSQL_VERSION:-}" ;;
        mariadb) printf '%s\n' "${ZHANGFANG_MARIADB_VERSION:-}" ;;
        redis) printf '%s\n' "${ZHANGFANG_REDIS_VERSION:-}" ;;
    esac
}

# The newest (or the pinned) folder of ENGINE below a folder, if there is one.
newest() {
    local found pin
    pin=$(pinned_version "$2")
    pin=${pin#*:} # folders are named without the epoch
    found=$(compgen -G "$1/$2-${pin:-[0-9]*}-$(uname -m)" | sort -V | tail -n 1) || return 1
    [[ -n $found ]] && printf '%s\n' "$found"
}

use_unpacked() {
    local home
    home=$(newest "$cache" "$1") || return 1
    program=("$home/bin/$1")
    program_version=${home##*/"$1"-}
    program_version=${program_version%%[-+~]*}
    program_share=$home/usr/share/mysql
}

# Runs in a subshell: its lock, its temporary folder and its apt configuration end with it. Called
# where `set -e` does not reach, so every step says what happens when it fails.
bring() (
    label=$(engine_label "$1")
    mkdir -p "$cache/packages" 2>/dev/null || true # said below
    [[ -d $cache/packages && -w $cache ]] || {
        complain "cannot write $cache" "set XDG_CACHE_HOME to a folder that can be written"
        exit 1
    }
    exec 7>"$cache/lock"
    if ! flock -n 7; then
        say "another ./dev is installing: waiting for it …"
        flock 7
    fi
    [[ -z $(newest "$cache" "$1") ]] || exit 0 # brought while we waited
    rm -rf "$cache"/.new.*                     # we hold the lock: whoever left these is gone
    fresh=$(mktemp -d "$cache/.new.XXXXXX") || exit 1
    trap 'rm -rf "$fresh"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    type -P dpkg-deb >/dev/null || {
        complain "$label is not installed, and this is neither Debian nor Ubuntu" \
            "install $label and put it on PATH, or set $(instead_of "$1") to one that runs"
        exit 1
    }
    if packages=$(newest "$cache/packages" "$1"); then
        if ! (cd "$packages" && sha256sum --quiet -c SHA256SUMS >/dev/null 2>&1); then
            warn "the kept packages of $label are damaged: fetching them anew"
            rm -rf "$packages"
        fi
    fi
    if [[ ! -d ${packages:-} ]]; then
        download "$1" || exit 1
        packages=$downloaded
    else
        say "unpacking $label from $packages …"
    fi
    unpack "$1" "$packages" || exit 1
)

# The variable that names a server of the person's own.
instead_of() {
    [[ $1 == redis ]] && echo REDIS_URL || echo DATABASE_URL
}

# Which packages have the server, as a pattern: Ubuntu and older Debians write the version into the
# name.
server_packages() {
    case $1 in
        mysql) echo 'mysql-server-core(-[0-9.]+)?' ;;
        mariadb) echo 'mariadb-server-core(-[0-9.]+)?' ;;
        redis) echo 'redis-server' ;;
    esac
}

# download ENGINE: fetches its packages into the cache and sets `downloaded`, their folder. Uses
# $fresh.
download() {
    local engine=$1 label apt="$fresh/apt" package pin uris chosen size version home extra=()
    local otherwise
    label=$(engine_label "$engine")
    otherwise="check the network (apt-get update), or install $label,"
    otherwise+=" or set $(instead_of "$engine") to one that runs"
    pin=$(pinned_version "$engine")
    private_apt "$engine" "$apt" || return 1
    export APT_CONFIG=$apt/apt.conf
    if ! apt-get update >"$apt/log" 2>&1; then
        complain "cannot read the package lists for $label:" \
            "$(grep -E '^[EW]:' "$apt/log" | tail -n 3)" "$otherwise"
        return 1
    fi
    package=$(apt-cache --names-only search "^$(server_packages "$engine")\$" |
        cut -d' ' -f1 | sort -V | tail -n 1)
    if [[ -z $package ]]; then
        complain "no package of $label in $(archive_of "$apt/sources.list")" \
            "$(grep -E '^[EW]:' "$apt/log" | tail -n 2)" "$otherwise"
        return 1
    fi
    version=$(apt-cache show --no-all-versions "$package" | sed -n 's/^Version: //p' | head -n 1)
    # For tests of two writers in a cluster; they are passed over where it cannot be had.
    [[ $engine != mariadb || -z $(apt-cache --names-only search '^galera-4$') ]] ||
        extra=(galera-4)
    if ! uris=$(apt-get install -y --print-uris "$package${pin:+=$pin}" "${extra[@]}" \
        2>"$apt/log"); then
        complain "$label ${pin:-$version} cannot be had: $(grep '^E:' "$apt/log" | head -n 1)" \
            "the archive has $package $version" \
            "ZHANGFANG_${engine^^}_VERSION pins a version, ZHANGFANG_DEBIAN_MIRROR names a mirror"
        return 1
    fi
    chosen=$(needed_packages "$engine" <<<"$uris")
    size=$(awk '{ bytes += $2 } END { printf "%d", (bytes + 999999) / 1000000 }' <<<"$chosen")
    version=$(sed -n "s/^$package=\([^ ]*\) .*/\1/p" <<<"$chosen")
    say "bringing $label ${version#*:} ($size MB, once; kept in $cache) …"
    mkdir "$fresh/packages" || return 1
    # shellcheck disable=SC2046 # one word per package
    if ! (cd "$fresh/packages" &&
        apt-get download $(cut -d' ' -f1 <<<"$chosen") >"$apt/log" 2>&1 &&
        sha256sum -- *.deb >SHA256SUMS); then
        complain "the download of $label broke off:" \
            "$(grep -E '^[EW]:' "$apt/log" | tail -n 3)" \
            "call again: nothing half-finished was kept"
        return 1
    fi
    home=$cache/packages/$engine-${version#*:}-$(uname -m)
    mv -T "$fresh/packages" "$home" || return 1
    downloaded=$home
}

# The first line of a sources.list, without its options.
archive_of() {
    sed 's/^deb \(\[.*\] \)\?//' "$1" | head -n 1
}

# needed_packages ENGINE: of what `apt-get --print-uris` prints, lines such as
#   'http://…/libaio1_0.3.113-5_amd64.deb' libaio1_0.3.113-5_amd64.deb 13024 SHA256:…
# those that the server needs, as `NAME=VERSION BYTES`: its own packages and shared libraries, not
# the dpkg, debconf, passwd and perl that installation scripts ask for.
needed_packages() {
    awk -F"[' ]+" -v own="$1" '
        /^\x27/ {
            split($3, part, "_")
            name = part[1]
            library = name ~ /^lib/ && name !~ /^libperl/ && name !~ /-perl$/
            if (library || name ~ "^(" own ")" || name ~ /^(zlib1g|lua-|galera-4)/) {
                gsub(/%3a/, ":", part[2]) # the colon of an epoch
                print name "=" part[2], $4
            }
        }'
}

# An apt with its own lists and an empty idea of what is installed (so that every library is
# chosen), but with the machine's own network settings.
private_apt() {
    local engine=$1 apt=$2
    type -P apt-get >/dev/null || {
        complain "$(engine_label "$engine") is not installed, and there is no apt-get to bring it" \
            "install it and put it on PATH, or set $(instead_of "$engine") to one that runs"
        return 1
    }
    mkdir -p "$apt"/lists/partial "$apt"/cache/archives/partial "$apt"/none || return 1
    : >"$apt/status" || return 1
    {
        apt-config dump | grep '^Acquire::' |
            grep -vE '^Acquire::(IndexTargets|Languages|Changelogs)'
        cat <<-EOT
			Dir::State "$apt";
			Dir::State::lists "$apt/lists";
			Dir::State::status "$apt/status";
			Dir::Cache "$apt/cache";
			Dir::Etc::main "/dev/null";
			Dir::Etc::parts "$apt/none";
			Dir::Etc::sourcelist "$apt/sources.list";
			Dir::Etc::sourceparts "$apt/none";
			Dir::Etc::preferences "/dev/null";
			Dir::Etc::preferencesparts "$apt/none";
			APT::Install-Recommends "false";
			APT::Sandbox::User "root";
			Acquire::Languages "none";
			Acquire::PDiffs "false";
			Acquire::Retries "3";
		EOT
    } >"$apt/apt.conf"
    if [[ $engine == mysql ]] && ! is_ubuntu; then
        debian_unstable >"$apt/sources.list"
    else
        machine_sources >"$apt/sources.list"
    fi
    [[ -s $apt/sources.list ]] || {
        complain "this machine's apt sources have no archive of Debian or Ubuntu" \
            "so $(engine_label "$engine") cannot be brought: add one, or install it," \
            "or set $(instead_of "$engine") to one that runs"
        return 1
    }
}

is_ubuntu() (
    # shellcheck disable=SC1091 # the machine's
    . /etc/os-release 2>/dev/null || exit 1
    [[ " ${ID:-} ${ID_LIKE:-} " == *" ubuntu "* ]]
)

# What the machine itself installs from: archive, release and component, a line each; other vendors'
# repositories left out. (`apt-get indextargets` would be the natural question, but says nothing
# before the first `apt-get update`, as in a fresh container.)
machine_archives() (
    # shellcheck disable=SC1091 # the machine's
    . /etc/os-release
    suites="(${UBUNTU_CODENAME:-${VERSION_CODENAME:-stable}}|stable|testing|unstable|sid)"
    list="^'(.*)/dists/($suites(-updates|-security)?)/(main|universe)/binary-[^/]*/Packages.*"
    apt-get update --print-uris 2>/dev/null | sed -nE "s#$list#\1 \2 \5#p" | sort -u
)

signed_by() {
    local keyring=/usr/share/keyrings/debian-archive-keyring.gpg
    ! is_ubuntu || keyring=/usr/share/keyrings/ubuntu-archive-keyring.gpg
    [[ ! -r $keyring ]] || printf ' signed-by=%s' "$keyring" # otherwise apt's own trusted keys
}

machine_sources() {
    machine_archives | sed "s#^#deb [arch=$(dpkg --print-architecture)$(signed_by)] #"
}

# A line for Debian unstable, from the mirror that the machine itself uses: it carries unstable too.
debian_unstable() {
    local mirror=${ZHANGFANG_DEBIAN_MIRROR:-} frozen=''
    [[ -n $mirror ]] ||
        mirror=$(machine_archives |
            awk '$2 !~ /-/ && $3 == "main" && $1 ~ /debian/ { print $1; exit }')
    # A snapshot's signature is as old as the snapshot.
    [[ $mirror != *snapshot* ]] || frozen=' check-valid-until=no'
    printf 'deb [arch=%s%s%s] %s sid main\n' "$(dpkg --print-architecture)" "$(signed_by)" \
        "$frozen" "${mirror:-http://deb.debian.org/debian}"
}

# Unpacks into a temporary folder, tries the program, and only then gives it its name: a
# half-unpacked one is never used. Uses $fresh.
unpack() {
    local engine=$1 packages=$2 tree="$fresh/tree" deb loader triplet libraries='' folder
    local binary options=''
    mkdir "$tree" "$tree/bin" || return 1
    for deb in "$packages"/*.deb; do
        dpkg-deb -x "$deb" "$tree" || {
            complain "cannot unpack $deb" \
                "is the disk full? make room, then: rm -r $packages and call again"
            return 1
        }
    done
    # The program is started through the loader of its own libc, since the machine's may be older;
    # and the loader is told where the libraries are, since no ld.so.cache lists them.
    loader=$(find "$tree" -type f \( -name 'ld-linux*.so.*' -o -name 'ld64.so.*' \) | head -n 1)
    [[ -n $loader ]] || {
        complain "no loader among the packages in $packages" "rm -r $packages and call again"
        return 1
    }
    loader=${loader#"$tree"/}
    triplet=$(basename "$(dirname "$loader")") # x86_64-linux-gnu
    for folder in "$(dirname "$loader")" "usr/lib/$triplet" "lib/$triplet" usr/lib/mysql/private; do
        [[ ! -d $tree/$folder || $libraries == *"\$root/$folder"* ]] ||
            libraries+=${libraries:+:}\$root/$folder
    done
    case $engine in
        mysql) binary=usr/sbin/mysqld ;;
        mariadb) binary=usr/sbin/mariadbd ;;
        redis) binary=usr/bin/redis-server ;;
    esac
    # Both databases look for their files where the package would have put them. ($root is for the
    # script that is written here.)
    # shellcheck disable=SC2016
    if [[ $engine != redis ]]; then
        options='--no-defaults --basedir="$root/usr" --plugin-dir="$root/usr/lib/mysql/plugin"'
        options+=' --lc-messages-dir="$root/usr/share/mysql"'
    fi
    cat >"$tree/bin/$engine" <<-EOT
		#!/bin/sh
		# Starts ${binary##*/} from this folder, with the libraries it was built for.
		root=\$(cd "\$(dirname "\$0")/.." && pwd)
		export OPENSSL_CONF=/dev/null
		exec "\$root/$loader" --argv0 ${binary##*/} --library-path "$libraries" \\
		    "\$root/$binary" $options "\$@"
	EOT
    chmod 755 "$tree/bin/$engine"
    "$tree/bin/$engine" --version >"$fresh/log" 2>&1 || {
        complain "$(engine_label "$engine") was unpacked but does not start:" \
            "$(tail -n 1 "$fresh/log")" \
            "rm -r $packages and call again, or install it yourself"
        return 1
    }
    rm -rf "${tree:?}"/usr/share/{doc,man} "${tree:?}"/{etc,var}
    mv -T "$tree" "$cache/${packages##*/}"
}

# Tools that cannot be unpacked privately: installed if we may, else said.
need_tool() {
    local tool=$1 sudo=()
    shift
    ! type -P "$tool" >/dev/null || return 0
    ((EUID == 0)) || sudo=(sudo -n)
    if type -P apt-get >/dev/null && "${sudo[@]}" true 2>/dev/null; then
        say "installing $* …"
        if "${sudo[@]}" apt-get update >/dev/null 2>&1 &&
            DEBIAN_FRONTEND=noninteractive "${sudo[@]}" \
                apt-get install -y --no-install-recommends "$@" >/dev/null 2>&1; then
            return 0
        fi
    fi
    fail "\`$tool\` is missing" "install it, on Debian or Ubuntu: sudo apt-get install $*"
}

need_rust() {
    [[ ! -d ${CARGO_HOME:-$HOME/.cargo}/bin ]] || PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin
    type -P cargo >/dev/null || fail "\`cargo\` is missing" "install Rust: https://rustup.rs"
    need_tool cc gcc libc6-dev # some crates compile C
}
