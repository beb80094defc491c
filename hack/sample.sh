#!/usr/bin/env bash
# `make sample`: the minimal sample in the cluster of `make cluster-up`, with a stand-in for Dify in a pod, and how to chat
# with it.
set -euo pipefail
cd "$(dirname "$0")/.."
. hack/cluster-env.sh
namespace=sample domain=sample.example.test
dify_image
kubectl create namespace "$namespace" --dry-run=client -o yaml | kubectl apply -f -
kubectl --namespace "$namespace" apply -f test/e2e/dify.yaml
# The bot asks it as soon as it is made.
kubectl --namespace "$namespace" rollout status deployment/dify --timeout=2m
kubectl --namespace "$namespace" create secret generic winter --from-literal=token=sampleToken \
  --from-literal=dify-key=app-sample --dry-run=client -o yaml | kubectl apply -f -
sed "s|^  domain: .*|  domain: $domain|; s|^  dify:|&\n    baseURL: http://dify.$namespace.svc.cluster.local/v1|" config/samples/minimal.yaml |
  kubectl --namespace "$namespace" apply -f -
kubectl --namespace "$namespace" wait --for=condition=Ready wechatbot/winter --timeout=2m
kubectl --namespace "$namespace" get wechatbot winter
cat <<TEXT

Chat with it through the Ingress, over TLS whose certificate is verified:

  SSL_CERT_FILE=$CA go run ./cmd/chat --url https://$domain/wechat --connect $CONNECT --token sampleToken

and look at it: export KUBECONFIG=$KUBECONFIG
TEXT
