#!/usr/bin/env bash
# `make charts-test`: lints the charts with each of their values in ci/, runs their helm-unittest suites in tests/, and
# has a real API server judge every rendering (test/charts).
set -euo pipefail
cd "$(dirname "$0")/.."

for values in charts/*/ci/*-values.yaml; do
  bin/helm lint --strict --quiet "${values%/ci/*}" --values "$values"
done
bin/helm-unittest --strict charts/*/
KUBEBUILDER_ASSETS="${KUBEBUILDER_ASSETS:-$PWD/bin/controlplane}" go test -tags charts -count 1 ./test/charts
