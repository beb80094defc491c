// Package cluster runs a real Kubernetes cluster of one node on this machine, from binaries that hack/cluster pins and
// builds: etcd, the API server, controller manager, scheduler, kubelet, containerd and kube-proxy, and what a platform
// has beside them: DNS, an ingress controller that speaks Ingress and Gateway API, cert-manager with a CA and an ACME
// server, volumes and metrics.
//
// All of it lives in network, mount and PID namespaces of its own, below one process. When that process ends, the
// kernel ends the rest, containers too; what is left then is one folder and one control group, which [Machine.Down]
// removes. Nothing of the cluster listens on the machine but four ports of the loopback address.
//
// It knows nothing of this project's operator.
package cluster
