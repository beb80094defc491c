package wechat

import (
	"errors"
	"net/url"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestParseQuery(t *testing.T) {
	for name, tc := range map[string]struct {
		raw  string
		want Query
		ok   bool
	}{
		"nothing":           {"", Query{}, true},
		"all of it":         {"signature=a&msg_signature=b&timestamp=1&nonce=2&encrypt_type=aes&echostr=e&openid=o", Query{"a", "b", "1", "2", "aes", "e", "o"}, true},
		"own ones beside":   {"bot=1&bot=2&&x&timestamp=1", Query{Timestamp: "1"}, true},
		"escapes":           {"echostr=%2B+b%20c", Query{EchoStr: "+ b c"}, true},
		"without value":     {"nonce&echostr=", Query{}, true},
		"equals signs":      {"nonce=a=b", Query{Nonce: "a=b"}, true},
		"a bad escape":      {"nonce=%zz", Query{}, false},
		"a foreign bad one": {"x=%zz&nonce=1", Query{Nonce: "1"}, true},
		"repeated":          {"nonce=1&timestamp=2&nonce=1", Query{}, false},
		"repeated, empty":   {"encrypt_type=&encrypt_type=aes", Query{}, false},
		"the longest":       {"x=" + repeat("a", maxQueryBytes-2), Query{}, true},
		"too long":          {"x=" + repeat("a", maxQueryBytes-1), Query{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ParseQuery(tc.raw)
			if (err == nil) != tc.ok {
				t.Fatalf("error is %v", err)
			}
			if err != nil && (!errors.Is(err, ErrUnauthenticated) || ReasonOf(err) != ReasonQuery) {
				t.Errorf("error is %v, reason %q", err, ReasonOf(err))
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseQueryReadsWhatURLValuesWrite(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		want := Query{
			Signature: rapid.String().Draw(rt, "signature"), Nonce: rapid.String().Draw(rt, "nonce"),
			EchoStr: rapid.String().Draw(rt, "echostr"), OpenID: rapid.String().Draw(rt, "openid"),
		}
		raw := want.encode()
		if len(raw) > maxQueryBytes {
			return
		}
		got, err := ParseQuery(raw + "&own=" + url.QueryEscape(want.Nonce))
		if err != nil || got != want {
			rt.Fatalf("%q reads as %+v, %v", raw, got, err)
		}
	})
}

func TestReasonsOfOtherErrorsAreEmpty(t *testing.T) {
	for _, err := range []error{nil, ErrUnusable, unusableError("x"), errors.New("other")} {
		if got := ReasonOf(err); got != "" {
			t.Errorf("reason of %v is %q", err, got)
		}
	}
}
