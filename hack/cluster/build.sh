#!/usr/bin/env bash
# Builds Kubernetes, and what a cluster has beside it, from the versions that the go.mod files here pin.
#   build.sh controlplane FOLDER   etcd, kube-apiserver, kubectl: what tests of the operator need
#   build.sh oldest FOLDER         kube-apiserver of the oldest Kubernetes that the charts take (oldest/go.mod)
#   build.sh cluster FOLDER        the rest: the node, DNS, volumes, metrics, ingress, certificates, with their CRDs
# All but containerd and Traefik are of one module, so that what they share is compiled once.
set -euo pipefail

part=$1
mkdir -p "$2"
out=$(cd "$2" && pwd)
cd "$(dirname "$0")"
export CGO_ENABLED=0

# build OUTPUT PACKAGE...: below the folder for the output, one after the other, with a line every 15 s.
build() {
  local output=$1 package started=$SECONDS left
  shift
  left=$#
  for package; do
    left=$((left - 1))
    go build -trimpath -ldflags "-s -w ${stamp:-}" -o "$out/$output" "$package" &
    local compiler=$!
    while wait_for "$compiler"; do
      echo "  $package: $((SECONDS - started)) s, $left to follow"
    done
    wait "$compiler"
  done
}

# wait_for PROCESS: true if it still runs after 15 s.
wait_for() {
  local i
  for ((i = 0; i < 15; i++)); do
    kill -0 "$1" 2>/dev/null || return 1
    sleep 1
  done
}

if [[ $part == oldest ]]; then
  cd oldest
fi

# Unstamped binaries call themselves v0.0.0-master, and clients then turn features off.
kubernetes=$(go list -m -f '{{.Version}}' k8s.io/kubernetes)
IFS=. read -r major minor _ <<<"${kubernetes#v}"
version=k8s.io/component-base/version
stamp="-X $version.gitVersion=$kubernetes -X $version.gitMajor=$major -X $version.gitMinor=$minor"
stamp+=" -X $version.gitTreeState=clean -X $version.gitCommit=unknown -X $version.buildDate=1970-01-01T00:00:00Z"

if [[ $part == oldest ]]; then
  echo "building kube-apiserver $kubernetes (the first time takes minutes)"
  build "" tool
  exit
fi

if [[ $part == controlplane ]]; then
  echo "building etcd, kube-apiserver and kubectl $kubernetes (the first time takes minutes)"
  build etcd go.etcd.io/etcd/server/v3
  build "" k8s.io/kubernetes/cmd/{kube-apiserver,kubectl}
  exit
fi

echo "building the node's part of Kubernetes $kubernetes, and the addons (the first time takes half an hour)"
build "" k8s.io/kubernetes/cmd/{kube-controller-manager,kube-scheduler,kubelet,kube-proxy}
build "" github.com/coredns/coredns sigs.k8s.io/metrics-server/cmd/metrics-server \
  github.com/letsencrypt/pebble/v2/cmd/pebble ./acmesolver ./certmanager ./provisioner
gcc -Os -static -DVERSION=local -o "$out/pause" "$(go list -m -f '{{.Dir}}' k8s.io/kubernetes)/build/pause/linux/pause.c"

rm -rf "$out/crds"
mkdir "$out/crds"
cp "$(go list -m -f '{{.Dir}}' github.com/cert-manager/cert-manager)"/deploy/crds/*.yaml "$out/crds/"
cp "$(go list -m -f '{{.Dir}}' sigs.k8s.io/gateway-api)"/config/crd/standard/*.yaml "$out/crds/"
chmod u+w "$out"/crds/*

unset stamp
(cd containerd && build "" tool)
(cd traefik && build "" tool)
