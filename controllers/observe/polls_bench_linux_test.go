package observe

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/wechatbot/wechatbot-operator/api/serverstatus"
)

// cpu is what the process has used of processors.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// BenchmarkPolls_1000Bots is a minute's polls of 1,000 bots with one server each, by as many workers as the operator has, over the
// loopback. %core is the share of one processor that they take spread over that minute, the answering server's part included, so
// it is more than the operator's; the goal is 5. atOnce is how many were under way at the same time, at most.
//
//	go test -run '^$' -bench 1000Bots -benchtime 10x ./controllers/observe
func BenchmarkPolls_1000Bots(b *testing.B) {
	const bots = 1000
	var under, most atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		now := under.Add(1)
		defer under.Add(-1)
		for was := most.Load(); now > was; was = most.Load() {
			if most.CompareAndSwap(was, now) {
				break
			}
		}
		_ = json.NewEncoder(w).Encode(serverstatus.Status{
			APIVersion: serverstatus.APIVersion, Store: serverstatus.Store{OK: true},
			Account: &serverstatus.Account{LastErrors: make([]serverstatus.CallError, 4), Addresses: []string{"203.0.113.7"}},
		})
	}))
	defer server.Close()
	host, port, err := net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	f := newFleet(1)
	f.pods[0].Status.PodIP = host
	if f.poller.options.Port, err = strconv.Atoi(port); err != nil {
		b.Fatal(err)
	}
	var told atomic.Int64
	f.poller.options.Told = func(context.Context, types.NamespacedName, Servers) { told.Add(1) }
	f.poller.client = newStatusClient(nil)
	f.poller.options.Every = time.Nanosecond // always due
	var names []types.NamespacedName
	for i := range bots {
		bot := f.bots[wbot].DeepCopy()
		bot.Name = fmt.Sprintf("bot-%03d", i)
		names = append(names, types.NamespacedName{Namespace: bot.Namespace, Name: bot.Name})
		f.bots[names[i]] = bot
		f.poller.Look(bot, f.pods)
	}
	minute := func() {
		next := make(chan types.NamespacedName)
		var workers sync.WaitGroup
		for range PollWorkers {
			workers.Go(func() {
				for name := range next {
					if _, err := f.poller.Reconcile(b.Context(), reconcile.Request{NamespacedName: name}); err != nil {
						b.Error(err)
					}
				}
			})
		}
		for _, name := range names {
			next <- name
		}
		close(next)
		workers.Wait()
	}
	minute()
	before := cpu(b)
	b.ResetTimer()
	for range b.N {
		minute()
	}
	b.StopTimer()
	used := (cpu(b) - before) / time.Duration(b.N)
	b.ReportMetric(100*used.Seconds()/time.Minute.Seconds(), "%core")
	b.ReportMetric(float64(most.Load()), "atOnce")
	if told.Load() != bots {
		b.Errorf("%d of %d bots were told of, each once", told.Load(), bots)
	}
}
