package turn

import (
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wechatbot/wechatbot-operator/api/serverconfig"
)

// What a configuration may replace, and what is said in each language, are the same texts.
func TestEveryLanguageHasEveryText(t *testing.T) {
	want := slices.Sorted(slices.Values(serverconfig.TextKeys))
	want = append(want, TextHumanOffline) // which handover.offline replaces
	slices.Sort(want)
	for language, words := range map[string]map[string]string{Chinese: chinese, English: english} {
		if diff := cmp.Diff(want, slices.Sorted(maps.Keys(words))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", language, diff)
		}
		for key, word := range words {
			if len(word) > serverconfig.MaxTextBytes || (word == "" && key != TextWelcome) {
				t.Errorf("%s: the text %q has %d bytes", language, key, len(word))
			}
		}
	}
}

func TestAFailureWithoutATextOfItsOwn(t *testing.T) {
	if got, want := NewTexts(English, nil).get("nobody's"), english[TextFailed]; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := NewTexts(English, map[string]string{TextFailed: "ours"}).get("nobody's"); got != "ours" {
		t.Errorf("%q, want the replaced text", got)
	}
}
