package wechat

import (
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// vector is one of testdata/wechat/vectors.json: Tencent's own examples, other implementations' and this project's.
type vector struct {
	ID             string   `json:"id"`
	Kind           string   `json:"kind"`
	Token          string   `json:"token"`
	EncodingAESKey string   `json:"encoding_aes_key"`
	ReceiveID      string   `json:"receive_id"`
	Timestamp      string   `json:"timestamp"`
	Nonce          string   `json:"nonce"`
	EchoStr        string   `json:"echostr"`
	ExpectBody     string   `json:"expect_body"`
	Signature      string   `json:"signature"`
	MsgSignature   string   `json:"msg_signature"`
	Encrypt        string   `json:"encrypt"`
	Random16       string   `json:"random16"`
	Msg            string   `json:"msg"`
	Envelope       string   `json:"envelope"`
	Parts          []string `json:"parts"`
}

func loadVectors(tb testing.TB) (positive, negative []vector) {
	tb.Helper()
	var v struct{ Vectors, Negative []vector }
	if err := json.Unmarshal(readFixture(tb, "vectors.json"), &v); err != nil {
		tb.Fatal(err)
	}
	if len(v.Vectors) == 0 || len(v.Negative) == 0 {
		tb.Fatal("vectors.json is empty")
	}
	return v.Vectors, v.Negative
}

func (v *vector) query() Query {
	return Query{Signature: v.Signature, MsgSignature: v.MsgSignature, Timestamp: v.Timestamp, Nonce: v.Nonce, EncryptType: "aes", EchoStr: v.EchoStr}
}

func (v *vector) sent(t *testing.T) time.Time {
	t.Helper()
	seconds, err := strconv.ParseInt(v.Timestamp, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return time.Unix(seconds, 0)
}

func (v *vector) account(t *testing.T) *Account {
	return mustAccount(t, Options{Tokens: []string{v.Token}, AppID: v.ReceiveID, EncodingAESKeys: []string{v.EncodingAESKey}})
}

func TestPositiveVectors(t *testing.T) {
	positive, _ := loadVectors(t)
	for _, v := range positive {
		t.Run(v.ID, func(t *testing.T) {
			if v.Signature != "" && v.Kind != "signature_raw" {
				if got := Sign(v.Token, v.Timestamp, v.Nonce); got != v.Signature {
					t.Errorf("signature is %s, want %s", got, v.Signature)
				}
			}
			if v.MsgSignature != "" {
				if got := Sign(v.Token, v.Timestamp, v.Nonce, v.Encrypt); got != v.MsgSignature {
					t.Errorf("msg_signature is %s, want %s", got, v.MsgSignature)
				}
			}
			switch v.Kind {
			case "url_verify":
				v.testVerifyURL(t)
			case "plain_signature":
			case "signature_raw":
				if got := Sign(v.Parts[0], v.Parts[1], v.Parts[2], v.Parts[3:]...); got != v.Signature {
					t.Errorf("signature is %s, want %s", got, v.Signature)
				}
			case "inbound":
				v.testCipher(t)
				v.testOpen(t)
			case "reply":
				v.testCipher(t)
				v.testEnvelope(t)
			case "encrypt_only", "encrypted_echostr":
				v.testCipher(t)
			default:
				t.Fatalf("kind %q is not tested", v.Kind)
			}
		})
	}
}

func (v *vector) testVerifyURL(t *testing.T) {
	a := mustAccount(t, Options{Tokens: []string{v.Token}})
	echo, err := a.VerifyURL(v.query(), v.sent(t))
	if err != nil || echo != v.ExpectBody {
		t.Errorf("echo is %q, error %v; want %q", echo, err, v.ExpectBody)
	}
}

func (v *vector) testCipher(t *testing.T) {
	c := mustCipher(t, v.EncodingAESKey, v.ReceiveID)
	got, err := c.Open(v.Encrypt)
	if err != nil || string(got) != v.Msg {
		t.Errorf("Open gives %q, error %v; want %q", got, err, v.Msg)
	}
	if v.Random16 == "" { // compat_mode repeats ok_text's ciphertext without it
		return
	}
	if sealed := c.Seal([16]byte([]byte(v.Random16)), []byte(v.Msg)); sealed != v.Encrypt {
		t.Errorf("Seal gives\n%s, want\n%s", sealed, v.Encrypt)
	}
}

func (v *vector) testOpen(t *testing.T) {
	body := []byte("<xml><ToUserName>x</ToUserName><Encrypt>" + v.Encrypt + "</Encrypt></xml>")
	p, err := v.account(t).Open(v.query(), body, v.sent(t))
	if strings.HasPrefix(v.Msg, "{") { // a mini program's JSON example: authentic, but not for an Official Account
		unusable.check(t, p, err)
		return
	}
	parses.check(t, p, err)
	if p.MsgType != "text" || p.Content == "" {
		t.Errorf("type %q, content %q", p.MsgType, p.Content)
	}
}

func (v *vector) testEnvelope(t *testing.T) {
	c := mustCipher(t, v.EncodingAESKey, v.ReceiveID)
	plain := c.seal([16]byte([]byte(v.Random16)), append(make([]byte, headLen), v.Msg...))
	got := string(envelope(v.Token, plain, v.Timestamp, v.Nonce))
	if v.Envelope != "" && got != v.Envelope {
		t.Errorf("envelope is\n%s, want\n%s", got, v.Envelope)
	}
	if !strings.Contains(got, v.Encrypt) || !strings.Contains(got, v.MsgSignature) {
		t.Errorf("envelope %s lacks ciphertext or signature", got)
	}
}

func TestNegativeVectors(t *testing.T) {
	_, negative := loadVectors(t)
	want := map[string]verdict{
		"msg_signature_is_plain_signature": refused(ReasonSignature),
		"uppercase_signature":              refused(ReasonSignature),
		"appid_prefix":                     refused(ReasonCipher),
		"empty_appid":                      refused(ReasonCipher),
		"pad_33":                           refused(ReasonCipher),
		"pad_inconsistent":                 refused(ReasonCipher),
		"len_overrun":                      refused(ReasonCipher),
		"len_huge":                         refused(ReasonCipher),
		"len_zero":                         unusable,
		"only_random":                      refused(ReasonCipher),
		"cipher_not_block_multiple":        refused(ReasonCipher),
		"cipher_empty":                     refused(ReasonEnvelope),
		"cipher_base64_url":                refused(ReasonCipher),
		"cipher_bit_flip":                  unusable, // signed by someone who has the token but not the key
		"future_timestamp":                 refused(ReasonWindow),
		"timestamp_ms":                     refused(ReasonWindow),
		"nested_encrypt":                   unusable,
	}
	now := loadManifest(t).now()
	for _, v := range negative {
		t.Run(v.ID, func(t *testing.T) {
			verdict, known := want[v.ID]
			if !known {
				t.Fatal("vector has no verdict")
			}
			body := []byte("<xml><ToUserName>gh_3f1c9a7e52b0</ToUserName><Encrypt>" + v.Encrypt + "</Encrypt></xml>")
			p, err := v.account(t).Open(v.query(), body, now)
			verdict.check(t, p, err)
		})
	}
}

func TestOpeningFailsWithOneError(t *testing.T) {
	_, negative := loadVectors(t)
	bad := []string{"appid_prefix", "empty_appid", "pad_33", "pad_inconsistent", "len_overrun", "len_huge", "only_random", "cipher_not_block_multiple", "cipher_base64_url"}
	tried := 0
	for _, v := range negative {
		if !slices.Contains(bad, v.ID) {
			continue
		}
		tried++
		got, err := mustCipher(t, v.EncodingAESKey, v.ReceiveID).Open(v.Encrypt)
		if got != nil || !errors.Is(err, errCipher) || err.Error() != errCipher.Error() {
			t.Errorf("%s: %q, %v", v.ID, got, err)
		}
	}
	if tried != len(bad) {
		t.Errorf("tried %d vectors, want %d", tried, len(bad))
	}
}
