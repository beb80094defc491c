package bench

import (
	"fmt"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/wechatbot/wechatbot-operator/test/difysim"
	"github.com/wechatbot/wechatbot-operator/test/wechatsim"
)

// BenchmarkCrowd is what an autoscaler sees of one replica while followers ask at a steady rate and Dify takes 8 s: the questions that
// are answered and those that wait, which config/keda scales by, beside the CPU and the memory that an HPA can see.
func BenchmarkCrowd(b *testing.B) {
	for _, load := range []struct{ perSecond, concurrency int }{{3, 200}, {12, 200}, {24, 200}, {48, 200}, {96, 1000}} {
		b.Run(fmt.Sprintf("%d-a-second,concurrency-%d", load.perSecond, load.concurrency), func(b *testing.B) {
			for b.Loop() {
				askSteadily(b, load.perSecond, load.concurrency)
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

const (
	answering   = 8 * time.Second
	steadyFrom  = answering + 2*time.Second // by then as many questions end as are asked
	steadyFor   = 20 * time.Second
	answerRunes = 400
)

// askSteadily lets as many followers ask in each second, and reports what the replica shows of itself.
func askSteadily(b *testing.B, perSecond, concurrency int) {
	b.Helper()
	app := difysim.New(difysim.Options{Behaviour: difysim.Behaviour{FirstText: answering / 4, Total: answering, Length: answerRunes}})
	api := httptest.NewServer(app)
	b.Cleanup(func() { app.Close(); api.Close() })
	p := start(b, true, api.URL+"/v1", fmt.Sprintf("limits: {concurrency: %d}\n", concurrency))
	platform, err := wechatsim.New(wechatsim.Account{
		URL: "http://" + p.hook + "/wechat", Token: token, EncodingAESKey: aesKey, AppID: appID, OriginalID: originalID, Mode: wechatsim.Secure,
	}, wechatsim.Options{})
	if err != nil {
		b.Fatal(err)
	}
	<-time.After(settle)

	var all sync.WaitGroup
	defer all.Wait()
	each := time.NewTicker(time.Second / time.Duration(perSecond))
	defer each.Stop()
	look := time.NewTicker(time.Second)
	defer look.Stop()
	began := time.Now()
	var used, memory, answered, waiting float64
	looks := 0.0
	for n := 0; time.Since(began) < steadyFrom+steadyFor; {
		select {
		case <-each.C:
			n++
			all.Go(func() {
				if _, err := platform.Follower("").Send(b.Context(), fmt.Sprintf("第 %d 位关注者的问题是什么？", n)); err != nil {
					b.Error(err)
				}
			})
		case <-look.C:
			if time.Since(began) < steadyFrom {
				used = p.cpu(b).Seconds()
				continue
			}
			answered += p.metric(b, "wechatbot_turns_in_flight")
			waiting = max(waiting, p.metric(b, "wechatbot_turns_waiting"))
			memory = max(memory, p.memory(b, "VmRSS"))
			looks++
		}
	}
	b.ReportMetric(answered/looks, "in_flight")
	b.ReportMetric(waiting, "waiting_most")
	b.ReportMetric(100*(p.cpu(b).Seconds()-used)/(steadyFor+time.Second).Seconds(), "%_of_a_core")
	b.ReportMetric(memory/(1<<20), "MiB_RSS_most")
}
