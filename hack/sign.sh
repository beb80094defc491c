#!/usr/bin/env bash
# `make sign`: signs, with a key pair, the image and the charts that `make push FROM=dist` pushed to REGISTRY, and attests the image's
# bill of materials and provenance. All of it is stored in REGISTRY, beside what it is about. Nothing else is connected to: no
# transparency log, no time-stamping service, no identity provider. What is signed already is left as it is.
# From the environment:
#   REGISTRY IMAGE VERSION   what was pushed: IMAGE:VERSION, and charts to oci://REGISTRY/charts
#   FROM                     the release's folder; default: dist
#   COSIGN_KEY               the private key: a file, or whatever else `cosign sign --key` takes
#   COSIGN_PASSWORD          the file's password; asked for if it is not set
set -euo pipefail
cd "$(dirname "$0")/.."
registry=${REGISTRY:?} image=${IMAGE:?} version=${VERSION:?} key=${COSIGN_KEY:?} from=${FROM:-dist}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
shopt -s nullglob

fail() {
  echo "make sign: $*" >&2
  exit 1
}

# Whoever may push can push over a tag. So the registry's word is not enough: what is signed has the digests of what is in the folder.
check_folder() {
  [[ -f $from/SHA256SUMS ]] || fail "$from is not a release: make release VERSION=$version writes one"
  (cd "$from" && sha256sum --check --quiet SHA256SUMS) || fail "$from is not as make release wrote it"
}

find_images() { # writes the digests of IMAGE:VERSION and of each platform's image to images, the latter alone to platforms
  local digest archive
  for archive in "$from/${image##*/}-$version"-linux-*.oci.tar; do
    tar -xOf "$archive" index.json | jq -er '.manifests[].digest'
  done | sort >"$work/archived"
  digest=$(bin/crane digest "$image:$version") || fail "$image:$version is not there: make push FROM=$from pushes it"
  bin/crane manifest "$image@$digest" >"$work/manifest.json"
  jq -r --arg image "$digest" 'if has("manifests") then .manifests[].digest else $image end' "$work/manifest.json" | sort >"$work/platforms"
  cmp -s "$work/archived" "$work/platforms" || fail "$image:$version is not the image of $from; nothing is signed"
  sort -u "$work/platforms" - <<<"$digest" >"$work/images"
}

find_charts() { # writes the folder's charts that are in the registry to charts: NAME@DIGEST
  local file name tag digest
  for file in "$from"/*.tgz; do
    name=$(basename "$file" .tgz) # wechatbot-operator-0.1.0
    tag=${name#"${name%%-[0-9]*}"-}
    name=$registry/charts/${name%%-[0-9]*}
    if ! digest=$(bin/crane digest "$name:${tag//+/_}" 2>"$work/error"); then
      grep -Eq 'MANIFEST_UNKNOWN|NAME_UNKNOWN|404' "$work/error" || fail "$(<"$work/error")"
      echo "$name:$tag is not there, and not signed" >&2
      continue
    fi
    bin/crane manifest "$name@$digest" | jq -e --arg digest "sha256:$(sha256sum <"$file" | cut -d ' ' -f 1)" \
      'any(.layers[]; .digest == $digest)' >/dev/null || fail "$name:$tag is not the chart of $from; nothing is signed"
    echo "$name@$digest"
  done >"$work/charts"
}

# What is not known is left out: on which machine it was built, with which compiler, and from which base images.
write_provenance() { # from the labels that the build gave the images
  local digest
  while read -r digest; do
    bin/crane config "$image@$digest" | jq -e '.config.Labels | with_entries(.key |= ltrimstr("org.opencontainers.image."))
      | {source, version, revision}'
  done <"$work/platforms" | jq -es --arg version "$version" 'unique | if length == 1 then .[0] else error("different labels") end
    | if .version == $version and (.revision | test("^[0-9a-f]{40}$")) then . else error("labels: \(.)") end
    | "\(.source)/blob/\(.version)/docs/release.md" as $page | {
      buildDefinition: {
        buildType: $page,
        externalParameters: {command: "make release", VERSION: .version},
        resolvedDependencies: [{uri: "git+\(.source)", digest: {gitCommit: .revision}}]
      },
      runDetails: {builder: {id: "\($page)#signatures"}}
    }' >"$work/provenance.json" || fail "the labels of $image:$version do not say which commit of this version it is; nothing is signed"
}

prepare_cosign() {
  # Read once here: cosign would ask for each signature.
  if [[ -f $key && ! -v COSIGN_PASSWORD ]]; then
    IFS= read -rsp "Password of $key: " COSIGN_PASSWORD && echo >&2
  fi
  export COSIGN_PASSWORD
  bin/cosign public-key --key "$key" >"$work/cosign.pub" || fail "$key cannot be read with this password"
  # Without these two cosign would ask Sigstore which services to use.
  bin/cosign signing-config create --out "$work/services.json"
  bin/cosign trusted-root create --out "$work/trusted.json"
}

attested() { # attested TYPE REF: whether there is a statement of this type with this key's signature
  bin/cosign verify-attestation --key "$work/cosign.pub" --insecure-ignore-tlog --type "$1" "$2" >/dev/null 2>"$work/error"
}

ensure() { # ensure TYPE REF COMMAND...: has cosign's COMMAND make the statement unless it is there, and reads it back
  local type=$1 ref=$2
  shift 2
  ! attested "$type" "$ref" || return 0
  bin/cosign "$@" --yes --key "$key" --signing-config "$work/services.json" --trusted-root "$work/trusted.json" "$ref" </dev/null >"$work/log" 2>&1 ||
    fail "$(<"$work/log")"
  attested "$type" "$ref" || fail "$ref was signed, but that cannot be read back: $(<"$work/error")"
}

signature=https://sigstore.dev/cosign/sign/v1
check_folder
find_images
find_charts
write_provenance
prepare_cosign
while read -r digest; do
  ensure $signature "$image@$digest" sign
  ensure spdxjson "$image@$digest" attest --type spdxjson --predicate "$from/sbom.spdx.json"
  ensure slsaprovenance1 "$image@$digest" attest --type slsaprovenance1 --predicate "$work/provenance.json"
  echo "signed $image@$digest"
done <"$work/images"
while read -r chart; do
  ensure $signature "$chart" sign
  echo "signed $chart"
done <"$work/charts"
