#!/usr/bin/env bash
# `make cluster-up CLUSTER=current`: says whether the cluster of the kubeconfig's context has what `make e2e` needs.
set -euo pipefail
cd "$(dirname "$0")/../.."
kubectl=$(command -v kubectl || echo bin/controlplane/kubectl)

context=$("$kubectl" config current-context)
echo "context $context: Kubernetes $("$kubectl" get --raw /version | sed -n 's/.*"gitVersion": "\(.*\)".*/\1/p')"

status=0
# check WHAT HOW-TO-GET-IT COMMAND...: there is something if the command prints anything.
check() {
  local what=$1 how=$2
  shift 2
  if [[ -n $("$@" 2>/dev/null) ]]; then
    echo "  has      $what"
  else
    echo "  MISSING  $what: $how"
    status=1
  fi
}
has_default() { # has_default KIND ANNOTATION
  "$kubectl" get "$1" -o jsonpath="{.items[?(@.metadata.annotations.${2//./\\.}==\"true\")].metadata.name}"
}
check "nodes that are ready" "look at kubectl get nodes" \
  "$kubectl" get nodes -o jsonpath='{.items[?(@.status.conditions[-1].status=="True")].metadata.name}'
check "a default IngressClass" "install an ingress controller, such as Traefik" \
  has_default ingressclasses ingressclass.kubernetes.io/is-default-class
check "a Gateway that is programmed" "install an implementation of Gateway API, and make a Gateway" \
  "$kubectl" get gateways --all-namespaces -o jsonpath='{.items[*].status.conditions[?(@.type=="Programmed")].status}'
check "a ClusterIssuer" "install cert-manager, and make a ClusterIssuer" \
  "$kubectl" get clusterissuers -o name
check "a default StorageClass" "install a provisioner of volumes" \
  has_default storageclasses storageclass.kubernetes.io/is-default-class
check "metrics of pods" "install metrics-server" \
  "$kubectl" get --raw /apis/metrics.k8s.io/v1beta1
exit "$status"
