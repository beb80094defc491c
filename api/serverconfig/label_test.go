package serverconfig

import "testing"

func TestAILabelText(t *testing.T) {
	for file, want := range map[string]string{
		"": "（内容由AI生成）", "reply: {language: en}\n": "(AI-generated)", "reply: {aiLabel: ''}\n": "", "reply: {aiLabel: AI, language: en}\n": "AI",
	} {
		c := parse(t, minimal+file)
		if got := c.Reply.AILabelText(); got != want {
			t.Errorf("%q: %q, want %q", file, got, want)
		}
		again := parse(t, string(Marshal(c)))
		if got := again.Reply.AILabelText(); got != want {
			t.Errorf("%q, written and read: %q, want %q", file, got, want)
		}
	}
}
