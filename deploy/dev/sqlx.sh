#!/bin/sh
# Checks every static query of the workspace against the migrations and renews .sqlx, from which builds without a
# database take what they need.
#
#   deploy/dev/sqlx.sh            renew .sqlx
#   deploy/dev/sqlx.sh --check    fail if .sqlx is not what it would be
#
# Starts a PostgreSQL of its own on a unix socket in a folder of its own, and stops it at the end.
set -eu
cd "$(dirname "$0")/../.."
root=$(pwd)

for bin in $(ls -d /usr/lib/postgresql/*/bin /usr/pgsql-*/bin 2>/dev/null | sort -Vr) "$(dirname "$(command -v pg_ctl || echo /nowhere/x)")"; do
    [ -x "$bin/initdb" ] && break
done
[ -x "$bin/initdb" ] || { echo "no PostgreSQL server found; on Debian: apt install postgresql" >&2; exit 1; }

work=$(mktemp -d /tmp/mast-sqlx.XXXXXX)
if [ "$(id -u)" = 0 ]; then
    chown postgres "$work"
    as() { runuser -u postgres -- "$@"; }
else
    as() { "$@"; }
fi
finish() {
    (cd / && as "$bin/pg_ctl" -D "$work/data" -m immediate -s stop) || true
    rm -rf "$work"
}
trap finish EXIT
trap 'exit 1' INT TERM

(
    cd "$work"
    as "$bin/initdb" --no-sync --username postgres --auth trust --encoding UTF8 --locale C --pgdata data >/dev/null
    as "$bin/pg_ctl" -D data -s -w -l "$work/log" \
        -o "-c listen_addresses='' -c unix_socket_directories='$work' -c fsync=off" start
)
sql() { "$bin/psql" --host "$work" --dbname "$1" --username "$2" --quiet --no-psqlrc --set ON_ERROR_STOP=1 --single-transaction --file "$3"; }
sql postgres postgres migrations/src/roles.sql
"$bin/createdb" --host "$work" --username postgres mast
sql mast postgres migrations/src/database.sql
for migration in migrations/[0-9]*.sql; do
    sql mast mast_owner "$migration"
done

# Macros expand only when their crate is compiled, so the crates that use them are cleaned.
mkdir "$work/sqlx"
export DATABASE_URL="postgres://mast_owner@localhost/mast?host=$work" SQLX_OFFLINE_DIR="$work/sqlx"
crates=$(grep -lE '^sqlx\.workspace' ./*/Cargo.toml ./*/*/Cargo.toml | while read -r manifest; do
    sed -n 's/^name = "\(.*\)"/--package \1/p' "$manifest" | head -n 1
done)
# shellcheck disable=SC2086
cargo clean --quiet $crates
# shellcheck disable=SC2086
cargo check --quiet --all-targets $crates

if [ "${1:-}" = --check ]; then
    diff -r "$work/sqlx" "$root/.sqlx" && echo ".sqlx is up to date" ||
        { echo ".sqlx is not what the queries need: run deploy/dev/sqlx.sh" >&2; exit 1; }
else
    rm -rf "$root/.sqlx"
    cp -r "$work/sqlx" "$root/.sqlx"
    echo "$(ls "$root/.sqlx" | wc -l) queries checked"
fi
