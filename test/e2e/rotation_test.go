//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/wechatbot/wechatbot-operator/test/wechatsim"
)

// overlap is for how long a server accepts a replaced token beside the new one.
const overlap = 10 * time.Minute

// rotation is a bot whose token is replaced at the beginning of the run, and whose old one is refused at its end. It has
// an image of its own, so that no upgrade of the operator restarts it meanwhile.
type rotation struct {
	*cluster
	space string // the namespace, which outlives the scenario that begins it
	bot   *bot
	old   *bot // the same, as one knows it who has the old token
	lives string
	taken time.Time
}

// begin replaces the token under chat, which goes on with the old one: the console is changed later.
func (r *rotation) begin(t *testing.T) string {
	r.bot = r.chatty(t, r.space)
	r.bot.set(t, r.image.String(), "image")
	r.bot.start(t)
	r.bot.reachable(t)
	r.lives = r.bot.lives(t)
	old := *r.bot
	r.old = &old
	chat := r.old.chat(t, 6)
	chat.answered(t, 12)
	r.bot.token = "e2eSecondToken"
	began := time.Now()
	r.bot.secret(t)
	p := r.bot.platform(t, wechatsim.Options{})
	took := await(t, 3*time.Minute, "the new token is taken", func() (bool, string, error) {
		err := p.VerifyURL(t.Context())
		return err == nil, "", err
	})
	r.taken = time.Now()
	chat.more(t, 12)
	before := chat.finish(t)
	after := r.bot.chat(t, 6)
	after.answered(t, 12)
	o := after.finish(t)
	r.same(t)
	return fmt.Sprintf("new token accepted %s after kubectl apply of the Secret; with the old one meanwhile: %s; with the new one: %s",
		seconds(min(took, time.Since(began))), before, o)
}

// end waits for the end of the overlap: the old token is refused then, and nothing was restarted.
func (r *rotation) end(t *testing.T) string {
	p := r.old.platform(t, wechatsim.Options{})
	if time.Since(r.taken) < overlap-30*time.Second {
		if err := p.VerifyURL(t.Context()); err != nil {
			t.Errorf("%v after the rotation, within the overlap: %v", time.Since(r.taken), err)
		}
	}
	await(t, max(overlap-time.Since(r.taken), 0)+30*time.Second, "the old token is refused", func() (bool, string, error) {
		v, ok := wechatsim.AsVerifyError(p.VerifyURL(t.Context()))
		return ok && v.Status == http.StatusForbidden, "it is accepted", nil
	})
	refused := time.Since(r.taken)
	chat := r.bot.chat(t, 4)
	chat.answered(t, 8)
	o := chat.finish(t)
	r.same(t)
	return fmt.Sprintf("refused %s after the new one was taken, no pod was restarted; with the new one: %s", seconds(refused), o)
}

func (r *rotation) same(t *testing.T) {
	t.Helper()
	if now := r.bot.lives(t); now != r.lives {
		t.Errorf("pods were restarted: %s, then %s", r.lives, now)
	}
}
