#!/usr/bin/env bash
# `make registry-test`: the README's way from a clone to an operator, with a registry of the reader's own. The registry is in the
# network of a cluster's node, which pulls from it: no archive is loaded. Needs Linux and root; ends the cluster.
set -euo pipefail
cd "$(dirname "$0")/.."
registry=127.0.0.1:5000/team version=v0.0.0-registry namespace=wechatbot-system
work=$(mktemp -d)
server=

cleanup() {
  [[ -z $server ]] || kill "$server" || true
  make --no-print-directory cluster-down
  rm -rf "$work"
}
trap cleanup EXIT

make --no-print-directory cluster-up bin/crane bin/helm bin/helm-docs
. hack/cluster-env.sh

beside=(nsenter --target "$(cat "$cluster_state/pid")" --net --) # in the node's network, and on this machine otherwise

mkfifo "$work/says"
"${beside[@]}" bin/crane registry serve --address "${registry%/*}" >/dev/null 2>"$work/says" &
server=$!
exec 3<"$work/says"
{ read -r line && [[ $line == *'serving on'* ]]; } <&3 || { echo "the registry says: $line" >&2; exit 1; }
cat <&3 >"$work/requests" & # a registry that nobody listens to any more would end

rm -rf dist/image dist/chart
"${beside[@]}" make --no-print-directory image push chart REGISTRY=$registry VERSION=$version BASES=local
digest=$("${beside[@]}" bin/crane digest $registry/wechatbot-operator:$version)
helm install wechatbot-operator dist/chart/wechatbot-operator-*.tgz --namespace $namespace --create-namespace --wait --timeout 3m
helm test wechatbot-operator --namespace $namespace --timeout 2m >/dev/null

runs=$(kubectl --namespace $namespace get pods --selector app.kubernetes.io/name=wechatbot-operator \
  --output 'jsonpath={.items[0].status.containerStatuses[0].imageID}')
[[ $runs == *"$digest" ]] || { echo "registry-test: the operator runs $runs, pushed was $digest" >&2; exit 1; }
echo "registry-test: the operator runs $registry/wechatbot-operator:$version, as it was pushed ($digest)"
