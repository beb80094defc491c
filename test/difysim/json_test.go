package difysim

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestBothStylesAreJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.String().Draw(t, "text")
		number := rapid.Float64Range(-1e6, 1e6).Draw(t, "number")
		for _, style := range []*jsonStyle{spaced, compact} {
			got := style.append(nil, object{
				{"t", text}, {"f", number}, {"i", int64(-3)}, {"n", nil}, {"b", true}, {"l", list{1, "x", []string{"a", text}}},
				{"m", map[string]any{text: json.Number("1e3"), "": []any{}}},
			})
			if style.ascii && bytes.IndexFunc(got, func(r rune) bool { return r >= utf8.RuneSelf }) >= 0 {
				t.Fatalf("not ASCII: %s", got)
			}
			var back map[string]any
			if err := json.Unmarshal(got, &back); err != nil {
				t.Fatalf("%v: %s", err, got)
			}
			want := map[string]any{
				"t": text, "f": number, "i": -3.0, "n": nil, "b": true, "l": []any{1.0, "x", []any{"a", text}},
				"m": map[string]any{"": []any{}, text: 1000.0},
			}
			if text == "" {
				delete(want, "m") // two members of one name
				delete(back, "m")
			}
			if diff := cmp.Diff(want, back); diff != "" {
				t.Fatalf("-want +got:\n%s", diff)
			}
		}
	})
}

func TestStylesEscapeAsRecorded(t *testing.T) {
	value := object{{"a", "您\"\\\n\r\t\b\f\x01\x7f<&>😀"}, {"b", 1.0}, {"c", 0.25}}
	for want, style := range map[string]*jsonStyle{
		`{"a": "\u60a8\"\\\n\r\t\b\f\u0001\u007f<&>\ud83d\ude00", "b": 1.0, "c": 0.25}`: spaced,
		`{"a":"您\"\\\n\r\t\b\f\u0001` + "\x7f" + `<&>😀","b":1.0,"c":0.25}`:              compact,
	} {
		if got := string(style.append(nil, value)); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

func TestSplitKeepsTheText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringN(0, 500, -1).Draw(t, "text")
		most := rapid.IntRange(1, maxDeltas).Draw(t, "most")
		pieces := split(text, most)
		if got := strings.Join(pieces, ""); got != text || len(pieces) > most {
			t.Fatalf("%d pieces of at most %d: %q", len(pieces), most, pieces)
		}
		for _, piece := range pieces {
			if piece == "" || !utf8.ValidString(piece) {
				t.Fatalf("piece %q of %q", piece, pieces)
			}
		}
	})
}

func TestEchoQuotesAndHasTheWantedLength(t *testing.T) {
	for _, length := range []int{0, 1, 20, 100, 176, 5000} {
		got := Echo("多少钱", length)
		if !strings.HasPrefix(got, "回答「多少钱」：") || !strings.HasSuffix(got, "。") || !utf8.ValidString(got) {
			t.Errorf("%d: %q", length, got)
		}
		if n := utf8.RuneCountInString(got); length >= 20 && n != length {
			t.Errorf("%d characters, want %d", n, length)
		}
	}
	if got := Echo(strings.Repeat("长", 5000), 0); utf8.RuneCountInString(got) > echoedRunes+30 {
		t.Errorf("the whole of a long question is quoted")
	}
}

func TestNamesOfReleasesAndModes(t *testing.T) {
	for _, want := range []Release{V0_6_5, V1_12_1, V1_13_3} {
		text, _ := want.MarshalText()
		var got Release
		if err := got.UnmarshalText(text); err != nil || got != want {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	for text, want := range map[string]Mode{
		"chat": Chat, "agent-chat": Agent, "agent": Agent, "advanced-chat": Chatflow, "chatflow": Chatflow,
	} {
		var got Mode
		if err := got.UnmarshalText([]byte(text)); err != nil || got != want {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
}
