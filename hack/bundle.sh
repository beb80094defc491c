#!/usr/bin/env bash
# `make bundle VERSION=v0.1.0`: writes the bundle for the Operator Lifecycle Manager to dist/bundle, made of
# config/default with the image IMAGE:VERSION (docs/release.md). From the environment: VERSION, IMAGE, and OUT, another folder.
set -euo pipefail
cd "$(dirname "$0")/.."

version=${VERSION:?} image=${IMAGE:?} out=${OUT:-dist/bundle}
created=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)} # the same commit gives the same files
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cp -R config "$work"
(cd "$work/config/default" && "$OLDPWD/bin/kustomize" edit set image "wechatbot-operator=$image:$version")
bin/kustomize build "$work/config/default" >"$work/default.yaml"
bin/bundle -manifests "$work/default.yaml" -version "$version" -created "$created" -o "$out"
