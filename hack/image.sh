#!/usr/bin/env bash
# `make image`: builds the image of the Dockerfile with buildah or docker. From the environment:
#   IMAGE VERSION   what it is called: IMAGE:VERSION; with several PLATFORMS, IMAGE:VERSION-ARCH
#   PLATFORMS       such as "linux/amd64 linux/arm64"; default: this machine's
#   BASES=local     base images made on this machine (hack/base-images.sh) instead of a registry's; needs buildah
#   ARCHIVES        a folder: an OCI archive of each image is written there
#   BUILDER         buildah or docker; default: buildah if it is there
#   NO_CACHE=1      build all layers anew
# buildah keeps its images in BUILDAH_ROOT, below bin by default.
set -euo pipefail
cd "$(dirname "$0")/.."

image=${IMAGE:?} version=${VERSION:?}
read -ra platforms <<<"${PLATFORMS:-linux/$(go env GOHOSTARCH)}"
# The same sources give the same image: no time of building goes in.
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-0}
arguments=(--build-arg "VERSION=$version" --build-arg "REVISION=$(git rev-parse HEAD 2>/dev/null || echo unknown)")
[[ ${NO_CACHE:-} != 1 ]] || arguments+=(--no-cache)

builder=${BUILDER:-}
if [[ -z $builder ]]; then
  builder=$(command -v buildah || command -v docker || true)
  builder=${builder##*/}
fi

name() { # name PLATFORM: what the image for it is called
  if ((${#platforms[@]} > 1)); then echo "$image:$version-${1##*/}"; else echo "$image:$version"; fi
}

# The image in an archive is IMAGE:VERSION whatever its platform, so that a node that takes it has what the chart names.
archive() { # archive PLATFORM: the file of its archive
  echo "$ARCHIVES/${image##*/}-$version-${1//\//-}.oci.tar"
}

# Builders write into an archive when they made it: without that the same image has the same archive.
without_times() { # without_times FILE
  local folder
  folder=$(mktemp -d)
  tar -xf "$1" -C "$folder"
  (cd "$folder" && tar --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX --format=ustar -c -- *) >"$1"
  rm -r "$folder"
}

storage() {
  command buildah --root "$root" --runroot "$root/run" "$@"
}

build_with_buildah() { # build_with_buildah PLATFORM
  # Not every buildah knows BUILDPLATFORM by itself.
  storage bud --platform "$1" --build-arg "BUILDPLATFORM=linux/$(go env GOHOSTARCH)" --build-arg "TARGETOS=${1%%/*}" --build-arg "TARGETARCH=${1##*/}" \
    --timestamp "$SOURCE_DATE_EPOCH" --layers=false "${arguments[@]}" --tag "$(name "$1")" .
  [[ -z ${ARCHIVES:-} ]] || storage push "$(name "$1")" "oci-archive:$(archive "$1"):$image:$version"
}

build_with_docker() { # build_with_docker PLATFORM
  local output="type=docker,name=$(name "$1")"
  [[ -z ${ARCHIVES:-} ]] || output="type=oci,name=$image:$version,dest=$(archive "$1")"
  docker buildx build --platform "$1" --provenance=false --output "$output,rewrite-timestamp=true" "${arguments[@]}" .
}

case $builder in
buildah)
  root=$(realpath -m "${BUILDAH_ROOT:-bin/buildah}")
  if ((EUID == 0)); then
    export STORAGE_DRIVER=vfs BUILDAH_ISOLATION=chroot
  fi
  if [[ ${BASES:-} == local ]]; then
    BUILDAH_ROOT=$root hack/base-images.sh
    # This machine's modules and compiled packages serve, so that it builds in a minute and without a network.
    arguments+=(--pull-never --build-arg GO_IMAGE=localhost/golang:local --build-arg BASE_IMAGE=localhost/static:local
      --volume "$(go env GOMODCACHE):/go/pkg/mod" --volume "$(go env GOCACHE):/root/.cache/go-build")
  fi
  ;;
docker)
  if [[ ${BASES:-} == local ]]; then
    echo "BASES=local needs buildah (apt-get install buildah)" >&2
    exit 1
  fi
  ;;
*)
  echo "neither buildah nor docker is there: apt-get install buildah" >&2
  exit 1
  ;;
esac

[[ -z ${ARCHIVES:-} ]] || mkdir -p "$ARCHIVES"
for platform in "${platforms[@]}"; do
  "build_with_$builder" "$platform"
  [[ -z ${ARCHIVES:-} ]] || without_times "$(archive "$platform")"
  echo "built $(name "$platform") for $platform"
done
