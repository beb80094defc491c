#!/usr/bin/env bash
# Makes local stand-ins for the base images of the Dockerfile, so that an image can be built where no registry is:
#   localhost/golang:local   a shell, this machine's Go toolchain and its CA certificates
#   localhost/static:local   what distroless/static:nonroot has: CA certificates, users, /tmp
# They land in buildah's storage below BUILDAH_ROOT. An image that is there already and up to date is left alone.
# Needs root and the packages that `hack/packages.sh image` names.
set -euo pipefail
cd "$(dirname "$0")/.."
hack/packages.sh image

root=$(realpath -m "${BUILDAH_ROOT:-bin/buildah}")
export STORAGE_DRIVER=vfs BUILDAH_ISOLATION=chroot
mkdir -p "$root"
# A folder of its own below the root, because two storages must not share what is kept for running containers.
buildah() { command buildah --root "$root" --runroot "$root/run" "$@"; }

# current IMAGE VERSION: the image is there, and was made of this version.
current() {
  local label='{{index .OCIv1.Config.Labels "wechatbot.made-of"}}'
  [[ $(buildah inspect --type image --format "$label" "$1" 2>/dev/null) == "$2" ]]
}

# commit CONTAINER IMAGE VERSION: the time stamp is fixed, so that the same contents give the same image.
commit() {
  buildah umount "$1" >/dev/null
  buildah config --label "wechatbot.made-of=$3" "$1"
  buildah commit --rm --quiet --timestamp 0 "$1" "$2" >/dev/null
  echo "made $2"
}

certificates=/etc/ssl/certs/ca-certificates.crt
sum=$(sha256sum "$0" "$certificates" | sha256sum | cut -c 1-12)
go=$(go env GOVERSION)

if ! current localhost/golang:local "$go-$sum"; then
  container=$(buildah from scratch)
  fs=$(buildah mount "$container")
  mkdir -p "$fs"/{bin,etc/ssl/certs,go,root,tmp,usr/bin,usr/local}
  chmod 1777 "$fs/tmp"
  cp /bin/busybox "$fs/bin/busybox"
  chroot "$fs" /bin/busybox --install -s /bin
  cp -a "$(go env GOROOT)" "$fs/usr/local/go"
  cp -L "$certificates" "$fs/etc/ssl/certs/"
  echo 'root:x:0:0:root:/root:/bin/sh' >"$fs/etc/passwd"
  buildah config --env PATH=/usr/local/go/bin:/go/bin:/usr/bin:/bin --env GOPATH=/go --env GOTOOLCHAIN=local \
    --workingdir /go "$container"
  commit "$container" localhost/golang:local "$go-$sum"
fi

if ! current localhost/static:local "$sum"; then
  container=$(buildah from scratch)
  fs=$(buildah mount "$container")
  mkdir -p "$fs"/{etc/ssl/certs,home/nonroot,tmp}
  chmod 1777 "$fs/tmp"
  chown 65532:65532 "$fs/home/nonroot"
  cp -L "$certificates" "$fs/etc/ssl/certs/"
  cat >"$fs/etc/passwd" <<'EOF'
root:x:0:0:root:/root:/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin
nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin
EOF
  printf 'root:x:0:\nnobody:x:65534:\nnonroot:x:65532:\n' >"$fs/etc/group"
  buildah config --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    --env SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt --user 65532:65532 --workingdir /home/nonroot "$container"
  commit "$container" localhost/static:local "$sum"
fi
