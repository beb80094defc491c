//go:build e2e

package e2e

import (
	"os"
	"strings"
	"testing"

	"github.com/wechatbot/wechatbot-operator/test/difysim"
)

const (
	difyNamespace = "e2e-dify"
	difyURL       = "http://dify." + difyNamespace + ".svc.cluster.local/v1"
)

// startDify runs test/e2e/cmd/dify in a pod, for all bots of the tests.
func (c *cluster) startDify(t *testing.T) {
	t.Helper()
	c.namespace(t, difyNamespace)
	manifests, err := os.ReadFile("dify.yaml")
	if err != nil {
		t.Fatal(err)
	}
	c.apply(t, difyNamespace, strings.ReplaceAll(string(manifests), "localhost/dify:e2e", c.difyImage))
	c.kubectl(t, "--namespace", difyNamespace, "rollout", "status", "deployment/dify", "--timeout=60s")
}

// calls are all that Dify was asked.
func (c *cluster) calls(t *testing.T) []difysim.Call {
	t.Helper()
	calls, err := difysim.ReadCalls([]byte(c.kubectl(t, "--namespace", difyNamespace, "exec", "deployment/dify", "--", "/dify", "calls")))
	if err != nil {
		t.Fatal(err)
	}
	return calls
}
