package wechatsim

import (
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

var discard = log.New(io.Discard, "", 0)

func TestNewRefusesWhatTheConsoleRefuses(t *testing.T) {
	tests := []struct {
		name   string
		change func(*Account)
		want   string // part of the error; empty for an account that is fine
	}{
		{"fine", func(*Account) {}, ""},
		{"plain mode needs no key", func(a *Account) { a.Mode, a.EncodingAESKey, a.AppID = Plain, "", "" }, ""},
		{"an address that cannot be parsed", func(a *Account) { a.URL = "http://bot.example/%zz" }, "parsed"},
		{"another scheme", func(a *Account) { a.URL = "ftp://bot.example/" }, "http://"},
		{"no host", func(a *Account) { a.URL = "http:///wechat" }, "host"},
		{"a short token", func(a *Account) { a.Token = "ab" }, "3 to 32"},
		{"a long token", func(a *Account) { a.Token = strings.Repeat("a", 33) }, "3 to 32"},
		{"no AppID", func(a *Account) { a.AppID = "" }, "AppID"},
		{"a short key", func(a *Account) { a.EncodingAESKey = a.EncodingAESKey[1:] }, "EncodingAESKey"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			a := testAccount(Secure)
			test.change(&a)
			_, err := New(a, Options{})
			if (err != nil) != (test.want != "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Fatalf("New = %v, want %q", err, test.want)
			}
			if err != nil && (strings.Contains(err.Error(), a.EncodingAESKey) || strings.Contains(err.Error(), a.Token)) {
				t.Errorf("the error shows a secret: %v", err)
			}
		})
	}
}

func TestDefaults(t *testing.T) {
	a := testAccount(Plain)
	a.OriginalID = ""
	p, err := New(a, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if p.Account().OriginalID != DefaultOriginalID {
		t.Errorf("original id %q", p.Account().OriginalID)
	}
	want := Options{Timeout: 5 * time.Second, Deliveries: 3, MarkFailWindow: time.Minute, MarkFailBlock: time.Minute, PictureURL: "http://mmbiz.qpic.cn"}
	if d := cmp.Diff(want, p.options); d != "" {
		t.Errorf("options (-want +got):\n%s", d)
	}
	if id := p.Follower("").OpenID(); len(id) != 28 || id == p.Follower("").OpenID() {
		t.Errorf("openid %q: want 28 characters, another each time", id)
	}
	if Mode(9).String() != "Mode(9)" {
		t.Errorf("unknown mode is %s", Mode(9))
	}
}

func TestMessageIDsNeverRepeat(t *testing.T) {
	p := judging(t, Plain)
	seen, now := map[int64]bool{}, time.Now()
	for i := range 1000 {
		id := p.nextMsgID(now.Add(-time.Duration(i%3) * time.Hour)) // a clock that jumps back
		if id <= 0 || seen[id] {
			t.Fatalf("message id %d after %d others", id, i)
		}
		seen[id] = true
	}
	if other := judging(t, Plain).nextMsgID(now.Add(time.Second)); seen[other] {
		t.Error("a second platform begins with the ids of the first")
	}
}

func TestFailureClasses(t *testing.T) {
	tests := []struct {
		err  error
		want Verdict
	}{
		{x509.HostnameError{Certificate: &x509.Certificate{}, Host: "h"}, TLSFailed},
		{&net.OpError{Op: "remote error", Err: errors.New("tls: handshake failure")}, TLSFailed},
		{&net.OpError{Op: "dial", Err: errors.New("network is unreachable")}, Unreachable},
		{errors.New("malformed HTTP response"), Unreachable},
	}
	for _, test := range tests {
		if got := failure(t.Context(), test.err); got != test.want {
			t.Errorf("%v is %s, want %s", test.err, got, test.want)
		}
	}
}

func TestHistogram(t *testing.T) {
	var h Histogram
	if d := cmp.Diff(Latency{}, h.Latency()); d != "" {
		t.Errorf("nothing counted (-want +got):\n%s", d)
	}
	for i := range 100 {
		h.Add(time.Duration(i+1) * time.Microsecond)
	}
	want := Latency{Count: 100, P50: 50 * time.Microsecond, P90: 90 * time.Microsecond, P99: 99 * time.Microsecond, Max: 100 * time.Microsecond}
	if d := cmp.Diff(want, h.Latency()); d != "" {
		t.Errorf("1 to 100 µs (-want +got):\n%s", d)
	}
	h.Add(-time.Second)
	h.Add(1 << 62)
	if l := h.Latency(); l.Count != 102 || l.Max != 1<<62 {
		t.Errorf("outliers: %+v", l)
	}
}

func TestHistogramIsExactToOnePercent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := time.Duration(rapid.Int64Range(0, int64(24*time.Hour/time.Microsecond)).Draw(t, "µs")) * time.Microsecond
		var h Histogram
		h.Add(d)
		h.Add(48 * time.Hour)
		if got := h.Latency().P50; (got-d).Abs()*100 > d {
			t.Errorf("%v is read as %v", d, got)
		}
	})
}
