# Sourced: how the cluster of `make cluster-up` is reached, and images for it.
#   KUBECONFIG   its administrator
#   CONNECT      host:port of its ingress controller's TLS
#   CA           a file with the certificates of its issuers' authorities
cluster_state=$PWD/bin/cluster/state
if [[ ! -e $cluster_state/addresses ]]; then
  echo "no cluster is up: run \`make cluster-up\`" >&2
  exit 1
fi
export PATH="$PWD/bin:$PWD/bin/controlplane:$PATH"
export KUBECONFIG=$cluster_state/pki/machine.kubeconfig
CONNECT=$(sed -n 's/^HTTPS=//p' "$cluster_state/addresses")

CA=$cluster_state/trust.crt
images=$PWD/bin/e2e
buildah_root=$(realpath -m "${BUILDAH_ROOT:-bin/buildah}")
mkdir -p "$images"

storage() {
  STORAGE_DRIVER=vfs BUILDAH_ISOLATION=chroot buildah --root "$buildah_root" --runroot "$buildah_root/run" "$@"
}

# operator_image NAME VERSION: the operator's image is built as NAME:VERSION, and loaded.
operator_image() {
  IMAGE=$1 VERSION=$2 BASES=local ARCHIVES=$images hack/image.sh
  bin/cluster/cluster load "$images/${1##*/}-$2-linux-$(go env GOARCH).oci.tar"
}

# test_image NAME DOCKERFILE CONTEXT: localhost/NAME:e2e is built on the local base image, and loaded.
test_image() {
  storage bud --pull-never --quiet --timestamp 0 --file "$2" --tag "localhost/$1:e2e" "$3" >/dev/null
  rm -f "$images/$1.oci.tar"
  storage push --quiet "localhost/$1:e2e" "oci-archive:$images/$1.oci.tar:localhost/$1:e2e"
  bin/cluster/cluster load "$images/$1.oci.tar"
}

# dify_image: test/e2e/cmd/dify as localhost/dify:e2e, with the plugin of kubectl for who looks at bots from a pod.
dify_image() {
  CGO_ENABLED=0 go build -trimpath -tags grpcnotrace -ldflags '-s -w' -o "$images/dify/" ./test/e2e/cmd/dify ./cmd/kubectl-wechatbot
  test_image dify test/e2e/cmd/dify/Dockerfile "$images/dify"
}
