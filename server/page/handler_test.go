package page

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/wechatbot/wechatbot-operator/server/media"
)

func TestPage(t *testing.T) {
	d := newDesk(t, one("# 标题\n\n正文"))
	r := d.get(t, d.path(t))
	text := body(t, r)
	if r.StatusCode != http.StatusOK {
		t.Fatalf("status %d", r.StatusCode)
	}
	for _, want := range []string{"<h1>标题</h1>", "<p>正文</p>", "怎么 &lt;b&gt;报名&lt;/b&gt;？", "（内容由AI生成）", "备案号 &lt;1&gt;", `lang="zh-CN"`} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	for name, want := range map[string]string{
		"Content-Type": "text/html; charset=utf-8", "Referrer-Policy": "no-referrer", "X-Robots-Tag": "noindex, nofollow",
		"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Content-Security-Policy": contentPolicy,
	} {
		if got := r.Header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if !strings.HasPrefix(contentPolicy, "default-src 'none'; style-src 'sha256-") || !strings.Contains(contentPolicy, "; img-src 'self'; ") {
		t.Errorf("the policy is %s", contentPolicy)
	}
	again := d.get(t, d.path(t))
	if body(t, again) != text {
		t.Error("the second look shows something else")
	}
	if strings.Contains(d.path(t)+text+d.log.String(), follower) || strings.Contains(d.path(t)+text, turn) {
		t.Error("the page or its address tells the follower or the message")
	}
}

// Whatever is wrong with an address, the response is the same, and costs one look at the store at most.
func TestPage_NotThere(t *testing.T) {
	d := newDesk(t, one("a"))
	good := d.path(t)
	other := newDesk(t, nil, func(s *Settings) { s.Key = NewKey("other", "app-key") })
	expired := strings.TrimPrefix(d.Address(follower, turn, d.time.Add(-time.Hour)), "https://bot.example.com")
	forgotten := strings.TrimPrefix(d.Address("oForgotten", turn, d.time), "https://bot.example.com")
	cleared := strings.TrimPrefix(d.Address(follower, "cleared", d.time), "https://bot.example.com")
	var first string
	for name, test := range map[string]struct {
		path  string
		looks int
	}{
		"wrong": {prefix + "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", 0}, "empty": {prefix, 0}, "forged": {good[:len(good)-6] + "AAAAAA", 0},
		"foreign": {other.path(t), 0}, "expired": {expired, 0}, "forgotten": {forgotten, 1}, "cleared": {cleared, 1},
		"a file of a wrong one": {prefix + "AAAA/0", 0}, "no such file": {good + "/0", 1}, "a file without a number": {good + "/x", 1},
		"a negative file": {good + "/-1", 1}, "below a file": {good + "/0/0", 1}, "a file of one that was cleared": {cleared + "/0", 1}, "very long": {prefix + strings.Repeat("A", 5000), 0},
	} {
		t.Run(name, func(t *testing.T) {
			before := d.asked
			r := d.get(t, test.path)
			text := body(t, r)
			r.Header.Del("Date")
			var all strings.Builder
			all.WriteString(strconv.Itoa(r.StatusCode) + " " + text)
			for _, h := range []string{"Content-Type", "Content-Length", "Content-Security-Policy", "Retry-After", "Cache-Control"} {
				all.WriteString("\n" + r.Header.Get(h))
			}
			if first == "" {
				first = all.String()
			}
			if all.String() != first || r.StatusCode != http.StatusNotFound || !strings.Contains(text, chinese.gone) {
				t.Errorf("%d %s, want the same 404 as of any other", r.StatusCode, text)
			}
			if got := d.asked - before; got != test.looks {
				t.Errorf("the store was asked %d times, want %d", got, test.looks)
			}
		})
	}
	if r := d.get(t, good); r.StatusCode != http.StatusOK {
		t.Errorf("the right address gets %d", r.StatusCode)
	}
	d.time = d.time.Add(time.Hour - time.Second)
	if r := d.get(t, good).StatusCode; r != http.StatusOK {
		t.Errorf("a second before its end it gets %d", r)
	}
	d.time = d.time.Add(time.Second)
	if r := d.get(t, good).StatusCode; r != http.StatusNotFound {
		t.Errorf("at its end it gets %d", r)
	}
	if strings.Contains(d.log.String(), "oForgotten") {
		t.Error("the log tells a follower")
	}
}

func TestPage_Off(t *testing.T) {
	d := newDesk(t, one("a"))
	path := d.path(t)
	off := *d.settings.Load()
	off.Enabled = false
	d.Configure(off)
	if got := d.Address(follower, turn, d.time); got != "" || d.Has(path) {
		t.Errorf("there is an address, %s, while there are no pages", got)
	}
	if r := d.get(t, path); r.StatusCode != http.StatusNotFound || d.asked != 0 {
		t.Errorf("status %d, %d looks at the store, want 404 without any", r.StatusCode, d.asked)
	}
}

func TestPage_StoreAway(t *testing.T) {
	d := newDesk(t, one("a"))
	d.err = http.ErrServerClosed
	for _, path := range []string{d.path(t), d.path(t) + "/0"} {
		if r := d.get(t, path); r.StatusCode != http.StatusServiceUnavailable || r.Header.Get("Retry-After") == "" {
			t.Errorf("status %d, want 503 and when to try again", r.StatusCode)
		}
	}
}

func TestPage_OtherMethods(t *testing.T) {
	d := newDesk(t, one("a"))
	for method, want := range map[string]int{"POST": 405, "PUT": 405, "DELETE": 405, "OPTIONS": 405, "HEAD": 200} {
		r := d.get(t, d.path(t), func(r *http.Request) { r.Method = method })
		if r.StatusCode != want {
			t.Errorf("%s gets %d, want %d", method, r.StatusCode, want)
		}
	}
	if r := d.get(t, d.path(t), func(r *http.Request) { r.ContentLength = 5 }); r.Header.Get("Connection") != "close" {
		t.Error("a connection with a body that nobody reads stays open")
	}
}

// One who asks without end is refused, and takes nothing from others; all together get so much.
func TestLimits(t *testing.T) {
	d := newDesk(t, one("a"))
	from := func(address string) func(*http.Request) {
		return func(r *http.Request) {
			r.RemoteAddr = "10.0.0.7:1"
			r.Header.Set("X-Forwarded-For", "6.6.6.6, "+address)
		}
	}
	ask := func(path, address string, n int) (refused int) {
		for range n {
			r := d.get(t, path, from(address))
			if r.StatusCode == http.StatusTooManyRequests {
				if r.Header.Get("Retry-After") == "" || !strings.Contains(body(t, r), chinese.tooMany) {
					t.Error("a refusal does not say when to come again")
				}
				refused++
			}
		}
		return refused
	}
	if got := ask(prefix+"wrong", "203.0.113.1", 1000); got != 1000-perAddressBurst {
		t.Errorf("of 1000 wrong addresses %d were refused, want all but %d", got, perAddressBurst)
	}
	if got := ask(d.path(t), "203.0.113.2", 50); got != 0 {
		t.Errorf("another one was refused %d times", got)
	}
	d.time = d.time.Add(10 * time.Second)
	if got := ask(d.path(t), "203.0.113.1", 100); got != 100-10*perAddress {
		t.Errorf("ten seconds later %d of 100 were refused, want all but %d", got, 10*perAddress)
	}
	d.time = d.time.Add(time.Hour)
	asked := d.asked
	path := d.path(t)
	for n := range 400 {
		ask(path, "2001:db8:0:"+strconv.FormatInt(int64(n), 16)+"::1", 1)
	}
	if got := d.asked - asked; got != inAllBurst {
		t.Errorf("400 from everywhere asked the store %d times, want %d", got, inAllBurst)
	}
	if got := testutil.ToFloat64(d.Metrics.requests.WithLabelValues("limited")); got < 1000 {
		t.Errorf("%v are counted", got)
	}
}

// Addresses are remembered within bounds, and those who have not been seen for long are forgotten first.
func TestLimits_ManyAddresses(t *testing.T) {
	var l limits
	now := time.Unix(1_800_000_000, 0)
	for n := range 3 * maxAddresses {
		a := netip.AddrFrom4([4]byte{100, byte(n >> 16), byte(n >> 8), byte(n)})
		l.address(netip.PrefixFrom(a, 32), now)
		if len(l.each) > maxAddresses+1 {
			t.Fatalf("%d addresses are remembered", len(l.each))
		}
	}
	if l.address(netip.MustParsePrefix("9.9.9.9/32"), now) {
		t.Error("while there are too many, unknown ones do not share a bucket")
	}
	if !l.address(netip.MustParsePrefix("9.9.9.9/32"), now.Add(time.Hour)) {
		t.Error("an hour later they still do")
	}
}

func TestAddressOf(t *testing.T) {
	for name, test := range map[string]struct{ remote, forwarded, want string }{
		"direct":              {"203.0.113.9:4", "", "203.0.113.9/32"},
		"direct, claimed":     {"203.0.113.9:4", "1.2.3.4", "203.0.113.9/32"},
		"by an Ingress":       {"10.1.2.3:4", "1.2.3.4, 203.0.113.9", "203.0.113.9/32"},
		"told nonsense":       {"10.1.2.3:4", "x", "10.1.2.3/32"},
		"told nothing":        {"10.1.2.3:4", "", "10.1.2.3/32"},
		"IPv6":                {"[2001:db8::1]:4", "", "2001:db8::/64"},
		"IPv6 by an Ingress":  {"[fd00::1]:4", "2001:db8:1:2:3::4", "2001:db8:1:2::/64"},
		"IPv4 in IPv6":        {"[::ffff:203.0.113.9]:4", "", "203.0.113.9/32"},
		"a pipe":              {"@", "", "invalid Prefix"},
		"IPv6 with a zone":    {"[fe80::1%eth0]:4", "", "fe80::/64"},
		"loopback, forwarded": {"127.0.0.1:4", "203.0.113.9", "203.0.113.9/32"},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody)
			r.RemoteAddr = test.remote
			if test.forwarded != "" {
				r.Header.Set("X-Forwarded-For", test.forwarded)
			}
			if got := addressOf(r).String(); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

// files serves a stand-in for the app's file host, which refuses signatures that are old.
func files(t *testing.T) (origin string) {
	t.Helper()
	png := "\x89PNG\r\n\x1a\n" + strings.Repeat("x", 100)
	host := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasPrefix(r.URL.Path, "/files/") && r.URL.Query().Get("sign") != "new":
			w.WriteHeader(http.StatusForbidden)
		case strings.HasSuffix(r.URL.Path, ".png"):
			_, _ = w.Write([]byte(png))
		case strings.HasSuffix(r.URL.Path, ".evil"):
			_, _ = w.Write([]byte("<html><script>alert(1)</script></html>"))
		default:
			_, _ = w.Write([]byte("%PDF-1.7 content"))
		}
	}))
	t.Cleanup(host.Close)
	return host.URL
}

func TestFile(t *testing.T) {
	origin := files(t)
	policy, err := media.Internet(origin)
	if err != nil {
		t.Fatal(err)
	}
	markdown := func(sign string) string {
		return "![图](/files/a.png?sign=" + sign + ") [报告](/files/tools/b.pdf?sign=" + sign + ") ![c](" + origin + "/c.evil) ![d](" + origin + "/d.png) ![e](https://127.0.0.1/e.png)"
	}
	d := newDesk(t, one(markdown("old")), func(s *Settings) { s.FilesOrigin, s.Fetchable = origin, policy })
	d.renewed = &Answer{Markdown: markdown("new")}
	for n, want := range []struct {
		status            int
		typ, disposition  string
		content, security string
	}{
		{200, "image/png", "", "\x89PNG", "default-src 'none'; sandbox"},
		{200, "application/octet-stream", "attachment; filename=b.pdf", "%PDF", "default-src 'none'; sandbox"},
		{404, "text/html; charset=utf-8", "", "<!DOCTYPE", contentPolicy}, // no picture
		{200, "image/png", "", "\x89PNG", "default-src 'none'; sandbox"},
		{404, "text/html; charset=utf-8", "", "<!DOCTYPE", contentPolicy}, // a private address
	} {
		r := d.get(t, d.path(t)+"/"+strconv.Itoa(n))
		content := body(t, r)
		if r.StatusCode != want.status || r.Header.Get("Content-Type") != want.typ || r.Header.Get("Content-Disposition") != want.disposition ||
			!strings.HasPrefix(content, want.content) || r.Header.Get("Content-Security-Policy") != want.security || r.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("file %d: %d %v %.20q", n, r.StatusCode, r.Header, content)
		}
	}
	d.renewed = nil
	if r := d.get(t, d.path(t)+"/0"); r.StatusCode != http.StatusNotFound {
		t.Errorf("a file whose address has expired, and the app is away: %d, want 404", r.StatusCode)
	}
	if d.asked != 6 {
		t.Errorf("six files asked the store %d times", d.asked)
	}
}

func TestFileName(t *testing.T) {
	for want, t2 := range map[string]target{
		"b.pdf":          {url: "https://a.example/files/b.pdf?sign=1", name: "报告"},
		"报告.docx":        {url: "https://a.example/files/x?sign=1", name: "报告.docx"},
		"a_b_c.exe":      {url: "https://a.example/x", name: "a/b\nc.exe"},
		"_.._passwd.txt": {url: "https://a.example/x", name: "/../passwd.txt"},
	} {
		if got := fileName(t2); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
