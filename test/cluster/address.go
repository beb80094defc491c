package cluster

// Where things are inside the cluster's own network. No address of it is ever on the machine's network, so that they
// can be the same for every cluster, and the manifests and configurations below files and addons state them.
const (
	nodeName     = "node1"
	nodeIP       = "192.168.77.1" // also where DNS answers
	ingressIP    = "203.0.113.7"  // of the node too; it looks like a public one, as an ingress controller's does
	apiEndpoint  = nodeIP + ":6443"
	serviceCIDR  = "10.96.0.0/16"
	apiServiceIP = "10.96.0.1"
	dnsAddress   = nodeIP + ":53"
)

// Ports of the machine's loopback address; if one is taken, any free one instead.
var machinePorts = []struct {
	name   string
	port   int
	target string // inside the cluster's network
}{
	{"API", 16443, apiEndpoint},
	{"HTTP", 18080, nodeIP + ":80"},
	{"HTTPS", 18443, nodeIP + ":443"},
	{"ACME", 16000, nodeIP + ":15000"},
}

// Where things are in the cluster's mount namespace.
const (
	stateDir  = "/run/cluster" // the cluster's folder on the machine
	keyDir    = stateDir + "/pki"
	fileDir   = stateDir + "/files"
	logDir    = stateDir + "/log"
	binDir    = "/run/bin"
	volumeDir = "/var/lib/volumes"
)
