#!/usr/bin/env bash
# Builds the Dockerfile's last stage around a binary, without pulling anything, and runs it.
#
#   deploy/image-test.sh target/debug/hitchline
#
# The base image is replaced by the few files of this machine that the binary needs; every other line of the stage is the
# Dockerfile's own. Prints the user that the image runs as, what `hitchline --version` says in it, and, on the lines after
# `image:`, all that `buildah inspect` knows, as JSON.
#
# Needs buildah, and root (or subordinate user ids).
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

# Stands in for the Dockerfile's base: libraries, CA roots, /tmp, and `id` to ask who we are.
make_base() {
    mkdir -p "$rootfs/tmp"
    copy_libraries_of "$binary"
    copy_libraries_of "$(command -v id)"
    install -D "$(command -v id)" "$rootfs/usr/bin/id"
    install -D -m 0644 /etc/ssl/certs/ca-certificates.crt "$rootfs/etc/ssl/certs/ca-certificates.crt"
}

# The last stage, on our base; what it takes from the build stage lies in the context at the same path.
last_stage() {
    awk '/^FROM /{ stage = "" } { stage = stage $0 "\n" } END { printf "%s", stage }' "$repository/Dockerfile" |
        sed -e 's|^FROM .*|FROM scratch\nCOPY rootfs /|' -e 's|^COPY --from=build |COPY |'
}

make_base
install -D "$binary" "$work/context/out/hitchline"
cp "$repository"/LICENSE-* "$work/context/"
last_stage >"$work/Containerfile"

"${buildah[@]}" build --quiet --isolation chroot --format docker --tag hitchline-test \
    --file "$work/Containerfile" "$work/context" >&2
container=$("${buildah[@]}" from --pull-never hitchline-test)
in_image() { "${buildah[@]}" run --isolation chroot "$container" -- "$@"; }

echo "uid: $(in_image /usr/bin/id -u)"
echo "version: $(in_image /usr/local/bin/hitchline --version)"
echo "image:"
"${buildah[@]}" inspect --type image hitchline-test
