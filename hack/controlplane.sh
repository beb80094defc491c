#!/usr/bin/env bash
# Builds the control plane the tests talk to, from the versions that hack/controlplane/go.mod pins, into the folder $1:
# etcd, kube-apiserver, kubectl. Cold it takes some seven minutes on two cores; later builds come from Go's cache.
set -euo pipefail

mkdir -p "$1"
out=$(cd "$1" && pwd)
cd "$(dirname "$0")/controlplane"

# Unstamped binaries call themselves v0.0.0-master, and clients then turn features off.
version=$(go list -m -f '{{.Version}}' k8s.io/kubernetes)
IFS=. read -r major minor _ <<<"${version#v}"
stamp=k8s.io/component-base/version
flags="-s -w -X $stamp.gitVersion=$version -X $stamp.gitMajor=$major -X $stamp.gitMinor=$minor"
flags+=" -X $stamp.gitTreeState=clean -X $stamp.gitCommit=unknown -X $stamp.buildDate=1970-01-01T00:00:00Z"

echo "building etcd, kube-apiserver and kubectl $version (the first time takes minutes)"
export CGO_ENABLED=0
go build -trimpath -ldflags "$flags" -o "$out/etcd" go.etcd.io/etcd/server/v3
go build -trimpath -ldflags "$flags" -o "$out/" k8s.io/kubernetes/cmd/kube-apiserver k8s.io/kubernetes/cmd/kubectl
