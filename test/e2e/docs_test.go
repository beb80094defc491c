//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/wechatbot/wechatbot-operator/test/docs"
)

// The pages that begin and end the life of an installation; the others are between them, and look at the tutorial's bot.
var (
	firstPages = []string{"docs/install.md", "docs/tutorial.md"}
	lastPages  = []string{"docs/upgrade.md", "docs/uninstall.md"}
)

// pages: the commands of the documentation do what it says, page by page. The last of them delete all bots of the cluster.
func (c *cluster) pages(t *testing.T) string {
	all, err := docs.Pages(c.root)
	if err != nil {
		t.Fatal(err)
	}
	place := func(p docs.Page) int {
		if i := slices.Index(firstPages, p.Path); i >= 0 {
			return i - len(firstPages)
		}
		return slices.Index(lastPages, p.Path) + 1
	}
	slices.SortStableFunc(all, func(a, b docs.Page) int { return place(a) - place(b) })
	t.Cleanup(func() {
		if t.Failed() {
			return // somebody may want to look
		}
		if _, err := c.run(context.Background(), "", "kubectl", "delete", "namespace", "bots", "monitoring", "--ignore-not-found", "--wait=false"); err != nil {
			t.Error(err)
		}
	})
	run := docs.Run{Marks: []docs.Mark{docs.E2E}, Dir: c.root, Env: c.readersEnvironment(t)}
	ran, commands := 0, 0
	for _, p := range all {
		n := 0
		for _, b := range p.Blocks {
			if b.Run == docs.E2E {
				n += len(b.Commands())
			}
		}
		if n == 0 {
			continue
		}
		began := time.Now()
		if err := run.Page(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %d commands in %s", p.Path, n, seconds(time.Since(began)))
		ran++
		commands += n
	}
	if ran < len(firstPages)+len(lastPages) {
		t.Errorf("only %d pages were run", ran)
	}
	return fmt.Sprintf("%d commands of %d pages; the tutorial ends with a bot that answers cmd/chat", commands, ran)
}

// readersEnvironment is what somebody who types the pages' commands has set.
func (c *cluster) readersEnvironment(t *testing.T) []string {
	t.Helper()
	env := []string{
		"CHART=" + chart, "WECHAT_TOKEN=e2eReadersToken", "DIFY_KEY=app-e2eDifyKey", "VERSION=v0.0.0-e2e", "IMAGE=" + c.image.String(),
		"DIFY_URL=" + difyURL, "DOMAIN=docs.example.test", "ISSUER=" + c.issuer,
		// The domain has no DNS record, and its certificate's authority is not a public one.
		"WECHAT_CONNECT=" + c.connect, "SSL_CERT_FILE=" + os.Getenv("E2E_CA"),
	}
	for _, name := range []string{"HOME", "PATH", "PWD", "KUBECONFIG"} {
		env = append(env, name+"="+os.Getenv(name))
	}
	return env
}
