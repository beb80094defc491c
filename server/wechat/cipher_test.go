package wechat

import (
	"bytes"
	"crypto/cipher"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

const (
	testKey   = "wxOperatorFixtureEncodingAESKey0123456789aB"
	otherKey  = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG" // spare bits set
	testAppID = "wx0123456789abcdef"
)

func TestNewCipher_ErrorsHideTheKey(t *testing.T) {
	for name, tc := range map[string]struct{ key, appID, want string }{
		"short key":        {testKey[1:], testAppID, "42 characters instead of 43"},
		"long key":         {testKey + "=", testAppID, "44 characters instead of 43"},
		"no key":           {"", testAppID, "0 characters"},
		"line break":       {testKey[:42] + "\n", testAppID, "base64 alphabet"},
		"foreign letter":   {testKey[:42] + "-", testAppID, "base64 alphabet"},
		"no AppID":         {testKey, "", "AppID"},
		"AppID too long":   {testKey, repeat("w", 65), "AppID"},
		"AppID with space": {testKey, "wx 1", "AppID"},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := NewCipher(tc.key, tc.appID)
			if err == nil || c != nil || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("error is %v, want one with %q", err, tc.want)
			}
			if len(tc.key) > 8 && strings.Contains(err.Error(), tc.key[8:16]) {
				t.Errorf("error %q shows the key", err)
			}
		})
	}
}

func TestSecretsAreNotPrinted(t *testing.T) {
	m := loadManifest(t)
	c := mustCipher(t, testKey, testAppID)
	a, p := openText(t, m, true)
	o := &Options{Tokens: []string{m.Token}, EncodingAESKeys: []string{testKey}}
	for _, v := range []any{c, a, p, o} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
			printed := fmt.Sprintf(verb, v)
			if !strings.HasPrefix(printed, "wechat.") || len(printed) > 24 {
				t.Errorf("%s of %T prints %q", verb, v, printed)
			}
		}
	}
	if got := p.LogValue().String(); got != "wechat.Push(message)" {
		t.Errorf("push logs as %q", got)
	}
}

func TestCipherOpensWhatItSealed(t *testing.T) {
	ciphers := []*Cipher{mustCipher(t, testKey, testAppID), mustCipher(t, otherKey, "wx1")}
	rapid.Check(t, func(rt *rapid.T) {
		msg := rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(rt, "msg")
		random := [16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(rt, "random"))
		for i, c := range ciphers {
			sealed := c.Seal(random, msg)
			got, err := c.Open(sealed)
			if err != nil || !bytes.Equal(got, msg) {
				rt.Fatalf("opened %q, %v; want %q", got, err, msg)
			}
			if _, err := ciphers[1-i].Open(sealed); err == nil {
				rt.Fatal("opened with another key and AppID")
			}
		}
	})
}

func TestCipher_RefusesLenientBase64(t *testing.T) {
	c := mustCipher(t, testKey, testAppID)
	sealed := c.Seal([16]byte{}, []byte("hello"))
	digits, found := strings.CutSuffix(sealed, "==")
	if !found {
		t.Fatal("the example has no padding to play with")
	}
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	last := len(digits) - 1
	sparse := alphabet[strings.IndexByte(alphabet, digits[last])+1] // the same bits, and one of the four spare ones
	for name, bad := range map[string]string{
		"line breaks":   sealed[:4] + "\r\n\r\n" + sealed[4:],
		"spare bits":    digits[:last] + string(sparse) + "==",
		"no padding":    digits,
		"trailing byte": sealed + "A",
	} {
		if got, err := c.Open(bad); err == nil {
			t.Errorf("%s: opened as %q", name, got)
		}
	}
}

func TestCipher_RefusesForeignFrames(t *testing.T) {
	c := mustCipher(t, testKey, testAppID)
	frame := func(length byte, rest string) []byte {
		return append(append(make([]byte, headLen-1), length), rest...)
	}
	encrypt := func(frame []byte) string {
		cipher.NewCBCEncrypter(c.block, c.iv[:]).CryptBlocks(frame, frame)
		return base64.StdEncoding.EncodeToString(frame)
	}
	right := frame(5, "hello"+testAppID+repeat("\x15", 21))
	if got, err := c.Open(encrypt(right)); err != nil || string(got) != "hello" {
		t.Fatalf("opened as %q, %v", got, err)
	}
	for name, wrong := range map[string][]byte{
		"padded to AES's block":     frame(5, "hello"+testAppID+repeat("\x05", 5)),
		"padded by two blocks":      frame(5, "hello"+testAppID+repeat("\x35", 53)),
		"length short of the AppID": frame(4, "hello"+testAppID+repeat("\x15", 21)),
		"another AppID's length":    frame(5, "hello"+testAppID[1:]+repeat("\x16", 22)),
		"another AppID":             frame(5, "hello"+"wx0123456789abcdee"+repeat("\x15", 21)),
		"padding that differs":      frame(5, "hello"+testAppID+"\x14"+repeat("\x15", 20)),
		"nothing before padding":    []byte(repeat("\x20", 32)),
	} {
		if got, err := c.Open(encrypt(wrong)); err == nil {
			t.Errorf("%s: opened as %q", name, got)
		}
	}
}

func TestAnyFlippedBitOfCiphertextIsRefused(t *testing.T) {
	m := loadManifest(t)
	a := m.secure(t)
	q, body := sealedPush(mustCipher(t, m.EncodingAESKey, m.AppID), m.Token, m.Now, readFixture(t, "messages/text.xml"))
	if _, err := a.Open(q, body, m.now()); err != nil {
		t.Fatal(err)
	}
	first, last := bytes.Index(body, []byte("<Encrypt>")), bytes.Index(body, []byte("</Encrypt>"))
	for i := (first + len("<Encrypt><![CDATA[")) * 8; i < (last-len("]]>"))*8; i++ {
		flipped := bytes.Clone(body)
		flipped[i/8] ^= 1 << (i % 8)
		p, err := a.Open(q, flipped, m.now())
		if p != nil || ReasonOf(err) != ReasonSignature && ReasonOf(err) != ReasonEnvelope {
			t.Fatalf("bit %d: %v, %v (reason %q)", i, p, err, ReasonOf(err))
		}
	}
}

// FuzzCipherOpen feeds anything to Open, as base64 and as bytes sealed without a care.
func FuzzCipherOpen(f *testing.F) {
	positive, negative := loadVectors(f)
	for _, v := range append(positive, negative...) {
		f.Add(v.Encrypt)
	}
	c := mustCipher(f, testKey, testAppID)
	f.Fuzz(func(t *testing.T, encrypted string) {
		msg, err := c.Open(encrypted)
		if err != nil {
			if msg != nil || err.Error() != errCipher.Error() {
				t.Fatalf("%q, %v", msg, err)
			}
			return
		}
		again, err := c.Open(c.Seal([16]byte{}, msg))
		if err != nil || !bytes.Equal(again, msg) {
			t.Fatalf("%q seals and opens as %q, %v", msg, again, err)
		}
	})
}
