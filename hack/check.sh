#!/usr/bin/env bash
# `make check`: what a person runs before each commit. Lint, the tests that need no control plane, without the race detector, and
# what the charts and kustomizations make. Every part is run; failures are summed up at the end. `.ci/run` runs all there is.
set -uo pipefail
cd "$(dirname "$0")/.."
failed=()

part() { # part NAME COMMAND...
  local name=$1 start=$SECONDS status=0
  shift
  echo "=== $name"
  "$@" || status=$?
  echo "=== $name: $((SECONDS - start)) s$([[ $status -eq 0 ]] || echo ", FAILED ($status)")"
  [[ $status -eq 0 ]] || failed+=("$name")
}

# without_control_plane: the packages whose tests start none, and take no longer than a person waits.
without_control_plane() {
  go list -test -f '{{if .ForTest}}{{.ForTest}} {{join .Deps " "}}{{end}}' ./... |
    awk '{ needs = 0; for (i = 2; i <= NF; i++) if ($i == "github.com/wechatbot/wechatbot-operator/test/envtest") needs = 1
           if (needs) skip[$1]; else seen[$1] }
         END { for (p in seen) if (!(p in skip) && p !~ /test\/(bench|scale|scenario|previous|demo|envtest)$/) print p }' | sort
}

unit() {
  local packages
  packages=$(without_control_plane) || return
  [[ -n $packages ]] || { echo "no packages found" >&2; return 1; }
  # shellcheck disable=SC2086 # a word each
  go test $packages
}

charts() {
  local values
  for values in charts/*/ci/*-values.yaml; do
    bin/helm lint --strict --quiet "${values%/ci/*}" --values "$values" || return
  done
  bin/helm-unittest --strict charts/*/
}

kustomizations() {
  local file
  while read -r file; do
    bin/kustomize build --load-restrictor LoadRestrictionsNone "$(dirname "$file")" >/dev/null || { echo "$file" >&2; return 1; }
  done < <(git ls-files 'config/*kustomization.yaml' | xargs grep -L '^kind: Component')
}

part "lint" hack/lint.sh
part "tests" unit
part "charts" charts
part "kustomize" kustomizations

if [[ ${#failed[@]} -gt 0 ]]; then
  printf '=== failed: %s\n' "${failed[@]}" >&2
  exit 1
fi
echo "=== all passed in $SECONDS s"
