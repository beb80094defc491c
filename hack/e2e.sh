#!/usr/bin/env bash
# `make e2e`: what test/e2e needs, and the tests themselves. With CLUSTER=own the cluster of `make cluster-up`: images are
# built and loaded. With CLUSTER=current the cluster of the kubeconfig's context, and all of these are set:
#   E2E_IMAGE E2E_NEW_IMAGE   the operator's image under two tags, which the nodes can pull
#   E2E_DIFY_IMAGE            test/e2e/cmd/dify, likewise
#   E2E_PROMETHEUS_IMAGE      a Prometheus, likewise
#   E2E_REDIS_IMAGE           a Redis, likewise
#   E2E_CONNECT               host:port of the ingress controller's TLS, reached from here
#   E2E_ISSUER E2E_CA_ISSUER  names of ClusterIssuers: whose certificates the bots get, and one that signs at once
#   E2E_CA                    a file with the certificates of both authorities
#   E2E_GATEWAY               NAMESPACE/NAME/LISTENER of a Gateway for *.example.test
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

own_cluster() {
  . hack/cluster-env.sh
  operator_image localhost/wechatbot-operator e2e
  operator_image localhost/wechatbot-operator e2e-new
  # What the documentation's commands install.
  operator_image ghcr.io/wechatbot/wechatbot-operator "$(sed -n 's/^appVersion: "\?\([^"]*\)"\?/\1/p' charts/wechatbot-operator/Chart.yaml)"
  dify_image
  [[ -e $images/prometheus/prometheus ]] || prometheus_files "$images/prometheus"
  test_image prometheus test/e2e/Dockerfile.prometheus "$images/prometheus"
  export E2E_IMAGE=localhost/wechatbot-operator:e2e E2E_NEW_IMAGE=localhost/wechatbot-operator:e2e-new
  export E2E_DIFY_IMAGE=localhost/dify:e2e E2E_PROMETHEUS_IMAGE=localhost/prometheus:e2e E2E_REDIS_IMAGE=localhost/redis:local
  export E2E_CONNECT=$CONNECT E2E_ISSUER=acme E2E_CA_ISSUER=test-ca E2E_CA=$CA E2E_GATEWAY=traefik/traefik/https
  export E2E_DISPOSABLE=1
}

if [[ ${CLUSTER:-own} == own ]]; then
  own_cluster
fi
go test -tags e2e -count 1 -timeout 40m -v -run "TestEndToEnd/${RUN:-.}" ./test/e2e
