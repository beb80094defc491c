#!/usr/bin/env bash
# `make e2e`: what test/e2e needs, and the tests themselves. With CLUSTER=own the cluster of `make cluster-up`: images are
# built and loaded. With CLUSTER=current the cluster of the kubeconfig's context, and all of these are set:
#   E2E_IMAGE E2E_NEW_IMAGE   the operator's image under two tags, which the nodes can pull
#   E2E_PREVIOUS_IMAGE        the previous release's operator (test/previous), likewise
#   E2E_PREVIOUS_CHART        the folder of its chart
#   E2E_DIFY_IMAGE            test/e2e/cmd/dify with cmd/kubectl-wechatbot beside it, likewise
#   E2E_PROMETHEUS_IMAGE      a Prometheus, likewise
#   E2E_REDIS_IMAGE           a Redis, likewise
#   E2E_CONNECT               host:port of the ingress controller's TLS, reached from here
#   E2E_ISSUER E2E_CA_ISSUER  names of ClusterIssuers: whose certificates the bots get, and one that signs at once
#   E2E_CA                    a file with the certificates of both authorities
#   E2E_GATEWAY               NAMESPACE/NAME/LISTENER of a Gateway for *.example.test
# The DNS of that cluster leads *.example.test to its ingress controller.
# E2E_DISPOSABLE=1 runs the documentation's commands too, the last of which delete all bots of the cluster.
# RUN picks scenarios by a regular expression of Go's; what they build on runs when it is picked too.
set -euo pipefail
cd "$(dirname "$0")/.."

# prometheus_files FOLDER: Debian's Prometheus without what its package needs beside, which is for its pages.
prometheus_files() {
  local file
  mkdir -p "$1/package" "$1/lib"
  (
    cd "$1/package"
    apt-get download -qq prometheus 2>/dev/null || { apt-get update -qq && apt-get download -qq prometheus; }
    dpkg-deb -x prometheus_*.deb .
  )
  cp "$1/package/usr/bin/prometheus" "$1/prometheus"
  for file in $(ldd "$1/prometheus" | grep -o '/[^ ]*'); do
    install -D "$file" "$1/lib$file"
  done
  rm -r "$1/package"
}

# previous_release: the image and the chart of the previous release, made of its source in this repository's history.
previous_release() {
  local commit
  commit=$(sed -n 's/^const Commit = "\(.*\)"/\1/p' test/previous/previous.go)
  previous=$images/previous
  rm -rf "$previous"
  mkdir -p "$previous"
  git archive --format=tar "$commit" | tar -x -C "$previous" # a shallow clone lacks it: git fetch --unshallow
  ln -s "$PWD/bin" "$previous/bin"
  (cd "$previous" && IMAGE=localhost/wechatbot-operator VERSION=e2e-previous BASES=local ARCHIVES=$images hack/image.sh)
  bin/cluster/cluster load "$images/wechatbot-operator-e2e-previous-linux-$(go env GOARCH).oci.tar"
  export E2E_PREVIOUS_IMAGE=localhost/wechatbot-operator:e2e-previous E2E_PREVIOUS_CHART=$previous/charts/wechatbot-operator
}

# refuse_others_bots: the last scenario deletes all bots of the cluster.
refuse_others_bots() {
  local others
  others=$(kubectl get wechatbots --all-namespaces --no-headers -o custom-columns=N:.metadata.namespace,B:.metadata.name 2>/dev/null |
    grep -v '^e2e-' || true)
  if [[ -n $others ]]; then
    printf 'the cluster has bots that are not of these tests, which would delete them and end the cluster: move or delete these first\n%s\n' "$others" >&2
    exit 1
  fi
}

own_cluster() {
  . hack/cluster-env.sh
  previous_release
  operator_image localhost/wechatbot-operator e2e
  operator_image localhost/wechatbot-operator e2e-new
  # What the documentation's commands install.
  operator_image localhost/wechatbot-operator "$(sed -n 's/^appVersion: "\?\([^"]*\)"\?/\1/p' charts/wechatbot-operator/Chart.yaml)"
  dify_image
  [[ -e $images/prometheus/prometheus ]] || prometheus_files "$images/prometheus"
  test_image prometheus test/e2e/Dockerfile.prometheus "$images/prometheus"
  export E2E_IMAGE=localhost/wechatbot-operator:e2e E2E_NEW_IMAGE=localhost/wechatbot-operator:e2e-new
  export E2E_DIFY_IMAGE=localhost/dify:e2e E2E_PROMETHEUS_IMAGE=localhost/prometheus:e2e E2E_REDIS_IMAGE=localhost/redis:local
  export E2E_CONNECT=$CONNECT E2E_ISSUER=acme E2E_CA_ISSUER=test-ca E2E_CA=$CA E2E_GATEWAY=traefik/traefik/https
  export E2E_DISPOSABLE=1
}

# Before anything is built, and before a cluster that is up could be ended.
if [[ ${1:-} == guard ]]; then
  if [[ ${CLUSTER:-own} == own && -e bin/cluster/state/addresses ]]; then
    . hack/cluster-env.sh
    refuse_others_bots
  fi
  exit
fi

if [[ ${CLUSTER:-own} == own ]]; then
  own_cluster
fi
CGO_ENABLED=0 go build -trimpath -tags grpcnotrace -ldflags '-s -w' -o bin/e2e/plugin/ ./cmd/kubectl-wechatbot
PATH=$PWD/bin/e2e/plugin:$PATH
go test -tags e2e -count 1 -timeout 40m -v -run "TestEndToEnd/(${RUN:-.})" ./test/e2e
