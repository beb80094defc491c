#!/usr/bin/env bash
# `make plugin`: kubectl wechatbot for every system, in dist/plugin, and what krew installs it by if it is known where the archives will
# be. The same commit gives the same files. From the environment: VERSION; URL, the folder that krew downloads them from, or
# nothing; PLATFORMS, some of them only, such as linux/amd64. Each system is built once, one package at a time, so that it takes one processor and the
# memory of one compiler, in 15 minutes at most: a first build compiles the standard library and client-go for each.
set -euo pipefail
cd "$(dirname "$0")/.."
version=${VERSION:?} url=${URL:-}
out=dist/plugin
rm -rf $out
mkdir -p $out
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
epoch=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}

cat >"$out/wechatbot.yaml" <<MANIFEST
# kubectl krew install --manifest=wechatbot.yaml
apiVersion: krew.googlecontainertools.github.com/v1alpha2
kind: Plugin
metadata: {name: wechatbot}
spec:
  version: $version
  homepage: https://github.com/wechatbot/wechatbot-operator
  shortDescription: Create, watch and examine WeChat bots
  description: |
    Makes bots of the WechatBot operator, shows on one screen how one is, finds out what is wrong with it and says what to
    do, and lets you be a follower of it. It works with your own rights in the cluster.
  platforms:
MANIFEST
# kubectl asks this one for completions of its plugin; it has to be on the PATH beside it.
cat >"$out/kubectl_complete-wechatbot" <<'COMPLETE'
#!/bin/sh
exec kubectl wechatbot __complete "$@"
COMPLETE
chmod +x "$out/kubectl_complete-wechatbot"

for platform in ${PLATFORMS:-linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64}; do
  os=${platform%/*} arch=${platform#*/} suffix=
  [[ $os == windows ]] && suffix=.exe
  name=kubectl-wechatbot-$os-$arch
  echo "plugin: $name"
  GOOS=$os GOARCH=$arch CGO_ENABLED=0 timeout 15m go build -p 1 -trimpath -tags grpcnotrace -ldflags "-s -w -buildid= -X main.version=$version" \
    -o "$out/$name$suffix" ./cmd/kubectl-wechatbot
  rm -rf "${work:?}"/*
  cp "$out/$name$suffix" "$work/kubectl-wechatbot$suffix"
  cp LICENSE "$out/kubectl_complete-wechatbot" "$work"
  tar --sort=name --mtime="@$epoch" --owner=0 --group=0 --numeric-owner -C "$work" -cf - "kubectl-wechatbot$suffix" kubectl_complete-wechatbot LICENSE |
    gzip -n >"$out/$name.tar.gz"
  cat >>"$out/wechatbot.yaml" <<MANIFEST
  - selector: {matchLabels: {os: $os, arch: $arch}}
    uri: $url/$name.tar.gz
    sha256: $(sha256sum "$out/$name.tar.gz" | cut -d ' ' -f 1)
    bin: kubectl-wechatbot$suffix
    files:
    - {from: kubectl-wechatbot$suffix, to: .}
    - {from: kubectl_complete-wechatbot, to: .}
    - {from: LICENSE, to: .}
MANIFEST
done
[[ -n $url ]] || rm "$out/wechatbot.yaml"
