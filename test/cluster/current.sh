#!/usr/bin/env bash
# `make cluster-up CLUSTER=current`: says whether the cluster of the kubeconfig's context has what `make e2e` needs.
set -euo pipefail
cd "$(dirname "$0")/../.."
kubectl=bin/controlplane/kubectl

context=$("$kubectl" config current-context)
version=$("$kubectl" version --output json | sed -n '/serverVersion/,$ s/.*"gitVersion": "\(.*\)".*/\1/p')
echo "context $context: Kubernetes $version"

status=0
# check WHAT HOW-TO-GET-IT KIND JSONPATH: it is there if the path of any object is "true".
check() {
  if "$kubectl" get "$3" --all-namespaces --output "jsonpath={.items$4}" 2>/dev/null | grep -iqw true; then
    echo "  has      $1"
  else
    echo "  MISSING  $1: $2"
    status=1
  fi
}
condition() { echo ".status.conditions[?(@.type==\"$1\")].status"; }

check "a node that is ready" "look at kubectl get nodes" nodes "[*]$(condition Ready)"
check "a default IngressClass" "install an ingress controller, such as Traefik" \
  ingressclasses '[*].metadata.annotations.ingressclass\.kubernetes\.io/is-default-class'
check "a Gateway that is programmed" "install an implementation of Gateway API, and make a Gateway" \
  gateways "[*]$(condition Programmed)"
check "a ClusterIssuer that is ready" "install cert-manager, and make a ClusterIssuer" \
  clusterissuers "[*]$(condition Ready)"
check "a default StorageClass" "install a provisioner of volumes" \
  storageclasses '[*].metadata.annotations.storageclass\.kubernetes\.io/is-default-class'
check "metrics of pods" "install metrics-server" apiservices \
  '[?(@.metadata.name=="v1beta1.metrics.k8s.io")]'"$(condition Available)"
exit "$status"
