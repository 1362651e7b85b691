#!/bin/sh
# Installs what building and running Mast needs and this machine lacks: a C compiler, OpenSSL's headers, PostgreSQL's server
# binaries. A Kafka broker, which only some tests need, is `deploy/dev/kafka/kafka.sh install`.
# Checks Rust, which it doesn't install. `install.sh --lint` also checks the parts of Rust that only the lints need,
# `install.sh --tests` installs Python and Go as well: their programs talk to the simulator, to the API and with notifications in tests.
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

# A Python that can make environments of its own.
has_python() {
    command -v python3 >/dev/null && python3 -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 10))' 2>/dev/null
}

has_go() {
    command -v go >/dev/null && at_least 1.21 "$(go env GOVERSION 2>/dev/null | sed 's/^go//')"
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
if [ "${1:-}" = --tests ]; then
    has_python || packages="$packages python3 python3-venv"
    command -v go >/dev/null || packages="$packages golang-go"
fi
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
if [ "${1:-}" = --tests ]; then
    has_python || fail "apt's Python is older than 3.10 or can't make environments; the tests need both"
    has_go || fail "Go is older than 1.21, which the tests need: install a newer one as https://go.dev/doc/install says"
fi
check_rust "$@"
