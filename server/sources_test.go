package server

import (
	"testing"

	"github.com/wechatbot/wechatbot-operator/test/difysim"
)

func TestSources(t *testing.T) {
	for name, test := range map[string]struct {
		config  string
		sources []string
		want    string
	}{
		"three at most":  {"sources: true", []string{"借阅须知.pdf", "借阅须知.pdf", "a_b_c*.docx", " <b> [x](y) ", "第四个"}, "答案。\n\n参考：借阅须知.pdf · a_b_c*.docx · <b> ［x］(y)"},
		"in English":     {"sources: true, language: en", []string{"a.pdf", "b.pdf"}, "答案。\n\nSources: a.pdf · b.pdf"},
		"off":            {"sources: false", []string{"a.pdf"}, "答案。"},
		"none are known": {"sources: true", nil, "答案。"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				p := newPlace(t, minimal+"reply: {aiLabel: '', "+test.config+"}\n")
				p.dify.SetBehaviour(difysim.Behaviour{Answer: "答案。", Sources: test.sources})
				x, err := p.run(t).platform(t).Follower("").Send(t.Context(), "问")
				if err != nil || x.Text != test.want {
					t.Errorf("got %q, %v, want %q", x.Text, err, test.want)
				}
			})
		})
	}
}
