//go:build e2e

package e2e

import (
	"testing"
)

const (
	release = "wechatbot-operator"
	system  = "wechatbot-system"
)

// install installs the operator's chart, or upgrades it, and waits until it is ready.
func (c *cluster) install(t *testing.T, chart string, img image, values ...string) {
	t.Helper()
	args := []string{
		"upgrade", "--install", release, chart, "--namespace", system, "--create-namespace", "--wait", "--timeout", "2m",
		"--set", "image.repository=" + img.repository, "--set-string", "image.tag=" + img.tag,
		"--set", "defaultIssuer=ClusterIssuer/" + c.issuer, "--set", "redisImage=" + c.redisImage,
	}
	for _, value := range values {
		args = append(args, "--set", value)
	}
	c.helm(t, args...)
}

// chart is the chart of this repository.
const chart = "./charts/wechatbot-operator"

// uninstall removes the release, as `helm uninstall` does.
func (c *cluster) uninstall(t *testing.T) {
	t.Helper()
	c.helm(t, "uninstall", release, "--namespace", system, "--wait", "--timeout", "2m")
}
