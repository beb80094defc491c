package wechat

import (
	"encoding/json"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/wechatbot/wechatbot-operator/testdata"
)

// manifest is testdata/wechat/manifest.json.
type manifest struct {
	Token          string `json:"token"`
	EncodingAESKey string `json:"encoding_aes_key"`
	AppID          string `json:"appid"`
	OriginalID     string `json:"original_id"`
	OpenID         string `json:"openid"`
	Now            int64  `json:"now"`
	Files          []struct {
		File    string `json:"file"`
		Kind    string `json:"kind"`
		Query   string `json:"query"`
		MsgType string `json:"MsgType"`
		Event   string `json:"Event"`
		Outcome string `json:"outcome"`
	} `json:"files"`
}

func readFixture(tb testing.TB, name string) []byte {
	tb.Helper()
	data, err := testdata.WeChat.ReadFile("wechat/" + name)
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

func loadManifest(tb testing.TB) *manifest {
	tb.Helper()
	m := new(manifest)
	if err := json.Unmarshal(readFixture(tb, "manifest.json"), m); err != nil {
		tb.Fatal(err)
	}
	return m
}

func (m *manifest) now() time.Time { return time.Unix(m.Now, 0) }

// plain is the account in plain mode, secure the same account in secure mode.
func (m *manifest) plain(tb testing.TB) *Account {
	return mustAccount(tb, Options{Tokens: []string{m.Token}, OriginalID: m.OriginalID})
}

func (m *manifest) secure(tb testing.TB) *Account {
	return mustAccount(tb, Options{
		Tokens: []string{m.Token}, AppID: m.AppID, EncodingAESKeys: []string{m.EncodingAESKey}, OriginalID: m.OriginalID,
	})
}

func mustAccount(tb testing.TB, o Options) *Account {
	tb.Helper()
	a, err := NewAccount(o)
	if err != nil {
		tb.Fatal(err)
	}
	return a
}

func mustCipher(tb testing.TB, key, appID string) *Cipher {
	tb.Helper()
	c, err := NewCipher(key, appID)
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

const testNonce = "1372623149"

// plainQuery signs a plain push sent at the given time.
func plainQuery(token string, sent int64) Query {
	timestamp := strconv.FormatInt(sent, 10)
	return Query{Signature: Sign(token, timestamp, testNonce), Timestamp: timestamp, Nonce: testNonce}
}

// sealedPush seals and signs msg as WeChat does in secure mode.
func sealedPush(c *Cipher, token string, sent int64, msg []byte) (Query, []byte) {
	return signedEnvelope(token, sent, c.Seal([16]byte([]byte("0123456789abcdef")), msg))
}

func signedEnvelope(token string, sent int64, encrypt string) (Query, []byte) {
	q := plainQuery(token, sent)
	q.EncryptType = "aes"
	q.MsgSignature = Sign(token, q.Timestamp, q.Nonce, encrypt)
	return q, []byte("<xml><ToUserName><![CDATA[gh_3f1c9a7e52b0]]></ToUserName><Encrypt><![CDATA[" + encrypt + "]]></Encrypt></xml>")
}

func mustQuery(tb testing.TB, raw string) Query {
	tb.Helper()
	q, err := ParseQuery(raw)
	if err != nil {
		tb.Fatal(err)
	}
	return q
}

func (q *Query) encode() string {
	v := url.Values{}
	for name, value := range map[string]string{
		"signature": q.Signature, "msg_signature": q.MsgSignature, "timestamp": q.Timestamp, "nonce": q.Nonce,
		"encrypt_type": q.EncryptType, "echostr": q.EchoStr, "openid": q.OpenID,
	} {
		if value != "" {
			v.Set(name, value)
		}
	}
	return v.Encode()
}

// textPush is a plain text push with the given content.
func textPush(content string) []byte {
	return []byte("<xml><ToUserName><![CDATA[gh_3f1c9a7e52b0]]></ToUserName>\n" +
		"<FromUserName><![CDATA[oTk5q6WcY7bZr-0PqX2mN8sLdE4A]]></FromUserName>\n<CreateTime>1767225600</CreateTime>\n" +
		"<MsgType><![CDATA[text]]></MsgType>\n<Content>" + content + "</Content>\n<MsgId>25231685381080100</MsgId>\n</xml>")
}

// repeat is for inputs of a certain size.
func repeat(s string, n int) string { return strings.Repeat(s, n) }
