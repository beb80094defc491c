package wechat

import (
	"errors"
	"strings"
	"testing"
)

func TestPrecheck(t *testing.T) {
	m := loadManifest(t)
	plain, secure := m.plain(t), m.secure(t)
	both, err := NewAccount(Options{Tokens: []string{m.Token}, AppID: m.AppID, EncodingAESKeys: []string{m.EncodingAESKey}, AllowPlain: true})
	if err != nil {
		t.Fatal(err)
	}
	q := plainQuery(m.Token, m.Now)
	sealed := func(change func(*Query)) Query {
		q := q
		q.EncryptType, q.MsgSignature = "aes", strings.Repeat("0", 40) // what it is of is not known yet
		if change != nil {
			change(&q)
		}
		return q
	}
	for name, c := range map[string]struct {
		a      *Account
		q      Query
		signed bool
		reason Reason
	}{
		"plain":                         {a: plain, q: q, signed: true},
		"raw":                           {a: plain, q: func() Query { q := q; q.EncryptType = "raw"; return q }(), signed: true},
		"plain, another's":              {a: plain, q: plainQuery("otherToken", m.Now), reason: ReasonSignature},
		"plain, without a signature":    {a: plain, q: Query{Timestamp: q.Timestamp, Nonce: q.Nonce}, reason: ReasonSignature},
		"plain, old":                    {a: plain, q: plainQuery(m.Token, m.Now-3600), reason: ReasonWindow, signed: true},
		"plain, to a secure account":    {a: secure, q: q, reason: ReasonPlainRefused},
		"plain, while the mode changes": {a: both, q: q, signed: true},
		"secure":                        {a: secure, q: sealed(nil), signed: true},
		"secure, without a signature":   {a: secure, q: sealed(func(q *Query) { q.Signature = "" })},
		"secure, another's signature":   {a: secure, q: sealed(func(q *Query) { q.Signature = strings.Repeat("f", 40) })},
		"secure, without any signature": {a: secure, q: sealed(func(q *Query) { q.Signature, q.MsgSignature = "", "" }), reason: ReasonSignature},
		"secure, old": {a: secure, q: func() Query {
			q := sealed(nil)
			o := plainQuery(m.Token, m.Now-3600)
			q.Signature, q.Timestamp = o.Signature, o.Timestamp
			return q
		}(), reason: ReasonWindow, signed: true},
		"secure, old and unproven":   {a: secure, q: sealed(func(q *Query) { q.Timestamp = "1" }), reason: ReasonWindow},
		"secure, to a plain account": {a: plain, q: sealed(nil), reason: ReasonNoKey},
		"of a third kind":            {a: plain, q: sealed(func(q *Query) { q.EncryptType = "sm4" }), reason: ReasonEncryptType},
		"nothing at all":             {a: plain, reason: ReasonSignature},
	} {
		signed, err := c.a.Precheck(c.q, m.now())
		if ReasonOf(err) != c.reason || (err != nil) != (c.reason != "") || signed != c.signed {
			t.Errorf("%s: signed %t, %v (%s); want %t, %q", name, signed, err, ReasonOf(err), c.signed, c.reason)
		}
	}
}

// What Precheck refuses, Open refuses too, for the same reason.
func TestPrecheckRefusesNothingThatOpenTakes(t *testing.T) {
	m := loadManifest(t)
	plain, secure := m.plain(t), m.secure(t)
	for _, f := range m.Files {
		if f.Kind == "reply" {
			continue
		}
		for mode, a := range map[string]*Account{"plain": plain, "secure": secure} {
			q := plainQuery(m.Token, m.Now)
			if f.Query != "" {
				q = mustQuery(t, f.Query)
			}
			body := readFixture(t, f.File)
			p, err := a.Open(q, body, m.now())
			_, early := a.Precheck(q, m.now())
			if early != nil && p != nil || early != nil && ReasonOf(err) != ReasonOf(early) && len(body) <= MaxBodyBytes {
				t.Errorf("%s, %s: refused for %q before, %q after its body was read", f.File, mode, ReasonOf(early), ReasonOf(err))
			}
		}
	}
}

func TestJSONIsTold(t *testing.T) {
	m := loadManifest(t)
	plain, secure, c := m.plain(t), m.secure(t), mustCipher(t, m.EncodingAESKey, m.AppID)
	for name, body := range map[string]string{
		"an object":       `{"ToUserName":"gh_3f1c9a7e52b0","FromUserName":"` + sender + `","CreateTime":1767225600,"MsgType":"text","Content":"你好","MsgId":1}`,
		"with a mark":     "\uFEFF{}",
		"indented":        "\n  {\n}",
		"cut":             `{"ToUserName":`,
		"with an Encrypt": `{"ToUserName":"gh_3f1c9a7e52b0","Encrypt":"AAAA"}`,
	} {
		_, err := plain.Open(plainQuery(m.Token, m.Now), []byte(body), m.now())
		if !errors.Is(err, ErrJSON) || !errors.Is(err, ErrUnusable) || !strings.Contains(err.Error(), "XML") {
			t.Errorf("%s: %v", name, err)
		}
		q, envelope := sealedPush(c, m.Token, m.Now, []byte(body))
		if _, err := secure.Open(q, envelope, m.now()); !errors.Is(err, ErrJSON) {
			t.Errorf("%s, inside: %v", name, err)
		}
		if _, err := secure.Open(q, []byte(body), m.now()); ReasonOf(err) != ReasonJSON {
			t.Errorf("%s, outside: %v, %q", name, err, ReasonOf(err))
		}
	}
	for _, body := range []string{"[]", "ToUserName=x", "<xml/>", "", `"{"`} {
		if _, err := plain.Open(plainQuery(m.Token, m.Now), []byte(body), m.now()); errors.Is(err, ErrJSON) {
			t.Errorf("%q is taken for JSON", body)
		}
	}
}

func TestIsMessage(t *testing.T) {
	for name, c := range map[string]struct {
		p    Push
		want bool
	}{
		"text": {Push{MsgType: MsgTypeText, MsgID: "1"}, true}, "file": {Push{MsgType: MsgTypeFile, MsgID: "1"}, true},
		"one of later": {Push{MsgType: "hologram", MsgID: "1"}, true}, "without an id": {Push{MsgType: "hologram"}, false},
		"an event": {Push{MsgType: MsgTypeEvent}, false}, "an event about a message": {Push{MsgType: MsgTypeEvent, Event: "TEMPLATESENDJOBFINISH", MsgID: "1"}, false},
	} {
		if got := c.p.IsMessage(); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}
