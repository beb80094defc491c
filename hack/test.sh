#!/usr/bin/env bash
# `make test`: runs the tests with the race detector, says what it had to leave out, and holds ./server/... to its
# coverage. Parameters are the variables of the Makefile: PKG, RUN, MIN_COVERAGE, REQUIRE_ALL.
set -euo pipefail
cd "$(dirname "$0")/.."

read -ra packages <<<"${PKG:-./...}"
run=${RUN:-.}
minimum=${MIN_COVERAGE:-85}
profile=bin/coverage.out
tags=()
flags=()
left_out=()

have() { command -v "$1" >/dev/null 2>&1; }

report_left_out() {
  local part
  for part in "${left_out[@]}"; do
    echo "left out: $part"
  done
}

# Each part that needs something of the machine: use it if it is there, else say what is missing and how to get it.
if have chromium || have chromium-browser; then
  tags+=(chromium)
else
  left_out+=("browser tests (no chromium; apt-get install chromium)")
fi
if have redis-server; then
  tags+=(redis)
else
  left_out+=("tests of the Redis store (no redis-server; apt-get install redis-server)")
fi
if [[ $EUID == 0 && ( -w /sys/fs/cgroup/memory || -w /sys/fs/cgroup/cgroup.subtree_control ) ]]; then
  tags+=(cgroup)
else
  left_out+=("a server in the memory of a pod (no control groups; run as root)")
fi
if [[ $(go env CGO_ENABLED) == 1 ]] && have "$(go env CC)"; then
  flags+=(-race)
else
  left_out+=("race detector (no C compiler; apt-get install gcc libc6-dev)")
fi
if [[ ${REQUIRE_ALL:-} == 1 && ${#left_out[@]} -gt 0 ]]; then
  report_left_out >&2
  echo "REQUIRE_ALL=1: nothing may be left out" >&2
  exit 1
fi

flags+=(-timeout 20m -tags "$(IFS=,; echo "${tags[*]}")")
export SECOND_WRITER=${SECOND_WRITER:-30s} # how long another one writes to the operator's objects
export KUBEBUILDER_ASSETS="${KUBEBUILDER_ASSETS:-$PWD/bin/controlplane}"
mkdir -p bin

if [[ ${packages[*]} != ./... || $run != . ]]; then
  go test "${flags[@]}" -cover -run "$run" "${packages[@]}"
  report_left_out
  exit
fi

# A statement of ./server/... counts as covered by whichever test runs it, so the share that go test prints for each
# package means nothing here and is cut off.
go test "${flags[@]}" -covermode=atomic -coverpkg=./server/... -coverprofile="$profile" ./... |
  sed -E 's/[[:space:]]+coverage: .*$//'
coverage=$(go tool cover -func="$profile" | awk '$1 == "total:" { sub("%", "", $NF); print $NF }')
echo "coverage: ${coverage}% of the statements of ./server/... (at least ${minimum}%)"
report_left_out
if awk -v have="$coverage" -v want="$minimum" 'BEGIN { exit !(have + 0 < want + 0) }'; then
  echo "coverage of ./server/... is below ${minimum}%" >&2
  exit 1
fi
