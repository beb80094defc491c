//go:build chaos

package chaos

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/wechatbot/wechatbot-operator/test/crowd"
	"github.com/wechatbot/wechatbot-operator/test/difysim"
	"github.com/wechatbot/wechatbot-operator/test/wechatsim"
)

// BenchmarkWakeUp measures how long after Dify's last event followers have the whole answer: one who waits at the
// replica that works on the turn, and one who waits at another and is woken over Redis. Both wait for the same turn, so
// that whatever else the machine does meets both alike; the difference is the way over Redis.
func BenchmarkWakeUp(b *testing.B) {
	w := newWorld(b, "wake-up", 0, difysim.Chat)
	w.dify.Script(nil)
	w.dify.SetBehaviour(difysim.Behaviour{FirstText: 200 * time.Millisecond, Total: time.Second, Length: 120})
	binary := build(b)
	r := startRedis(b, w.logs)
	var platforms []*wechatsim.Platform
	for i := range 2 {
		config := w.configure(b, i, redisSession(r.address()), map[string]string{"redis-password": redisPassword})
		w.replicas = append(w.replicas, startReplica(b, i, w.logs, nil, binary, "--config", config))
		p, err := wechatsim.New(wechatsim.Account{
			URL: "http://" + w.replicas[i].now().address() + "/wechat", Token: token, EncodingAESKey: aesKey, AppID: appID, Mode: wechatsim.Secure,
		}, wechatsim.Options{})
		if err != nil {
			b.Fatal(err)
		}
		platforms = append(platforms, p)
	}

	var mu sync.Mutex
	waits := map[string][]time.Duration{}
	var all sync.WaitGroup
	for b.Loop() {
		all.Go(func() {
			own, other, err := w.wakeUp(b, platforms[0], platforms[1])
			if err != nil {
				b.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			waits["own"] = append(waits["own"], own)
			waits["other"] = append(waits["other"], other)
			waits["more"] = append(waits["more"], other-own)
		})
		pause(b.Context(), 30*time.Millisecond) // one at a time, but for those that wait for Dify
	}
	all.Wait()
	for what, d := range waits {
		slices.Sort(d)
		for _, p := range []int{50, 99} {
			b.ReportMetric(float64(d[(len(d)-1)*p/100].Microseconds())/1000, fmt.Sprintf("%s-p%d-ms", what, p))
		}
	}
	b.ReportMetric(0, "ns/op") // of no meaning here
	for _, r := range w.replicas {
		r.stop(b)
	}
}

// wakeUp asks one question at the first of two replicas, waits for its answer at both, and tells how long after Dify's
// end it was there.
func (w *world) wakeUp(b *testing.B, first, second *wechatsim.Platform) (own, other time.Duration, err error) {
	b.Helper()
	asker := first.Follower("")
	question := "谁最先知道？" + asker.OpenID()
	var ownEnd, otherEnd time.Time
	var ownErr, otherErr error
	var both sync.WaitGroup
	both.Go(func() {
		x, err := asker.Send(b.Context(), question)
		ownEnd, ownErr = time.Now(), err
		if err == nil && x.Outcome != wechatsim.Replied {
			ownErr = fmt.Errorf("the question got no reply: %s", crowd.Deliveries(x))
		}
	})
	both.Go(func() {
		if otherErr = await(time.Second, func() bool { return len(w.dify.CallsFor(question)) == 1 }); otherErr != nil {
			return
		}
		x, err := second.Follower(asker.OpenID()).Send(b.Context(), "1")
		otherEnd, otherErr = time.Now(), err
		if err == nil && x.Outcome != wechatsim.Replied {
			otherErr = fmt.Errorf("the second message got no reply: %s", crowd.Deliveries(x))
		}
	})
	both.Wait()
	if err := errors.Join(ownErr, otherErr); err != nil {
		return 0, 0, err
	}
	var ended time.Time // noted by the stand-in a little after its last event has left
	if err := await(time.Second, func() bool { ended = w.dify.CallsFor(question)[0].Ended; return !ended.IsZero() }); err != nil {
		return 0, 0, fmt.Errorf("waiting for the end of Dify's call: %w", err)
	}
	return ownEnd.Sub(ended), otherEnd.Sub(ended), nil
}
