#!/bin/sh
# Prints the folder for everything that is built and for the data of the demo: $CARGO_TARGET_DIR, else `target` here.
#
# PostgreSQL refuses to run as root, so where root runs us its server runs as another user, who must be able to reach
# that folder. In a clone below /root it can't; then the folder is /var/tmp/mast-target.
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)

passable() {
    setpriv --reuid nobody --regid nogroup --clear-groups sh -c 'cd -- "$0"' "$1" 2>/dev/null
}

case ${CARGO_TARGET_DIR:-} in
/*) echo "$CARGO_TARGET_DIR" ;;
?*) echo "$PWD/$CARGO_TARGET_DIR" ;;
*)
    if [ "$(id -u)" -ne 0 ] || passable "$root"; then
        echo "$root/target"
    else
        echo "$root can't be reached by PostgreSQL's user; building in /var/tmp/mast-target" >&2
        echo /var/tmp/mast-target
    fi
    ;;
esac
