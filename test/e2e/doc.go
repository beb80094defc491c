// Package e2e installs the operator as its users do and lets followers chat with its bots on a real cluster: helm,
// kubectl, an ingress controller, certificates. Nothing of Kubernetes is imitated; WeChat is test/wechatsim on this
// machine, which pushes through the ingress controller over TLS whose certificate is verified, and Dify is test/difysim in
// a pod. What the two have counted decides.
//
// It has tests only, behind the build tag e2e: `make e2e` brings up a cluster, builds the image and runs them;
// hack/e2e.sh says which environment they need to run on another cluster.
package e2e
