#!/usr/bin/env bash
# `make chart`: the two charts as packages, whose operator runs IMAGE:VERSION. From the environment: IMAGE, VERSION, PLATFORMS (of
# the image; default: this machine's), and OUT, the folder they are written to. A VERSION such as v0.1.0 is the charts' too; with
# any other they keep that of the tree.
set -euo pipefail
cd "$(dirname "$0")/.."
image=${IMAGE:?} version=${VERSION:?} out=${OUT:?}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

mkdir -p "$out"
cp -R charts "$work"
sed -i "s#^  repository: .*#  repository: $image#" "$work/charts/wechatbot-operator/values.yaml"
sed -i "s/^appVersion: .*/appVersion: \"$version\"/" "$work"/charts/*/Chart.yaml
if [[ $version =~ ^v[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?$ ]]; then
  sed -i "s/^version: .*/version: ${version#v}/" "$work"/charts/*/Chart.yaml
fi
go run ./hack/chartannotations -platforms "${PLATFORMS:-linux/$(go env GOHOSTARCH)}" "$work"/charts/*/ # for Artifact Hub
bin/helm-docs --chart-search-root="$work/charts" --log-level=warning # their README.md say the version
rm -f "$out"/wechatbot-operator-*.tgz "$out"/wechatbot-[0-9]*.tgz
for chart in "$work"/charts/*/; do
  bin/helm package "$chart" --destination "$out"
done
