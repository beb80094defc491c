package serverconfig

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// The leaves are those that encoding/json reads.
func TestLeaves_AsDecoded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := anyConfig(t)
		// Whatever people write: the check of the characters is given it, too.
		c.Dify.Inputs = rapid.MapOfN(rapid.String(), rapid.String(), 0, 4).Draw(t, "any inputs")
		c.Reply.Notice = rapid.String().Draw(t, "any notice")
		c.Reply.ContinueWords = rapid.SliceOfN(rapid.String(), 0, 4).Draw(t, "any words")
		for name, config := range map[string]any{
			"all": &c, "start": startFields{c.Bot, c.Listen, c.AdminListen, c.Path, c.SecretsDir, c.Session},
		} {
			if is, want := leaves(config), decodedLeaves(t, config); !slices.Equal(is, want) {
				t.Fatalf("%s: %q, want %q", name, is, want)
			}
		}
	})
}

// A leaf's text is what encoding/json reads.
func TestLeafText_AsDecoded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.OneOf(rapid.String().AsAny(), rapid.Int().AsAny(), rapid.Bool().AsAny(), rapid.SliceOf(rapid.String()).AsAny()).Draw(t, "value")
		encoded, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		var want string
		isText := json.Unmarshal(encoded, &want) == nil && encoded[0] == '"'
		if is, ok := (&leaf{value: string(encoded)}).text(); ok != isText || is != want {
			t.Fatalf("%s is the text %q (%v), want %q (%v)", encoded, is, ok, want, isText)
		}
	})
}

func decodedLeaves(t *rapid.T, config any) (all []leaf) {
	var encoded bytes.Buffer
	e := json.NewEncoder(&encoded)
	e.SetEscapeHTML(false)
	if err := e.Encode(config); err != nil {
		t.Fatal(err)
	}
	var add func(object []byte, path string)
	add = func(object []byte, path string) {
		d := json.NewDecoder(bytes.NewReader(object))
		if _, err := d.Token(); err != nil {
			t.Fatal(err)
		}
		for d.More() {
			name, err := d.Token()
			if err != nil {
				t.Fatal(err)
			}
			var value json.RawMessage
			if err := d.Decode(&value); err != nil {
				t.Fatal(err)
			}
			field := child(path, fmt.Sprint(name))
			if value[0] == '{' && !slices.Contains(freeform, field) {
				add(value, field)
			} else {
				all = append(all, leaf{field, string(value)})
			}
		}
	}
	add(encoded.Bytes(), "")
	return all
}

// BenchmarkConfig does what the operator does with a configuration whenever it looks at a bot.
func BenchmarkConfig(b *testing.B) {
	c := Default()
	c.Bot, c.SecretsDir = "bots/winter", "/etc/wechatbot/secrets"
	b.ReportAllocs()
	for b.Loop() {
		if err := c.Check(); err != nil {
			b.Fatal(err)
		}
		_, _ = c.StartHash(), Marshal(c)
	}
}
