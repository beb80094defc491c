package page

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"
)

func TestToken(t *testing.T) {
	key := NewKey("token", "app-key")
	name := Name{Follower: "oFollower-0123456789abcdefgh", Turn: "24000000000000001", Until: time.Unix(1_800_000_000, 0)}
	token := key.seal(name)
	if got, ok := key.open(token); !ok || got != name {
		t.Fatalf("opened %v, %v, want %v", got, ok, name)
	}
	if again := NewKey("token", "app-key").seal(name); again != token {
		t.Error("another replica makes another address")
	}
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(raw), "oFollower") || strings.Contains(string(raw), name.Turn) || len(token) > 110 {
		t.Errorf("the token tells the name or is long: %s", token)
	}
	for n := range len(raw) * 8 {
		forged := append([]byte(nil), raw...)
		forged[n/8] ^= 1 << (n % 8)
		if got, ok := key.open(base64.RawURLEncoding.EncodeToString(forged)); ok {
			t.Fatalf("with bit %d changed it opens as %v", n, got)
		}
	}
	for what, wrong := range map[string]string{
		"nothing": "", "short": "AAAA", "cut": token[:len(token)-4], "longer": token + "AAAA", "padded": token + "==", "no base64": strings.Repeat("!", len(token)),
		"standard base64": strings.Repeat("+/", 40), "very long": strings.Repeat("A", 1<<20), "of another account": NewKey("other", "app-key").seal(name),
		"of another app": NewKey("token", "other").seal(name), "of secrets joined otherwise": NewKey("tokena", "pp-key").seal(name), "zeros": base64.RawURLEncoding.EncodeToString(make([]byte, 40)),
		"with a newline": token[:10] + "\n" + token[10:],
	} {
		if got, ok := key.open(wrong); ok {
			t.Errorf("%s opens as %v", what, got)
		}
	}
	for what, name := range map[string]Name{
		"a long follower": {Follower: strings.Repeat("o", 256), Turn: "1", Until: name.Until},
		"a long turn":     {Follower: "o", Turn: strings.Repeat("1", 256), Until: name.Until},
		"no end":          {Follower: "o", Turn: "1"},
	} {
		if got := key.seal(name); got != "" {
			t.Errorf("%s gets the token %s", what, got)
		}
	}
	if got := (Key{}).seal(name); got != "" {
		t.Errorf("no key makes %s", got)
	}
	if _, ok := (Key{}).open(token); ok {
		t.Error("no key opens")
	}
}
