#!/usr/bin/env bash
# `make compat`: every package whose tests start a control plane, with the API server of bin/oldest: the oldest Kubernetes
# that the charts take. Another one can be tried by KUBEBUILDER_ASSETS, a folder with etcd, kube-apiserver and kubectl.
# Without the race detector, which is the affair of `make test`. Parameters are the variables of the Makefile: PKG, RUN.
set -euo pipefail
cd "$(dirname "$0")/.."

read -ra looked_at <<<"${PKG:-./...}"
run=()
if [[ ${RUN:-.} != . ]]; then # a selection cannot tell which rights no test needs
  run=(-run "$RUN")
fi
export KUBEBUILDER_ASSETS="${KUBEBUILDER_ASSETS:-$PWD/bin/oldest}"

# with_control_plane: the packages whose tests import test/envtest.
with_control_plane() {
  go list -test -tags charts -f '{{if .ForTest}}{{.ForTest}} {{join .Deps " "}} {{end}}' "${looked_at[@]}" |
    grep -F "$(go list -m)/test/envtest " | cut -d ' ' -f 1 | sort -u
}

packages=$(with_control_plane) || { echo "no package of ${looked_at[*]} has tests with a control plane" >&2; exit 1; }
"$KUBEBUILDER_ASSETS/kube-apiserver" --version
# shellcheck disable=SC2086 # a word each
go test -tags charts -count 1 -timeout 20m "${run[@]}" $packages
