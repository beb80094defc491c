#!/usr/bin/env bash
# `make push`: to REGISTRY, the image in the OCI archives of a folder as IMAGE:VERSION (for several platforms: an index of all), and
# the charts that are there as oci://REGISTRY/charts/NAME:VERSION. Who may push is what `docker login`, `podman login` or
# `bin/crane auth login` has noted. From the environment: REGISTRY, IMAGE, VERSION, FROM (the folder).
set -euo pipefail
cd "$(dirname "$0")/.."
registry=${REGISTRY:?} image=${IMAGE:?} version=${VERSION:?} from=${FROM:?}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

shopt -s nullglob
archives=("$from/${image##*/}-$version"-linux-*.oci.tar)
if ((${#archives[@]} == 0)); then
  echo "make push: $from has no image of version $version: make image REGISTRY=$registry VERSION=$version makes it" >&2
  exit 1
fi

names=()
for archive in "${archives[@]}"; do
  layout=$work/${archive##*/}
  mkdir "$layout"
  tar -xf "$archive" -C "$layout"
  name=$image:$version
  ((${#archives[@]} == 1)) || name+=-$(basename "$archive" .oci.tar | sed 's/.*-//') # an index names its parts
  bin/crane push "$layout" "$name" >/dev/null
  names+=("$name")
done
if ((${#names[@]} > 1)); then
  bin/crane index append "${names[@]/#/--manifest=}" --tag "$image:$version" >/dev/null
fi
echo "pushed $image:$version, $(bin/crane digest "$image:$version")"

plain=()
[[ ! $registry =~ ^(localhost|127\.0\.0\.1)(:|/|$) ]] || plain=(--plain-http) # as crane does
for chart in "$from"/*.tgz; do
  bin/helm push "$chart" "oci://$registry/charts" "${plain[@]}" 2>&1
done
