#!/usr/bin/env bash
# What the project's tests use of a Debian machine, beside Go, git, make and a C compiler: the one list of it.
#   hack/packages.sh GROUP...            says what is missing for these groups, and how to install it; fails if anything is
#   hack/packages.sh --install GROUP...  installs what is missing (root)
# Groups: browser (pages in a browser), redis (the Redis store), image (make image), cluster (make cluster-up), sign (make sign).
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin

if [[ $(uname -s) != Linux ]]; then
  echo "$*: needs Linux" >&2
  exit 1
fi

install=
if [[ ${1:-} == --install ]]; then
  install=1
  shift
fi

missing=()
# need PACKAGE FILE...: PACKAGE is there if one of the files or commands is.
need() {
  local package=$1 file
  shift
  for file in "$@"; do
    if command -v "$file" >/dev/null || [[ -e $file ]]; then
      return
    fi
  done
  missing+=("$package")
}

for group in "$@"; do
  case $group in
  browser)
    need chromium chromium chromium-browser
    need fonts-noto-cjk /usr/share/fonts/opentype/noto
    ;;
  redis)
    need redis-server redis-server
    ;;
  image)
    need buildah buildah
    need busybox-static /bin/busybox
    need ca-certificates /etc/ssl/certs/ca-certificates.crt
    ;;
  cluster)
    need busybox-static /bin/busybox
    need conntrack conntrack
    need containernetworking-plugins /usr/lib/cni/bridge
    need gcc gcc
    need iproute2 ip
    need libc6-dev /usr/lib/*/libc.a # static, for the pause image
    need nftables nft
    need redis-server redis-server
    need runc runc
    ;;
  sign)
    need jq jq
    ;;
  *)
    echo "hack/packages.sh: no group $group" >&2
    exit 2
    ;;
  esac
done

if [[ ${#missing[@]} -eq 0 ]]; then
  exit
fi
readarray -t missing < <(printf '%s\n' "${missing[@]}" | sort -u)
if [[ -z $install ]]; then
  echo "missing for $*: install with: apt-get install -y --no-install-recommends ${missing[*]}" >&2
  exit 1
fi
# Debian starts the servers that it installs unless the machine seems to be in another run level.
export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
