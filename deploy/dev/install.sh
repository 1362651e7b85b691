#!/bin/sh
# Installs what building and running Mast needs and this machine lacks: a C compiler, OpenSSL's headers, PostgreSQL's server
# binaries.
# Checks Rust, which it doesn't install. `install.sh --lint` also checks the parts of Rust that only the lints need.
# Does nothing, quickly and without asking for rights, where nothing is missing.
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
PATH=$PATH:$HOME/.cargo/bin

fail() {
    printf 'install: %s\n' "$*" >&2
    exit 1
}

# at_least WANTED FOUND: compares versions.
at_least() {
    [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$1" ]
}

check_rust() {
    wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$root/Cargo.toml")
    how="install it as https://rustup.rs says, or run \`rustup update stable\`"
    command -v cargo >/dev/null || fail "there is no Rust here; Mast needs $wanted or newer: $how"
    found=$(rustc --version | cut -d ' ' -f 2)
    at_least "$wanted" "$found" || fail "Rust is $found; Mast needs $wanted or newer: $how"
    [ "${1:-}" = --lint ] || return 0
    cargo fmt --version >/dev/null 2>&1 || fail "rustfmt is missing: run \`rustup component add rustfmt\`"
    cargo clippy --version >/dev/null 2>&1 || fail "clippy is missing: run \`rustup component add clippy\`"
}

# Whether there are server binaries of version 15 or newer, where `mast` looks for them.
has_postgres() {
    for dir in /usr/lib/postgresql/*/bin /usr/pgsql*/bin $(printf '%s' "$PATH" | tr ':' ' '); do
        [ -x "$dir/initdb" ] && [ -x "$dir/pg_ctl" ] && [ -x "$dir/postgres" ] || continue
        version=$("$dir/pg_ctl" --version | sed 's/[^0-9]*\([0-9]*\).*/\1/')
        [ "${version:-0}" -ge 15 ] && return 0
    done
    return 1
}

has_openssl() {
    command -v pkg-config >/dev/null && pkg-config --exists 'openssl >= 3'
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

may_install() {
    command -v apt-get >/dev/null ||
        fail "this machine has no apt; install the counterparts of these Debian packages by hand: $*"
    [ "$(id -u)" -eq 0 ] || sudo -n true 2>/dev/null || { [ -t 0 ] && command -v sudo >/dev/null; } ||
        fail "packages are missing and there is no sudo; run as root: apt-get install --no-install-recommends $*"
}

apt_install() {
    echo "install: apt-get install $*"
    as_root apt-get -qq update
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get -qq -o Dpkg::Use-Pty=0 install --yes --no-install-recommends "$@" >/dev/null
}

# Mast starts servers of its own; Debian's package would also start one for the whole machine. It is asked not to, for
# as long as this installation takes.
install_quietly() {
    conf=/etc/postgresql-common/createcluster.d/mast.conf
    as_root mkdir -p "${conf%/*}"
    echo 'create_main_cluster = false' | as_root tee "$conf" >/dev/null
    status=0
    (apt_install "$@") || status=$?
    as_root rm -f "$conf"
    as_root rmdir --ignore-fail-on-non-empty "${conf%/*}"
    [ "$status" -eq 0 ] || fail "apt-get could not install: $*"
}

packages=
command -v cc >/dev/null && command -v make >/dev/null || packages=build-essential
[ -e /etc/ssl/certs/ca-certificates.crt ] || packages="$packages ca-certificates"
has_openssl || packages="$packages libssl-dev pkg-config"
has_postgres || packages="$packages postgresql"
# shellcheck disable=SC2086 # a list of words
[ -z "$packages" ] || may_install $packages
case $packages in
'') ;;
# shellcheck disable=SC2086
*postgresql*) install_quietly $packages ;;
# shellcheck disable=SC2086
*) apt_install $packages ;;
esac
has_openssl || fail "apt's OpenSSL is older than 3; Mast needs 3.0 or newer with its headers"
has_postgres || fail "apt's PostgreSQL is older than 15; install a newer one as https://www.postgresql.org/download says"
check_rust "$@"
