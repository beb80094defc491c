#!/usr/bin/env bash
# `make install`: this repository's operator in the cluster of `make cluster-up`, by its chart.
set -euo pipefail
cd "$(dirname "$0")/.."
. hack/cluster-env.sh
operator_image localhost/wechatbot-operator dev
helm upgrade --install wechatbot-operator ./charts/wechatbot-operator --namespace wechatbot-system --create-namespace \
  --set image.repository=localhost/wechatbot-operator --set-string image.tag=dev \
  --set defaultIssuer=ClusterIssuer/acme --set redisImage=localhost/redis:local --wait --timeout 2m
# The image may have changed under the same tag.
kubectl --namespace wechatbot-system rollout restart deployment/wechatbot-operator
kubectl --namespace wechatbot-system rollout status deployment/wechatbot-operator --timeout=2m
