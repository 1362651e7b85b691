#!/bin/sh
# Runs cargo-deny, of the version named here, out of the target folder; builds it there first where it isn't yet.
# Arguments go to cargo-deny.
set -eu

version=0.20.2
root=$(cd "$(dirname "$0")/../.." && pwd)
target=$("$root/deploy/dev/target.sh")
tools=$target/tools
deny=$tools/bin/cargo-deny

if [ "$("$deny" --version 2>/dev/null)" != "cargo-deny $version" ]; then
    # Unoptimized: it runs for seconds, and takes minutes less to build.
    CARGO_TARGET_DIR=$tools/build cargo install cargo-deny --version "=$version" --locked --debug \
        --no-default-features --force --root "$tools"
    rm -rf "$tools/build"
fi
cd "$root"
exec "$deny" "$@"
