package observe

import (
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/wechatbot/wechatbot-operator/api/serverstatus"
)

// BenchmarkPoll is one poll of a bot with one server over the loopback; the server's part is in it. A thousand bots are 17 polls
// a second.
func BenchmarkPoll(b *testing.B) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
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
	f.poller.client = newStatusClient(nil)
	f.poller.options.Every = time.Nanosecond // always due
	f.look()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := f.poller.Reconcile(b.Context(), reconcile.Request{NamespacedName: wbot}); err != nil {
			b.Fatal(err)
		}
	}
	if len(f.told) == 0 || !f.told[0].Asked {
		b.Fatal("no poll was made")
	}
}
