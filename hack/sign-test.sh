#!/usr/bin/env bash
# Tests hack/sign.sh, and what docs/release.md tells users to verify, with a key pair made for it, a small image of two platforms, the
# charts, and a registry on loopback. Whatever else is connected to fails.
# From the environment: REGISTRY, another registry to use, such as 127.0.0.1:5000; what is pushed there stays there.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
version=v0.0.0-test
dist=$work/dist
export COSIGN_PASSWORD=$RANDOM-$RANDOM
export HTTPS_PROXY=http://127.0.0.1:1 HTTP_PROXY=http://127.0.0.1:1 # nobody is there, and loopback needs none
export HOME=$work/home                                              # no credentials, no caches
mkdir -p "$HOME"

served=
finish() {
  [[ ! -e $work/preparing ]] || tail -n 5 "$work/preparing" >&2 # that failed
  [[ -z $served ]] || kill "$served" 2>/dev/null || true
  rm -rf "$work"
}
trap finish EXIT

fail() {
  echo "sign-test: $*" >&2
  exit 1
}

passes() { # passes WHAT COMMAND...
  local what=$1
  shift
  "$@" >"$work/out" 2>"$work/err" || fail "$what fails: $(tail -n 5 "$work/err")"
}

refused() { # refused WHY WHAT COMMAND...: it fails, and says WHY (a regular expression)
  local why=$1 what=$2
  shift 2
  ! "$@" >"$work/out" 2>"$work/err" || fail "$what passes"
  grep -Eq "$why" "$work/err" || fail "$what fails for another reason than $why: $(tail -n 5 "$work/err")"
}

serve() { # starts a registry, and sets REGISTRY
  : >"$work/registry.log" # there before tail looks for it
  bin/crane registry serve --address 127.0.0.1:0 >>"$work/registry.log" 2>&1 &
  served=$!
  REGISTRY=127.0.0.1:$(grep -m 1 -oP 'serving on port \K[0-9]+' < <(timeout 30 tail -n +1 -f --pid="$served" "$work/registry.log")) ||
    fail "no registry: $(<"$work/registry.log")"
}

part() { # part FOLDER ARCH CONTENT: writes the archive of an image with one file, labelled as the Dockerfile does
  local ref=$REGISTRY/parts:$2
  echo "$3" >"$work/content"
  tar -cf "$work/layer.tar" -C "$work" content
  bin/crane append --oci-empty-base --new_layer "$work/layer.tar" --new_tag "$ref"
  bin/crane mutate "$ref" --tag "$ref" --set-platform "linux/$2" --label org.opencontainers.image.version=$version \
    --label "org.opencontainers.image.revision=$(git rev-parse HEAD)" --label org.opencontainers.image.source=https://example.com/wechatbot
  rm -rf "$work/layout"
  bin/crane pull --format=oci "$ref" "$work/layout"
  (cd "$work/layout" && tar -cf "$1/wechatbot-operator-$version-linux-$2.oci.tar" -- *) # as hack/image.sh does
}

sums() { # sums FOLDER
  (cd "$1" && rm -f SHA256SUMS && sha256sum -- * >"$work/sums" && mv "$work/sums" SHA256SUMS)
}

release() { # release FOLDER CONTENT: what `make release` writes
  local arch chart
  mkdir -p "$1"
  for arch in amd64 arm64; do
    part "$1" "$arch" "$2 $arch"
  done
  : >"$1/wechatbot-operator-$version-rc.1-linux-amd64.oci.tar" # another version's, whose name begins as this one's
  for chart in charts/*/; do
    bin/helm package "$chart" --version "${version#v}" --app-version "$2" --destination "$1"
  done
  # With what encoders of JSON write in more than one way.
  echo '{"spdxVersion": "SPDX-2.3", "name": "微信 <a&b> \u0022\/", "packages": [{"size": 12345678901234}, {}], "z": null}' >"$1/sbom.spdx.json"
  sums "$1"
}

push() { # push FOLDER
  REGISTRY=$REGISTRY IMAGE=$image VERSION=$version FROM=$1 hack/push.sh
}

sign() {
  REGISTRY=$REGISTRY IMAGE=$image VERSION=$version FROM=$dist COSIGN_KEY=$work/own.key hack/sign.sh
}
sign_typing() { # sign_typing PASSWORD
  (unset COSIGN_PASSWORD && sign <<<"$1")
}
verify() { # verify KEY REF
  bin/cosign verify --key "$work/$1.pub" --insecure-ignore-tlog "$2"
}
verify_attestation() { # verify_attestation KEY TYPE REF
  bin/cosign verify-attestation --key "$work/$1.pub" --insecure-ignore-tlog --type "$2" "$3"
}
predicate() { # of what verify_attestation printed
  jq -r .payload | base64 -d | jq -S .predicate
}
statements() { # statements REF: how many hang at it
  bin/cosign download attestation "$1" | wc -l
}

[[ -n ${REGISTRY:-} ]] || serve
image=$REGISTRY/wechatbot-operator
for key in own other; do
  (cd "$work" && "$OLDPWD/bin/cosign" generate-key-pair --output-key-prefix $key) 2>/dev/null
done
for content in first second; do
  release "$work/$content" $content >"$work/preparing" 2>&1
done
rm "$work/preparing"
mv "$work/first" "$dist"
passes "pushing" push "$dist"
cp "$dist/wechatbot-${version#v}.tgz" "$dist/unpushed-1.0.0.tgz"
sums "$dist"
signed=("$image:$version" "$image@$(bin/crane digest "$image:$version-amd64")" "$image@$(bin/crane digest "$image:$version-arm64")")
charts=("$REGISTRY/charts/wechatbot-operator:${version#v}" "$REGISTRY/charts/wechatbot:${version#v}")

for ref in "${signed[@]}" "${charts[@]}"; do
  refused 'no (matching )?signatures' "verifying $ref, which is not signed," verify own "$ref"
done
start=$EPOCHREALTIME
passes "signing" sign
[[ ! -e $HOME/.sigstore ]] || fail "signing asks Sigstore" # what it would have got from there is kept here
took=$(awk "BEGIN { printf \"%.1f\", $EPOCHREALTIME - $start }")
grep -qF "$REGISTRY/charts/unpushed:1.0.0 is not there, and not signed" "$work/err" || fail "a chart that was not pushed is passed over in silence"
! grep -qF -e "$COSIGN_PASSWORD" -e "PRIVATE KEY" "$work/out" "$work/err" || fail "signing prints secrets"

for ref in "${signed[@]}" "${charts[@]}"; do
  passes "verifying $ref" verify own "$ref"
  refused 'signature' "verifying $ref with another key" verify other "$ref"
done
for ref in "${signed[@]}"; do
  passes "verifying the bill of materials of $ref" verify_attestation own spdxjson "$ref"
  [[ $(predicate <"$work/out") == "$(jq -S . "$dist/sbom.spdx.json")" ]] || fail "the bill of materials of $ref is not the one signed"
  passes "verifying the provenance of $ref" verify_attestation own slsaprovenance1 "$ref"
  [[ $(predicate <"$work/out" | jq -r '.buildDefinition.resolvedDependencies[].digest.gitCommit') == "$(git rev-parse HEAD)" ]] ||
    fail "the provenance of $ref does not say the commit"
  refused 'signature' "verifying the bill of materials of $ref with another key" verify_attestation other spdxjson "$ref"
  [[ -z $(bin/cosign download attestation "$ref" | jq -r '.verificationMaterial.tlogEntries[]?') ]] || fail "$ref is in a transparency log"
done

count=$(statements "$image:$version")
passes "signing again" sign_typing "$COSIGN_PASSWORD"
[[ $(statements "$image:$version") == "$count" ]] || fail "signing again adds to what is signed"

refused 'cannot be read with this password' "signing with a wrong password" sign_typing wrong

first=$image@$(bin/crane digest "$image:$version")
passes "pushing over it" push "$work/second"
refused 'no (matching )?signatures' "verifying an image that was pushed over" verify own "$image:$version"
refused 'is not the image of' "signing an image that was pushed over" sign
[[ $(statements "$image:$version") == 0 ]] || fail "an image that was pushed over was signed"
passes "verifying the first image by its digest" verify own "$first"
bin/crane tag "$first" $version 2>/dev/null
for ref in "${charts[@]}"; do
  refused 'no (matching )?signatures' "verifying a chart that was pushed over" verify own "$ref"
done
refused 'is not the chart of' "signing a chart that was pushed over" sign
echo >>"$dist/sbom.spdx.json"
refused 'is not as make release wrote it' "signing with a bill of materials that was changed" sign
echo "sign-test: passed; signing took $took s"
