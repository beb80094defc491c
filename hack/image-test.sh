#!/usr/bin/env bash
# `make image-test`: builds the image twice from nothing, from local base images, and checks that both are the same,
# small, labelled, run as nobody in particular, and that the binaries know their version. Needs buildah and root.
set -euo pipefail
cd "$(dirname "$0")/.."

most=$((35 << 20)) # bytes of all layers, compressed
version=v0.0.0-test
image=localhost/wechatbot-operator-test
root=$(realpath -m "${BUILDAH_ROOT:-bin/buildah}")
export STORAGE_DRIVER=vfs BUILDAH_ISOLATION=chroot
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() {
  echo "image-test: $*" >&2
  exit 1
}

buildah() {
  command buildah --root "$root" --runroot "$root/run" "$@"
}

inspect() { # inspect FIELD: of the image's configuration
  buildah inspect --type image --format "{{$1}}" "$image:$version"
}

equal() { # equal WHAT GOT WANT
  [[ $2 == "$3" ]] || fail "$1 is $2, want $3"
}

for build in first second; do
  IMAGE=$image VERSION=$version BASES=local BUILDER=buildah NO_CACHE=1 hack/image.sh >"$work/$build.log" 2>&1 ||
    { cat "$work/$build.log" >&2; fail "the $build build failed"; }
  buildah push "$image:$version" "dir:$work/$build" >/dev/null 2>&1
done

# The digest of the configuration covers the layers' as well.
digest() { sha256sum "$work/$1/manifest.json" | cut -d ' ' -f 1; }
equal "the manifest of the second build" "$(digest second)" "$(digest first)"

size=0
for file in "$work"/first/*; do
  size=$((size + $(stat -c %s "$file")))
done
((size <= most)) || fail "the image has $size bytes compressed, more than $most"

equal "the user" "$(inspect .OCIv1.Config.User)" 65532:65532
equal "the entry point" "$(inspect .OCIv1.Config.Entrypoint)" "[/manager]"
equal "the version's label" "$(inspect 'index .OCIv1.Config.Labels "org.opencontainers.image.version"')" $version
equal "the revision's label" "$(inspect 'index .OCIv1.Config.Labels "org.opencontainers.image.revision"')" "$(git rev-parse HEAD)"
equal "the licences' label" "$(inspect 'index .OCIv1.Config.Labels "org.opencontainers.image.licenses"')" Apache-2.0

# The binaries run without anything else of the image, as its user, which may write nothing.
container=$(buildah from --pull-never "$image:$version")
files=$(buildah mount "$container")
cp "$files/manager" "$files/server" "$work"
left=$(find "$files" -xdev -type f -not -path '*/etc/*' -printf '%P\n' | sort | tr '\n' ' ')
buildah umount "$container" >/dev/null
buildah rm "$container" >/dev/null
equal "what the image has beside /etc" "$left" "LICENSE manager server "
chmod 755 "$work"
for command in manager server; do
  equal "what /$command --version prints" "$(setpriv --reuid 65532 --regid 65532 --clear-groups "$work/$command" --version)" \
    "$command version $version"
  if [[ $(readelf -l "$work/$command") == *INTERP* ]]; then
    fail "/$command is not static"
  fi
done
echo "image-test: two builds gave the image sha256:$(digest first), $((size / 1024)) KiB compressed"
