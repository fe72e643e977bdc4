#!/usr/bin/env bash
# Builds the Dockerfile's last stage around a binary, without pulling anything, and runs it.
#
#   deploy/image-test.sh target/debug/hitchline
#
# The base image is replaced by the few files of this machine that the binary needs; every other line of the stage is the
# Dockerfile's own. Prints the user that the image runs as, what `hitchline --version` says in it, how `hitchline healthcheck` exits
# while the daemon runs there with the simulator, how the daemon exits after SIGTERM, how the check exits then, and, on the
# lines after `image:`, all that `buildah inspect` knows, as JSON.
#
# Needs buildah, pgrep, and root (or subordinate user ids).
set -euo pipefail

binary=${1:?usage: deploy/image-test.sh BINARY}
repository=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
rootfs=$work/context/rootfs

buildah=(buildah --root "$work/storage" --runroot "$work/run" --storage-driver vfs)

# Copies a program's shared libraries, the loader among them, to the same places in the root file system.
copy_libraries_of() {
    ldd "$1" | grep -o '/[^ ]*' | while read -r library; do
        install -D "$library" "$rootfs$library"
    done
}

# Stands in for the Dockerfile's base: libraries, CA roots, /tmp, `id` to ask who we are, and the directories that are the user's own.
make_base() {
    mkdir -p "$work/context/owned/"{var/lib/hitchline,workspace,home/hitchline}
    mkdir -p "$rootfs/tmp"
    copy_libraries_of "$binary"
    copy_libraries_of "$(command -v id)"
    install -D "$(command -v id)" "$rootfs/usr/bin/id"
    install -D -m 0644 /etc/ssl/certs/ca-certificates.crt "$rootfs/etc/ssl/certs/ca-certificates.crt"
}

# The last stage, on our base; what it takes from the build stage lies in the context at the same path.
last_stage() {
    awk '/^FROM /{ stage = "" } { stage = stage $0 "\n" } END { printf "%s", stage }' "$repository/Dockerfile" |
        sed -e 's|^FROM .*|FROM scratch\nCOPY rootfs /\nCOPY --chown=65532:65532 owned /|' -e 's|^COPY --from=build |COPY |'
}

make_base
install -D "$binary" "$work/context/out/hitchline"
cp "$repository"/LICENSE-* "$work/context/"
last_stage >"$work/Containerfile"

"${buildah[@]}" build --quiet --isolation chroot --format docker --tag hitchline-test \
    --file "$work/Containerfile" "$work/context" >&2
container=$("${buildah[@]}" from --pull-never hitchline-test)
in_image() { "${buildah[@]}" run --isolation chroot "$container" -- "$@"; }

# Waits, 30 s at most, until the running daemon has said a line.
wait_for_line() {
    for _ in {1..300}; do
        grep -q "^$1\$" "$work/said" && return
        sleep 0.1
    done
    echo "the daemon in the image never said \`$1\`" >&2
    return 1
}

# The processes below one, each before its own children.
descendants() {
    local child
    for child in $(pgrep --parent "$1"); do
        echo "$child"
        descendants "$child"
    done
}

# Runs the daemon in the image as Docker would, and asks it how it is.
run_daemon() {
    touch "$work/said"
    in_image /usr/local/bin/hitchline run --simulator >"$work/said" &
    local runner=$! daemon status=0
    wait_for_line ready
    in_image /usr/local/bin/hitchline healthcheck || status=$?
    echo "healthy: $status"
    daemon=$(descendants $runner | tail -n 1)
    kill -TERM "$daemon"
    status=0
    wait "$runner" || status=$?
    echo "stopped: $status"
    status=0
    in_image /usr/local/bin/hitchline healthcheck 2>/dev/null || status=$?
    echo "healthy after the stop: $status"
}

echo "uid: $(in_image /usr/bin/id -u)"
echo "version: $(in_image /usr/local/bin/hitchline --version)"
run_daemon
echo "image:"
"${buildah[@]}" inspect --type image hitchline-test
