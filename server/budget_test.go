package server

import (
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wechatbot/wechatbot-operator/api/serverstatus"
)

// From the file to what followers, Prometheus and the operator see: a bubble's clock begins at midnight in UTC.
func TestBudget(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const zone = "reply: {timeZone: Etc/GMT+1}\n" // where it is 23:00
		const may = zone + "limits: {tokens: {bot: 200, follower: 5000}}\n"
		p := newPlace(t, minimal+may)
		r := p.run(t)
		wechat := r.platform(t)
		status := func() (s serverstatus.Status) {
			t.Helper()
			_, body := r.get(t, "/status")
			if err := json.Unmarshal([]byte(body), &s); err != nil || s.Budget == nil {
				t.Fatalf("/status: %v %s", err, body)
			}
			return s
		}
		wantMetrics := func(lines ...string) {
			t.Helper()
			_, metrics := r.get(t, "/metrics")
			for _, line := range lines {
				if !strings.Contains(metrics, line+"\n") {
					t.Errorf("there is no line %q", line)
				}
			}
		}
		if b := status().Budget; b.Used == nil || *b.Used != 0 || b.Bot != 200 || b.Follower != 5000 || b.Until != "" {
			t.Errorf("before anything is used: %+v", b)
		}
		f := wechat.Follower("oFollower")
		asked, refused := 0, ""
		for ; asked < 20 && refused == ""; asked++ {
			x, err := f.Send(t.Context(), "你好")
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(x.Text, "额度") {
				refused = x.Text
			}
		}
		if want := "抱歉，今天的使用额度已经用完，这个问题没有收下，1月1日 00:00 以后可以继续提问。"; refused != want {
			t.Fatalf("after %d questions: %q, want %q", asked, refused, want)
		}
		if calls := p.dify.CallCount(); calls != asked-1 {
			t.Errorf("Dify was called %d times for %d questions, of which one was refused", calls, asked)
		}
		time.Sleep(storeEvery + time.Second)
		synctest.Wait()
		b := status().Budget
		if b.Used == nil || *b.Used < 200 || b.Until != "2000-01-01T01:00:00Z" {
			t.Errorf("when all is used: %+v", b)
		}
		wantMetrics(`wechatbot_budget_refusals_total{budget="bot"} 1`, `wechatbot_budget_tokens_limit{budget="bot"} 200`,
			`wechatbot_budget_tokens_limit{budget="follower"} 5000`)

		p.write(t, "bot.yaml", minimal+zone+"limits: {tokens: {bot: 100000}}\n")
		time.Sleep(6 * time.Second)
		if x, err := f.Send(t.Context(), "还在吗"); err != nil || strings.Contains(x.Text, "额度") {
			t.Errorf("with a greater budget: %+v, %v", x, err)
		}
		if _, metrics := r.get(t, "/metrics"); strings.Contains(metrics, `tokens_limit{budget="follower"}`) {
			t.Error("the follower's limit is still there")
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if b := status().Budget; b.Used == nil || *b.Used != 0 {
			t.Errorf("on the next day: %+v", b)
		}
		wantMetrics("wechatbot_budget_tokens_used 0")
	})
}
