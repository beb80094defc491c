package media

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// Behind a proxy names are checked, and the proxy is reached wherever it is.
func TestFetch_Proxy(t *testing.T) {
	var through atomic.Int32
	var target atomic.Value
	proxy := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		through.Add(1)
		if r.Method != http.MethodConnect {
			_, _ = rw.Write(jpeg)
			return
		}
		server, err := new(net.Dialer).DialContext(r.Context(), "tcp", target.Load().(string))
		if err != nil {
			rw.WriteHeader(http.StatusBadGateway)
			return
		}
		rw.WriteHeader(http.StatusOK)
		client, buffered, err := http.NewResponseController(rw).Hijack()
		if err != nil {
			t.Errorf("hijacking: %v", err)
			return
		}
		var both sync.WaitGroup
		both.Go(func() { _, _ = io.Copy(server, buffered); _ = server.Close() })
		both.Go(func() { _, _ = io.Copy(client, server); _ = client.Close() })
		both.Wait()
	}))
	t.Cleanup(proxy.Close)
	at, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, Options{Proxy: func(r *http.Request) (*url.URL, error) {
		switch r.URL.Hostname() {
		case "direct.example.org":
			return nil, nil //nolint:nilnil // no proxy
		case "wrong.example.org":
			return nil, errors.New("invalid proxy address http://user:secret@proxy")
		}
		return at, nil
	}})
	target.Store(w.secure.Listener.Addr().String())
	w.on("direct.example.org", []string{"127.0.0.2"})
	internet, pictures := mustInternet(t), mustHosts(t, "qpic.cn")
	for _, test := range []struct {
		policy  Policy
		address string
		want    Kind
		through int32
	}{
		{internet, "https://cdn.example.org/x", "", 1},
		{pictures, "http://mmbiz.qpic.cn/x", "", 1},
		{internet, "https://direct.example.org/x", "", 0},
		{internet, "https://wrong.example.org/x", Unreachable, 0},
		{internet, "https://127.0.0.1/x", PrivateAddress, 0},
		{internet, "https://127.1/x", PrivateAddress, 0},
		{internet, "https://0x7f000001/x", PrivateAddress, 0},
		{internet, "https://localhost/x", PrivateAddress, 0},
		{internet, "https://dify.bots.svc.cluster.local/x", PrivateAddress, 0},
		{internet, "https://metadata.google.internal/x", PrivateAddress, 0},
		{internet, "https://[64:ff9b::a9fe:a9fe]/x", PrivateAddress, 0},
		{internet, "http://cdn.example.org/x", NotAllowed, 0},
	} {
		through.Store(0)
		_, err := w.fetch(test.policy, test.address)
		if KindOf(err) != test.want || through.Load() != test.through {
			t.Errorf("%s: %v, %d times through the proxy; want %q, %d", test.address, err, through.Load(), test.want, test.through)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: it says %q", test.address, err)
		}
	}
}
