#!/usr/bin/env bash
# `make lint`: everything about the code that can be told without running it.
set -euo pipefail
cd "$(dirname "$0")/.."
read -ra packages <<<"${PKG:-./...}"

echo "lint: format"
git ls-files -co --exclude-standard '*.go' | xargs -r bin/golangci-lint fmt --diff

echo "lint: go vet"
go vet -tags chromium,redis,chaos,cluster,charts,e2e "${packages[@]}"

echo "lint: golangci-lint"
bin/golangci-lint run "${packages[@]}"
if [[ -z ${PKG:-} ]]; then # modules of their own
  for module in tools/sbom tools/bundle dashboard; do
    (cd "hack/$module" && "$OLDPWD/bin/golangci-lint" run --config "$OLDPWD/.golangci.yml" ./...)
  done
fi

# On a fake clock time.Sleep is exact; on the real one it is a guess that fails on a busy machine.
echo "lint: no real sleeping in tests"
sleepers=$(git ls-files -co --exclude-standard '*_test.go' | xargs -r grep -l 'time\.Sleep(' | while read -r file; do
  grep -lq '"testing/synctest"' "$(dirname "$file")"/*_test.go || echo "$file"
done)
if [[ -n $sleepers ]]; then
  printf 'time.Sleep outside testing/synctest: wait for a condition instead\n%s\n' "$sleepers" >&2
  exit 1
fi

echo "lint: go.mod is tidy and the modules are what go.sum says"
go mod tidy -diff
go mod verify
