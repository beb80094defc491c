package wechat

import (
	"bytes"
	"errors"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestNewAccountSaysWhatIsWrong(t *testing.T) {
	good := Options{Tokens: []string{"abc"}, AppID: testAppID, EncodingAESKeys: []string{testKey}}
	if _, err := NewAccount(good); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		spoil func(*Options)
		want  string
	}{
		"no token":             {func(o *Options) { o.Tokens = nil }, "no token"},
		"short token":          {func(o *Options) { o.Tokens = []string{"abc", "sh"} }, "token 2: has 2 characters"},
		"long token":           {func(o *Options) { o.Tokens = []string{repeat("t", 33)} }, "token 1: has 33 characters"},
		"token line break":     {func(o *Options) { o.Tokens = []string{"secret\n"} }, "white space"},
		"token not ASCII":      {func(o *Options) { o.Tokens = []string{"密码"} }, "another character"},
		"key without AppID":    {func(o *Options) { o.AppID = "" }, "AppID"},
		"second key too short": {func(o *Options) { o.EncodingAESKeys = []string{testKey, "x"} }, "key 2: EncodingAESKey has 1 characters"},
		"odd original id":      {func(o *Options) { o.OriginalID = "gh 1" }, "original id"},
		"negative window":      {func(o *Options) { o.Window = -time.Second }, "window"},
	} {
		t.Run(name, func(t *testing.T) {
			o := good
			tc.spoil(&o)
			a, err := NewAccount(o)
			if a != nil || err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("error is %v, want one with %q", err, tc.want)
			}
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("error %q shows the token", err)
			}
		})
	}
}

func TestVerifyURL(t *testing.T) {
	m := loadManifest(t)
	good := plainQuery(m.Token, m.Now)
	good.EchoStr = "4375120948345356249"
	for name, tc := range map[string]struct {
		change func(*Query)
		now    int64
		reason Reason
	}{
		"right":                  {func(*Query) {}, m.Now, ""},
		"at the window's end":    {func(*Query) {}, m.Now + 600, ""},
		"at its start":           {func(*Query) {}, m.Now - 600, ""},
		"stale":                  {func(*Query) {}, m.Now + 601, ReasonWindow},
		"from the future":        {func(*Query) {}, m.Now - 601, ReasonWindow},
		"without echostr":        {func(q *Query) { q.EchoStr = "" }, m.Now, ReasonQuery},
		"without signature":      {func(q *Query) { q.Signature = "" }, m.Now, ReasonSignature},
		"upper case":             {func(q *Query) { q.Signature = strings.ToUpper(q.Signature) }, m.Now, ReasonSignature},
		"one digit too long":     {func(q *Query) { q.Signature += "0" }, m.Now, ReasonSignature},
		"of another token":       {func(q *Query) { q.Signature = Sign("other", q.Timestamp, q.Nonce) }, m.Now, ReasonSignature},
		"another nonce":          {func(q *Query) { q.Nonce += "1" }, m.Now, ReasonSignature},
		"timestamp not a number": {func(q *Query) { q.Timestamp = "now"; q.Signature = Sign(m.Token, q.Timestamp, q.Nonce) }, m.Now, ReasonWindow},
		"signed timestamp":       {func(q *Query) { q.Timestamp = "+" + q.Timestamp; q.Signature = Sign(m.Token, q.Timestamp, q.Nonce) }, m.Now, ReasonWindow},
		"enormous timestamp":     {func(q *Query) { q.Timestamp = "9223372036854775807"; q.Signature = Sign(m.Token, q.Timestamp, q.Nonce) }, m.Now, ReasonWindow},
		"overflowing timestamp": {func(q *Query) {
			q.Timestamp = "18446744073709551616"
			q.Signature = Sign(m.Token, q.Timestamp, q.Nonce)
		}, m.Now, ReasonWindow},
	} {
		t.Run(name, func(t *testing.T) {
			q := good
			tc.change(&q)
			for mode, a := range map[string]*Account{"plain": m.plain(t), "secure": m.secure(t)} {
				echo, err := a.VerifyURL(q, time.Unix(tc.now, 0))
				if ReasonOf(err) != tc.reason || (err == nil) != (tc.reason == "") {
					t.Fatalf("%s: error is %v (reason %q), want reason %q", mode, err, ReasonOf(err), tc.reason)
				}
				if err == nil && echo != good.EchoStr || err != nil && echo != "" {
					t.Errorf("%s: echo is %q", mode, echo)
				}
			}
		})
	}
}

func TestModes(t *testing.T) {
	m := loadManifest(t)
	c := mustCipher(t, m.EncodingAESKey, m.AppID)
	body := readFixture(t, "messages/text.xml")
	plainQ := plainQuery(m.Token, m.Now)
	rawQ, oddQ := plainQ, plainQ
	rawQ.EncryptType, oddQ.EncryptType = "raw", "AES"
	sealedQ, sealedBody := sealedPush(c, m.Token, m.Now, body)
	strippedQ, forgedQ := sealedQ, sealedQ
	forgedQ.Signature = repeat("0", 40)
	strippedQ.EncryptType, strippedQ.MsgSignature = "", ""
	compat := mustAccount(t, Options{Tokens: []string{m.Token}, AppID: m.AppID, EncodingAESKeys: []string{m.EncodingAESKey}, AllowPlain: true})
	for name, tc := range map[string]struct {
		account *Account
		q       Query
		body    []byte
		want    verdict
	}{
		"plain to plain":                {m.plain(t), plainQ, body, parses},
		"raw to plain":                  {m.plain(t), rawQ, body, parses},
		"sealed to plain":               {m.plain(t), sealedQ, sealedBody, refused(ReasonNoKey)},
		"plain to secure":               {m.secure(t), plainQ, body, refused(ReasonPlainRefused)},
		"sealed to secure":              {m.secure(t), sealedQ, sealedBody, parses},
		"sealed, plain signature wrong": {m.secure(t), forgedQ, sealedBody, parses}, // it never counts
		"sealed, type stripped":         {m.secure(t), strippedQ, sealedBody, refused(ReasonPlainRefused)},
		"plain to compatible":           {compat, plainQ, body, parses},
		"plain, bad signature":          {compat, Query{Signature: repeat("0", 40), Timestamp: plainQ.Timestamp, Nonce: testNonce}, body, refused(ReasonSignature)},
		"sealed to compatible":          {compat, sealedQ, sealedBody, parses},
		"unknown type":                  {compat, oddQ, body, refused(ReasonEncryptType)},
		"nothing signed":                {m.plain(t), Query{}, body, refused(ReasonSignature)},
		"nothing signed in secure mode": {m.secure(t), Query{EncryptType: "aes"}, sealedBody, refused(ReasonSignature)},
		"largest body":                  {m.plain(t), plainQ, bytes.Repeat([]byte(" "), MaxBodyBytes), unusable},
		"too large a body":              {m.plain(t), plainQ, bytes.Repeat([]byte(" "), MaxBodyBytes+1), refused(ReasonSize)},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := tc.account.Open(tc.q, tc.body, m.now())
			tc.want.check(t, p, err)
			if err != nil && errors.Is(err, ErrUnauthenticated) && err.Error() != ErrUnauthenticated.Error() {
				t.Errorf("error %q gives its reason away", err)
			}
		})
	}
}

func TestCompatibleMode_DecryptedCopyCounts(t *testing.T) {
	m := loadManifest(t)
	c := mustCipher(t, m.EncodingAESKey, m.AppID)
	for name, compat := range map[string]func(encrypt string) string{
		"forged half": func(e string) string {
			return string(bytes.Replace(textPush("forged"), []byte("</xml>"), []byte("<Encrypt>"+e+"</Encrypt></xml>"), 1))
		},
		"control characters in the plain half": func(e string) string {
			return string(bytes.Replace(textPush("a\x00\x0bb"), []byte("</xml>"), []byte("<Encrypt><![CDATA["+e+"]]></Encrypt></xml>"), 1))
		},
		"nothing but Encrypt": func(e string) string { return "<xml><Encrypt>" + e + "</Encrypt></xml>" },
	} {
		t.Run(name, func(t *testing.T) {
			encrypt := c.Seal([16]byte{}, textPush("real"))
			q, _ := signedEnvelope(m.Token, m.Now, encrypt)
			p, err := m.secure(t).Open(q, []byte(compat(encrypt)), m.now())
			if err != nil || p.Content != "real" {
				t.Fatalf("%v, %v", p, err)
			}
		})
	}
}

func TestMalformedEnvelopesAreNotAuthentic(t *testing.T) {
	m := loadManifest(t)
	encrypt := mustCipher(t, m.EncodingAESKey, m.AppID).Seal([16]byte{}, textPush("hello"))
	q, _ := signedEnvelope(m.Token, m.Now, encrypt)
	for name, body := range map[string]string{
		"not XML":            encrypt,
		"not UTF-8":          "<xml>\xff<Encrypt>" + encrypt + "</Encrypt></xml>",
		"two Encrypts":       "<xml><Encrypt>" + encrypt + "</Encrypt><Encrypt>" + encrypt + "</Encrypt></xml>",
		"an element inside":  "<xml><Encrypt>" + encrypt + "<a/></Encrypt></xml>",
		"a level too deep":   "<xml><a><Encrypt>" + encrypt + "</Encrypt></a></xml>",
		"cut short":          "<xml><Encrypt>" + encrypt + "</Encrypt>",
		"another root":       "<html><Encrypt>" + encrypt + "</Encrypt></html>",
		"an entity expanded": "<!DOCTYPE xml [<!ENTITY e 'x'>]><xml><Encrypt>" + encrypt + "</Encrypt></xml>",
	} {
		t.Run(name, func(t *testing.T) {
			p, err := m.secure(t).Open(q, []byte(body), m.now())
			refused(ReasonEnvelope).check(t, p, err)
		})
	}
}

// Whatever is not authentic leaves authenticate without content, and content is all that Open hands to the push parser.
func TestAuthenticate_AuthenticPushesOnly(t *testing.T) {
	m := loadManifest(t)
	accounts := []*Account{m.plain(t), m.secure(t)}
	c := mustCipher(t, m.EncodingAESKey, m.AppID)
	rapid.Check(t, func(rt *rapid.T) {
		body := rapid.SliceOfN(rapid.Byte(), 0, 64).Draw(rt, "body")
		sent := m.Now + int64(rapid.SampledFrom([]int{0, 601, -601}).Draw(rt, "off"))
		q := plainQuery(m.Token, sent)
		authentic := sent == m.Now
		sealed := rapid.Bool().Draw(rt, "sealed")
		content := body
		if sealed {
			q, body = sealedPush(c, m.Token, sent, body)
		}
		switch rapid.IntRange(0, 3).Draw(rt, "attack") {
		case 1:
			q.Signature, q.MsgSignature = rapid.StringMatching("[0-9a-f]{40}").Draw(rt, "guess"), q.Signature
			authentic = false
		case 2:
			q.Nonce += "0"
			authentic = false
		case 3:
			q.EncryptType = rapid.SampledFrom([]string{"AES", "zip"}).Draw(rt, "type")
			authentic = false
		}
		for i, a := range accounts {
			o, err := a.authenticate(&q, body, m.now())
			if authentic && sealed == (i == 1) {
				if err != nil || !bytes.Equal(o.content, content) {
					rt.Fatalf("authentic push: %q, %v", o.content, err)
				}
				continue
			}
			if !errors.Is(err, ErrUnauthenticated) || o.content != nil || o.cipher != nil || o.token != "" {
				rt.Fatalf("account %d lets %q through, error %v", i, o.content, err)
			}
		}
	})
}

func TestRotation(t *testing.T) {
	m := loadManifest(t)
	a := mustAccount(t, Options{Tokens: []string{"newToken", m.Token}, AppID: testAppID, EncodingAESKeys: []string{otherKey, testKey}})
	for _, token := range []string{"newToken", m.Token} {
		for _, key := range []string{otherKey, testKey} {
			c := mustCipher(t, key, testAppID)
			q, body := sealedPush(c, token, m.Now, textPush("hello"))
			p, err := a.Open(q, body, m.now())
			if err != nil {
				t.Fatal(err)
			}
			reply, err := a.Reply(p, Text{"answer"}, m.now())
			if err != nil {
				t.Fatal(err)
			}
			inner := parseTree(t, unsealReply(t, token, c, reply, m.now()))
			if got := inner.child("Content"); got != "answer" {
				t.Errorf("content is %q", got)
			}
		}
	}
	q, body := sealedPush(mustCipher(t, testKey, testAppID), "retiredToken", m.Now, textPush("hello"))
	p, err := a.Open(q, body, m.now())
	refused(ReasonSignature).check(t, p, err)
}

func TestReply_PlainInCompatibleMode(t *testing.T) {
	m := loadManifest(t)
	a := mustAccount(t, Options{Tokens: []string{m.Token}, AppID: testAppID, EncodingAESKeys: []string{testKey}, AllowPlain: true})
	p, err := a.Open(plainQuery(m.Token, m.Now), textPush("hello"), m.now())
	if err != nil {
		t.Fatal(err)
	}
	reply, err := a.Reply(p, Text{"answer"}, m.now())
	if err != nil {
		t.Fatal(err)
	}
	if got := parseTree(t, reply).child("Content"); got != "answer" {
		t.Errorf("content is %q", got)
	}
}

func TestWindowIsConfigurable(t *testing.T) {
	m := loadManifest(t)
	a := mustAccount(t, Options{Tokens: []string{m.Token}, Window: time.Minute})
	for off, want := range map[int64]verdict{60: parses, 61: refused(ReasonWindow), -60: parses, -61: refused(ReasonWindow)} {
		p, err := a.Open(plainQuery(m.Token, m.Now+off), textPush("hello"), m.now())
		want.check(t, p, err)
	}
}

func TestOpenDoesNotKeepOrChangeTheBody(t *testing.T) {
	m := loadManifest(t)
	for name, body := range map[string][]byte{"plain": textPush("a&amp;b\x00\r\nc"), "CDATA": textPush("<![CDATA[x]]>y")} {
		before := bytes.Clone(body)
		p, err := m.plain(t).Open(plainQuery(m.Token, m.Now), body, m.now())
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(body, before) {
			t.Errorf("%s: body was changed to %q", name, body)
		}
		content := strings.Clone(p.Content)
		clear(body)
		if p.Content != content || p.FromUserName != m.OpenID {
			t.Errorf("%s: the push changes with the body's buffer", name)
		}
	}
}

func TestAccountServesConcurrently(t *testing.T) {
	m := loadManifest(t)
	a, c := m.secure(t), mustCipher(t, m.EncodingAESKey, m.AppID)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := range 50 {
				want := strconv.Itoa(i) + "-" + strconv.Itoa(n)
				q, body := sealedPush(c, m.Token, m.Now, textPush(want))
				p, err := a.Open(q, body, m.now())
				if err != nil || p.Content != want {
					t.Errorf("%v, %v", p, err)
					return
				}
				if _, err := a.Reply(p, Text{want}, m.now()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

// FuzzOpen signs whatever it gets, so that everything reaches the parsers: nothing may panic or be refused as not authentic.
func FuzzOpen(f *testing.F) {
	m := loadManifest(f)
	for _, file := range m.Files {
		if body := readFixture(f, file.File); len(body) < 4096 {
			f.Add(body)
		}
	}
	plain, secure, c := m.plain(f), m.secure(f), mustCipher(f, m.EncodingAESKey, m.AppID)
	plainQ := plainQuery(m.Token, m.Now)
	f.Fuzz(func(t *testing.T, body []byte) {
		p, plainErr := plain.Open(plainQ, body, m.now())
		q, envelope := sealedPush(c, m.Token, m.Now, body)
		sealed, sealedErr := secure.Open(q, envelope, m.now())
		if errors.Is(plainErr, ErrUnauthenticated) || errors.Is(sealedErr, ErrUnauthenticated) || (plainErr == nil) != (sealedErr == nil) {
			t.Fatalf("plain %v, sealed %v", plainErr, sealedErr)
		}
		if plainErr != nil {
			return
		}
		if *p != func() Push { s := *sealed; s.cipher = nil; return s }() {
			t.Fatal("plain and sealed differ")
		}
		if !isID(p.FromUserName) || p.ToUserName != m.OriginalID || p.MsgType == "" || p.CreateTime < 0 {
			t.Fatal("push lacks what a reply needs")
		}
		if reply, err := secure.Reply(sealed, Text{"a" + p.Content}, m.now()); err == nil {
			unsealReply(t, m.Token, c, reply, m.now())
		}
	})
}
