//go:build chaos

package chaos

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/wechatbot/wechatbot-operator/test/difysim"
	"github.com/wechatbot/wechatbot-operator/test/wechatsim"
)

// BenchmarkWakeUp measures how long after Dify's last event a follower has the whole answer, when another replica works
// on the turn than the one that the follower waits at, and when it is the same: the difference is the way over Redis.
func BenchmarkWakeUp(b *testing.B) {
	w := newWorld(b, "wake-up")
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
	for _, where := range []struct {
		name   string
		waiter *wechatsim.Platform
	}{{"other-replica", platforms[1]}, {"same-replica", platforms[0]}} {
		b.Run(where.name, func(b *testing.B) {
			var mu sync.Mutex
			var waits []time.Duration
			var all sync.WaitGroup
			for b.Loop() {
				asker := platforms[0].Follower("")
				question := "谁最先知道？" + asker.OpenID()
				waiter := where.waiter.Follower(asker.OpenID())
				all.Go(func() {
					asked := make(chan error, 1)
					go func() {
						_, err := asker.Send(b.Context(), question)
						asked <- err
					}()
					if err := await(time.Second, func() bool { return len(w.dify.CallsFor(question)) == 1 }); err != nil {
						b.Errorf("waiting for Dify's call: %v", err)
						return
					}
					x, err := waiter.Send(b.Context(), "1")
					if err != nil || x.Outcome != wechatsim.Replied {
						b.Errorf("%v, %+v", err, x)
						return
					}
					shown := x.Start.Add(x.Took)
					if err := <-asked; err != nil {
						b.Errorf("asking: %v", err)
						return
					}
					var ended time.Time // noted by the stand-in a little after its last event has left
					if err := await(time.Second, func() bool { ended = w.dify.CallsFor(question)[0].Ended; return !ended.IsZero() }); err != nil {
						b.Errorf("waiting for the end of Dify's call: %v", err)
						return
					}
					mu.Lock()
					defer mu.Unlock()
					waits = append(waits, shown.Sub(ended))
				})
				pause(b.Context(), 30*time.Millisecond) // one at a time, but for those that wait for Dify
			}
			all.Wait()
			slices.Sort(waits)
			for _, p := range []int{50, 99, 100} {
				b.ReportMetric(float64(waits[(len(waits)-1)*p/100].Microseconds())/1000, fmt.Sprintf("p%d-ms", p))
			}
			b.ReportMetric(0, "ns/op") // of no meaning here
		})
	}
	for _, r := range w.replicas {
		r.stop(b)
	}
}
