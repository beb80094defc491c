#!/usr/bin/env bash
# Writes everything that is made from code or from config/: from api/v1alpha1 the deepcopy functions, the
# CRD in config/crd/bases, and docs/api.md; from controllers/rbac.go the operator's rights in
# config/rbac/role.yaml; from those what the charts have of them, and the charts' README.md. The generators are pinned in
# hack/tools.
set -euo pipefail
cd "$(dirname "$0")/.."

build() { # build TOOL PACKAGE: a no-op of a second when the binary is up to date
  CGO_ENABLED=0 go build -C "hack/tools/$1" -trimpath -ldflags '-s -w' -o "$PWD/bin/$1" "$2"
}
build controller-gen sigs.k8s.io/controller-tools/cmd/controller-gen
build crd-ref-docs github.com/elastic/crd-ref-docs
build helm-docs github.com/norwoodj/helm-docs/cmd/helm-docs

api=./api/v1alpha1
bin/controller-gen object paths=$api
bin/controller-gen crd paths=$api output:crd:dir=config/crd/bases
bin/controller-gen rbac:roleName=manager,headerFile=hack/rbac.header.yaml paths=./controllers output:rbac:dir=config/rbac
{
  cat hack/rbac.header.yaml
  printf -- '---\napiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata:\n  name: wechatbot-installer\nrules:\n'
  awk 'FNR == 1 || /^---/ { rules = 0 } rules; /^rules:/ { rules = 1 }' config/rbac/role.yaml config/rbac/leader_election.yaml
} >config/installer/role.yaml
bin/crd-ref-docs --source-path=$api --config=hack/apidocs/config.yaml --templates-dir=hack/apidocs --renderer=markdown \
  --output-path=docs/api.md --log-level=ERROR

# The charts have copies of what config/ says, and the values of a bot are checked as its CRD says.
operator=charts/wechatbot-operator/files
mkdir -p $operator
cp config/crd/bases/wechatbot.dev_wechatbots.yaml $operator/crd.yaml
cp config/rbac/role.yaml config/rbac/leader_election.yaml config/rbac/metrics/metrics.yaml $operator
cp config/rbac/users/wechatbot.yaml $operator/users.yaml
cp config/grafana/wechatbots.json $operator/dashboard.json
sed -n '/^  groups:/,$ s/^  //p' config/prometheus/rules.yaml >$operator/rules.yaml
grep -v '^ *#' charts/wechatbot-operator/values.yaml >$operator/defaults.yaml
go run ./hack/chartschema config/crd/bases/wechatbot.dev_wechatbots.yaml >charts/wechatbot/values.schema.json
bin/helm-docs --chart-search-root=charts --log-level=warning
