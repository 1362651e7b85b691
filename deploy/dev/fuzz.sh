#!/bin/sh
# Fuzzes parsers: fuzz.sh [TARGET...], all of them without one. FUZZ_SECONDS (60) for each, FUZZ_JOBS (the cores) at a time.
# Installs cargo-fuzz, builds the programs of fuzz/ and runs each over its seeds, and over what it found before. Ends with a
# table; fails if a target found something, and says where the input is.
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root"
PATH=$PATH:$HOME/.cargo/bin
version=0.13.2
seconds=${FUZZ_SECONDS:-60}
jobs=${FUZZ_JOBS:-$(nproc)}
work=${CARGO_TARGET_DIR:-$(deploy/dev/target.sh)}/fuzz
CARGO_TARGET_DIR=$work/build
# Coverage instrumentation is a feature of nightly compilers; a stable one takes it from those who say that they know.
RUSTC_BOOTSTRAP=1
export CARGO_TARGET_DIR RUSTC_BOOTSTRAP

[ $# -gt 0 ] || set -- $(sed -n 's/^name = "\([a-z_]*\)"$/\1/p' fuzz/Cargo.toml)
for target; do
    [ -d "fuzz/seeds/$target" ] || {
        printf 'fuzz: there is no target %s; these are: %s\n' "$target" "$(ls fuzz/seeds | tr '\n' ' ')" >&2
        exit 2
    }
done
case $(cargo fuzz --version 2>/dev/null || true) in
"cargo-fuzz $version") ;;
*) cargo install --locked --quiet cargo-fuzz --version "$version" ;;
esac
cargo fuzz build --fuzz-dir fuzz
programs=$CARGO_TARGET_DIR/$(rustc -vV | sed -n 's/^host: //p')/release
mkdir -p "$work/logs"

# shellcheck disable=SC2016 # expanded by the inner shell
printf '%s\n' "$@" | xargs -P "$jobs" -I '{}' sh -c '
    mkdir -p "$1/corpus/{}" "$1/findings/{}"
    "$2/{}" "$1/corpus/{}" "fuzz/seeds/{}" -max_total_time="$3" -rss_limit_mb=2048 -timeout=300 -max_len=8192 \
        -print_final_stats=1 -artifact_prefix="$1/findings/{}/" >"$1/logs/{}.log" 2>&1 ||
        echo "{}" >>"$1/logs/failed.$4"
' sh "$work" "$programs" "$seconds" $$ || true

printf '%-18s %14s %8s %8s %8s %9s\n' target executions seconds coverage features inputs
for target; do
    awk -v target="$target" '
        /^#[0-9]+/ { for (i = 2; i < NF; i++) {
            if ($i == "cov:") cov = $(i + 1)
            if ($i == "ft:") ft = $(i + 1)
            if ($i == "corp:") { split($(i + 1), c, "/"); corp = c[1] } } }
        /^Done / { seconds = $(NF - 1) }
        /^stat::number_of_executed_units/ { runs = $2 }
        END { printf "%-18s %14s %8s %8s %8s %9s\n", target, runs, seconds, cov, ft, corp }' "$work/logs/$target.log"
done
if [ -e "$work/logs/failed.$$" ]; then
    while read -r target; do
        echo "fuzz: $target found something: $work/findings/$target, and the end of $work/logs/$target.log" >&2
    done <"$work/logs/failed.$$"
    rm -f "$work/logs/failed.$$"
    exit 1
fi
