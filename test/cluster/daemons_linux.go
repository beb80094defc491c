package cluster

// daemon is a program that runs as long as the cluster does.
type daemon struct {
	name string
	args []string
	env  []string
	// after is what has to be there before it is started: paths of the API server, or containerd's socket.
	after []string
}

// What a daemon may wait for.
const (
	apiReady       = "/readyz" // of the API server: also says that the bootstrap roles are there
	gatewayAPI     = "/apis/gateway.networking.k8s.io/v1/httproutes"
	certManagerAPI = "/apis/cert-manager.io/v1/certificates"
	acmeAPI        = "/apis/acme.cert-manager.io/v1/challenges"
	containerd     = "/run/containerd/containerd.sock"
)

func kubeconfig(user string) string { return keyDir + "/" + user + ".kubeconfig" }

func daemons() []daemon {
	return append(controlPlane(), append(nodeDaemons(), addons()...)...)
}

func controlPlane() []daemon {
	return []daemon{
		{name: "etcd", args: []string{
			"--data-dir=" + stateDir + "/etcd", "--unsafe-no-fsync", "--log-level=warn",
			"--listen-client-urls=http://127.0.0.1:2379", "--advertise-client-urls=http://127.0.0.1:2379",
			"--listen-peer-urls=http://127.0.0.1:2380",
		}},
		{name: "kube-apiserver", args: []string{
			"--etcd-servers=http://127.0.0.1:2379", "--advertise-address=" + nodeIP, "--secure-port=6443",
			"--tls-cert-file=" + keyDir + "/apiserver.crt", "--tls-private-key-file=" + keyDir + "/apiserver.key",
			"--cert-dir=" + stateDir + "/apiserver", "--client-ca-file=" + keyDir + "/ca.crt",
			"--kubelet-client-certificate=" + keyDir + "/kubelet-client.crt", "--kubelet-client-key=" + keyDir + "/kubelet-client.key",
			"--kubelet-certificate-authority=" + keyDir + "/ca.crt", "--kubelet-preferred-address-types=InternalIP",
			"--service-account-issuer=https://kubernetes.default.svc", "--service-account-key-file=" + keyDir + "/sa.pub",
			"--service-account-signing-key-file=" + keyDir + "/sa.key", "--service-cluster-ip-range=" + serviceCIDR,
			"--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction", "--allow-privileged",
			// The aggregator, for metrics.
			"--requestheader-client-ca-file=" + keyDir + "/front-ca.crt", "--requestheader-allowed-names=front-proxy-client",
			"--requestheader-extra-headers-prefix=X-Remote-Extra-", "--requestheader-group-headers=X-Remote-Group",
			"--requestheader-username-headers=X-Remote-User", "--proxy-client-cert-file=" + keyDir + "/front-client.crt",
			"--proxy-client-key-file=" + keyDir + "/front-client.key",
		}},
		{name: "kube-controller-manager", after: []string{apiReady}, args: []string{
			"--kubeconfig=" + kubeconfig("controller-manager"), "--authentication-kubeconfig=" + kubeconfig("controller-manager"),
			"--authorization-kubeconfig=" + kubeconfig("controller-manager"), "--bind-address=127.0.0.1",
			"--cert-dir=" + stateDir + "/controller-manager", "--leader-elect=false", "--use-service-account-credentials",
			"--service-account-private-key-file=" + keyDir + "/sa.key", "--root-ca-file=" + keyDir + "/ca.crt",
			"--client-ca-file=" + keyDir + "/ca.crt", "--cluster-signing-cert-file=" + keyDir + "/ca.crt",
			"--cluster-signing-key-file=" + keyDir + "/ca.key",
			"--horizontal-pod-autoscaler-sync-period=5s", // 15 s is long for a test to wait
		}},
		{name: "kube-scheduler", after: []string{apiReady}, args: []string{
			"--kubeconfig=" + kubeconfig("scheduler"), "--authentication-kubeconfig=" + kubeconfig("scheduler"),
			"--authorization-kubeconfig=" + kubeconfig("scheduler"), "--bind-address=127.0.0.1",
			"--cert-dir=" + stateDir + "/scheduler", "--leader-elect=false",
		}},
	}
}

func nodeDaemons() []daemon {
	return []daemon{
		{name: "containerd", args: []string{"--config=" + fileDir + "/containerd.toml"}},
		{name: "kubelet", after: []string{containerd}, args: []string{
			"--config=" + fileDir + "/kubelet.yaml", "--kubeconfig=" + kubeconfig("node"),
			"--hostname-override=" + nodeName, "--node-ip=" + nodeIP,
		}},
		{name: "kube-proxy", after: []string{apiReady}, args: []string{
			"--config=" + fileDir + "/kube-proxy.yaml", "--hostname-override=" + nodeName,
		}},
		{name: "coredns", after: []string{apiReady}, args: []string{"-conf", fileDir + "/Corefile"}},
	}
}

// addons are what a platform team has in its cluster. They run beside it, not in it, so that they need no images.
func addons() []daemon {
	return []daemon{
		{name: "provisioner", after: []string{apiReady}, args: []string{"-kubeconfig=" + kubeconfig("admin"), "-root=" + volumeDir}},
		{name: "metrics-server", after: []string{apiReady}, args: []string{
			"--kubeconfig=" + kubeconfig("admin"), "--authentication-kubeconfig=" + kubeconfig("admin"),
			"--authorization-kubeconfig=" + kubeconfig("admin"), "--secure-port=4443", "--cert-dir=" + stateDir + "/metrics-server",
			"--kubelet-preferred-address-types=InternalIP", "--kubelet-certificate-authority=" + keyDir + "/ca.crt",
			"--metric-resolution=10s", "--kubelet-request-timeout=5s",
		}},
		{
			name: "traefik", after: []string{apiReady, gatewayAPI}, env: []string{"KUBECONFIG=" + kubeconfig("admin")}, args: []string{
				"--entrypoints.web.address=:80", "--entrypoints.websecure.address=:443", "--entrypoints.websecure.http.tls",
				"--entrypoints.traefik.address=127.0.0.1:8080", "--ping", "--log.level=INFO",
				"--providers.kubernetesingress", "--providers.kubernetesingress.ingressclass=traefik",
				"--providers.kubernetesingress.ingressendpoint.ip=" + ingressIP,
				"--providers.kubernetesgateway", "--providers.kubernetesgateway.statusaddress.ip=" + ingressIP,
				"--global.checknewversion=false", "--global.sendanonymoususage=false",
			},
		},
		{
			name: "pebble", args: []string{"-config", fileDir + "/pebble.json", "-dnsserver", dnsAddress},
			env: []string{"PEBBLE_VA_NOSLEEP=1", "PEBBLE_WFE_NONCEREJECT=0"},
		},
		{name: "certmanager", after: []string{apiReady, gatewayAPI, certManagerAPI, acmeAPI}, args: []string{
			"-kubeconfig=" + kubeconfig("admin"), "-http01-solver-image=" + acmesolverImage, "-http01-nameservers=" + dnsAddress,
		}},
	}
}
