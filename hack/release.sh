#!/usr/bin/env bash
# `make release VERSION=v0.1.0`: writes everything of a release to dist. It publishes nothing: `make push FROM=dist` does.
# The same commit gives the same files. From the environment: VERSION, IMAGE, PLUGIN_URL, and what hack/image.sh takes.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() {
  echo "make release: $*" >&2
  exit 1
}

version=${VERSION:?} image=${IMAGE:?}
[[ $version =~ ^v[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?$ ]] || fail "VERSION=$version is not one like v0.1.0"
[[ -z $(git status --porcelain) ]] || fail "the working tree has changes that are not committed"
# What is new in a pre-release is in the section [Unreleased].
[[ $version == *-* ]] || grep -q "^## \[${version#v}\]" CHANGELOG.md || fail "CHANGELOG.md has no section [${version#v}]"
# A release happened when its commit was made, however late its files are.
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH

rm -rf dist
mkdir -p dist
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

echo "release: charts"
IMAGE=$image VERSION=$version PLATFORMS=${PLATFORMS:-linux/amd64 linux/arm64} OUT=dist hack/chart.sh >/dev/null

echo "release: install.yaml and crds.yaml"
cp -R config "$work"
(cd "$work/config/default" && "$OLDPWD/bin/kustomize" edit set image "wechatbot-operator=$image:$version")
bin/kustomize build "$work/config/default" >dist/install.yaml
bin/kustomize build "$work/config/crd" >dist/crds.yaml

echo "release: images"
PLATFORMS=${PLATFORMS:-linux/amd64 linux/arm64} ARCHIVES=dist hack/image.sh

echo "release: the plugin of kubectl"
URL=${PLUGIN_URL:-} hack/plugin.sh
mv dist/plugin/*.tar.gz dist
[[ -z ${PLUGIN_URL:-} ]] || mv dist/plugin/wechatbot.yaml dist
rm -rf dist/plugin

echo "release: bill of materials"
bin/sbom -o dist/sbom.spdx.json -version "$version" -created "$SOURCE_DATE_EPOCH" dist/*.oci.tar

(cd dist && sha256sum -- * >"$work/SHA256SUMS" && mv "$work/SHA256SUMS" . && sha256sum --check --quiet SHA256SUMS)
cat dist/SHA256SUMS
echo "release: $version took $SECONDS s"
