#!/usr/bin/env bash
# Writes everything that is made from api/v1alpha1: the deepcopy functions and apply configurations, the CRD in
# config/crd/bases, docs/api.md, and the operator's rights in config/rbac/role.yaml (from controllers/rbac.go). The generators are pinned in hack/tools.
set -euo pipefail
cd "$(dirname "$0")/.."

build() { # build TOOL PACKAGE: a no-op of a second when the binary is up to date
  CGO_ENABLED=0 go build -C "hack/tools/$1" -trimpath -ldflags '-s -w' -o "$PWD/bin/$1" "$2"
}
build controller-gen sigs.k8s.io/controller-tools/cmd/controller-gen
build crd-ref-docs github.com/elastic/crd-ref-docs

api=./api/v1alpha1
bin/controller-gen object paths=$api
bin/controller-gen applyconfiguration paths=$api
bin/controller-gen crd paths=$api output:crd:dir=config/crd/bases
bin/controller-gen rbac:roleName=manager,headerFile=hack/rbac.header.yaml paths=./controllers output:rbac:dir=config/rbac
bin/crd-ref-docs --source-path=$api --config=hack/apidocs/config.yaml --templates-dir=hack/apidocs --renderer=markdown \
  --output-path=docs/api.md --log-level=ERROR
