//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/wechatbot/wechatbot-operator/test/wechatsim"
)

var (
	printedURL   = regexp.MustCompile(`服务器地址 \(URL\) +(\S+)`)
	printedToken = regexp.MustCompile(`令牌 \(Token\) +(\S+)`)
)

const (
	screen         = 24 // lines
	answeredWithin = 2 * time.Minute
)

// created: in an empty namespace somebody who administers it has a bot that answers, with `kubectl wechatbot create` alone. What it
// prints is typed into WeChat's console.
func (c *cluster) created(t *testing.T) string {
	namespace := c.namespace(t, "e2e-create")
	u := c.user(t, namespace, "team", "admin")
	began := time.Now()
	create := u.plugin(t, "create", "winter", "--domain", "e2e-create.example.test", "--dify-url", difyURL)
	create.says(t, 0, "made Secret winter and WechatBot winter", "Serving: 1/1 replicas serve")
	if lines := strings.Count(create.out, "\n"); lines > screen {
		t.Errorf("it prints %d lines", lines)
	}
	url, token := printedURL.FindStringSubmatch(create.out), printedToken.FindStringSubmatch(create.out)
	if url == nil || token == nil {
		t.Fatalf("it does not say what to type into the console:\n%s", create.out)
	}
	p, err := wechatsim.New(wechatsim.Account{URL: url[1], Token: token[1], AppID: appID}, wechatsim.Options{Connect: c.connect, RootCAs: c.authority})
	if err != nil {
		t.Fatal(err)
	}
	await(t, readyWithin, "the console takes the URL and the Token", func() (bool, string, error) {
		err := p.VerifyURL(t.Context())
		if v, is := wechatsim.AsVerifyError(err); is && v.Status == http.StatusForbidden {
			t.Fatal("the bot has another Token than was printed")
		}
		return err == nil, "", err
	})
	x, err := p.Follower("").Send(t.Context(), "你好")
	if err != nil || !strings.Contains(x.Text, "您问的是：你好") {
		t.Fatalf("the question is answered with %+v, %v", x, err)
	}
	took := time.Since(began)
	if took > answeredWithin {
		t.Errorf("it took %s from the command to the answer", seconds(took))
	}
	return fmt.Sprintf("an answer %s after kubectl wechatbot create was begun; the command took %s, certificate included", seconds(took), seconds(create.took))
}
