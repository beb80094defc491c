#!/usr/bin/env bash
# `make alerts-test`: checks the alerts, has promtool run their unit tests, and holds the dashboard to Grafana's schema. promtool is that of the PATH, or of Debian's package
# prometheus, which is unpacked and not installed. From the environment: PROMTOOL, another one.
set -euo pipefail
cd "$(dirname "$0")/.."

promtool=${PROMTOOL:-$(command -v promtool || true)}
if [[ -z $promtool ]]; then
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  chmod 755 "$work" # for apt's own user
  (cd "$work" && { apt-get download -qq prometheus 2>/dev/null || { apt-get update -qq && apt-get download -qq prometheus; }; } && dpkg-deb -x prometheus_*.deb .)
  promtool=$work/usr/bin/promtool
fi
"$promtool" check rules --lint=all --lint-fatal charts/wechatbot-operator/files/rules.yaml
"$promtool" test rules config/prometheus/tests.yaml
(cd hack/dashboard && go test -count 1 .)
