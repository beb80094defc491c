package render

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestFilter_Growing(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"no tag", "a < b", "a < b"},
		{"open", "a<think>b", "a"},
		{"tail that could become a tag", "a<thi", "a"},
		{"a bracket", "a<", "a"},
		{"closing tail", "a</thin", "a"},
		{"tag with attributes that go on", "a<think x=", "a"},
		{"tail that cannot", "a<thing ", "a<thing "},
		{"name of a tag that may go on", "a<thing", "a"},
		{"closed", "a<think>b</think>c", "ac"},
		{"only a closing tag", "a</think>c", "c"},
		{"details that may be reasoning", "a<details open><summary> Thin", "a"},
		{"details without summary yet", "a<details open>\n", "a"},
		{"details of another kind", "a<details><summary>More</summary>", "aMore"},
		{"reasoning in details", "a<details><summary>Thought</summary>b", "a"},
		{"comment", "a<!-- b", "a"},
		{"closed comment", "a<!-- b -->c", "ac"},
		{"span that may be closed", "a `<think>", "a `"},
		{"span that is closed", "a `<think>` b", "a `<think>` b"},
		{"span whose end may grow", "a `<think>`", "a `"},
		{"fence that may be closed", "```\n<think>", "```\n"},
		{"fence whose end may go on", "```\n<think>\n```", "```\n"},
		{"fence that is closed", "```\n<think>\n```\n<think>", "```\n<think>\n```\n"},
		{"fence in an item", "- > ~~~\n  > <think>\n  > ~~~\nb", "- > ~~~\n  > <think>\n  > ~~~\nb"},
		{"comment in an open fence", "```\n<!-- a -->", "```\n<!-- a -->"},
		{"details in an open fence", "```\n<details><summary>Thinking", "```\n"},
		{"tag that never ends", "a<think " + strings.Repeat("x", 600), "a<think " + strings.Repeat("x", 600)},
		{"details whose tag never ends", "a<details " + strings.Repeat("x", 9000), "a<details " + strings.Repeat("x", 9000)},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := filtered(c.in, false); got != c.want {
				t.Errorf("filtered(%q, false) = %q, want %q", c.in, got, c.want)
			}
		})
	}
}

func TestFilter_Complete(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"tail that looked like a tag", "a<thi", "a<thi"},
		{"tag without end", "a<think", "a<think"},
		{"comment without end", "a<!-- b</think", "a<!-- b</think"},
		{"lone end behind a comment that is open", "a<!-- b</think>c", "c"},
		{"details that end early", "a<details><summary>Thi", "aThi"},
		{"details not closed", "a<details><summary>Thinking</summary>b", "a"},
		{"end tag without bracket", "<think>a</think b</think>c", "c"},
		{"fence that is not closed hides nothing", "~~~\na\n<think>b</think>c", "~~~\na\nc"},
		{"shorter fences do not end it", "````\n```\n<think>\n````\na", "````\n```\n<think>\n````\na"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := filtered(c.in, true); got != c.want {
				t.Errorf("filtered(%q, true) = %q, want %q", c.in, got, c.want)
			}
		})
	}
}

// reasonings are answers whose word SECRET must never be seen, whatever of them has come.
var reasonings = []string{
	"<think>SECRET。</think>答。",
	"<think>\nSECRET。\n\n```\nSECRET。\n</think>\n答。",
	"<Think class=\"x\">\nSECRET。`</THINK>`\n答。",
	"答。\n<think>SECRET。\n</think>\n再。<think>SECRET。</think>",
	"<thinking>SECRET。\n</thinking>答。",
	"```\ncode\n```\n<think>SECRET。\n</think>答。",
	"a ` b\n<think>SECRET。 ` \n</think>答。\n",
	"<details style=\"color:gray;background-color: #f8f8f8;padding: 8px;border-radius: 4px;\" open> <summary> Thinking... </summary>SECRET。\n</details>答。",
	"- <think>SECRET。\nSECRET。\n</think>\n- 答。\n",
	"> <think>SECRET。\n> SECRET。\n\n</think>\n答。\n",
	"<!-- SECRET。 -->答。",
	"<think>SECRET。",
	"<th\x00ink>SECRET。</th\x01ink>答。",
}

// reasoningForm is a way to write reasoning.
type reasoningForm struct {
	open, end string
	loneEnd   bool // its end alone makes all before it reasoning
}

// reasoningForms has a form for each entry of the tables.
func reasoningForms() []reasoningForm {
	var forms []reasoningForm
	for name := range reasoningNames {
		forms = append(forms,
			reasoningForm{"<" + name + ">", "</" + name + ">", true},
			reasoningForm{"<" + strings.ToUpper(name) + " time=\"1\">\n", "\n</" + strings.ToUpper(name) + " >", true})
		if !strings.Contains(name, ":") {
			for _, start := range startAffixes {
				for _, end := range endAffixes {
					forms = append(forms, reasoningForm{"<|" + start[0] + name + start[1] + "|>", "<|" + end[0] + name + end[1] + "|>", true})
				}
			}
			forms = append(forms,
				reasoningForm{"<|" + name + "|>", "<|end|>", false},
				reasoningForm{"<|channel|>" + name + "<|message|>", "<|end|>", false},
				reasoningForm{"<|channel>" + name + "\n", "<channel|>", true},
				reasoningForm{"<|start|>assistant<|channel|>" + name + "<|message|>", "<|end|><|start|>assistant<|channel|>final<|message|>", true})
		}
	}
	for _, m := range reasoningMarks {
		forms = append(forms, reasoningForm{m.open, m.end, true})
	}
	for _, m := range callMarks {
		forms = append(forms, reasoningForm{m.open, m.end, false})
	}
	for name := range callTags {
		forms = append(forms, reasoningForm{"<" + name + ">", "</" + name + ">", false})
	}
	for _, word := range summaryWords {
		forms = append(forms, reasoningForm{"<details open> <summary> " + word + "... </summary>", "</details>", false})
	}
	return forms
}

func TestReasoning_EachForm(t *testing.T) {
	const secret = "SECRET。\n\n- SECRET `x` <b>SECRET。</b>\n"
	for _, f := range reasoningForms() {
		for _, c := range []struct{ md, want string }{
			{f.open + secret + f.end + "答。", "答。"},
			{"甲。\n\n" + f.open + secret + f.end + "\n\n答。", "甲。\n\n答。"},
			{"甲。\n\n" + f.open + secret, "甲。"},
			{f.open + f.end + f.open + secret + f.end + "答。", "答。"},
			{"- 甲\n- " + f.open + "SECRET" + f.end + "乙", "• 甲\n• 乙"},
		} {
			if strings.Contains(f.end, "final") && strings.HasPrefix(c.want, "甲") || strings.Contains(f.open, "SECRET") {
				continue // what stands before the only channel that is shown belongs to another
			}
			if got := textOf(c.md); got != c.want {
				t.Errorf("Text(%q) = %q, want %q", c.md, got, c.want)
			}
			for i := range len(c.md) + 1 {
				if got := partialOf(c.md[:i]); strings.Contains(got, "SECRET") {
					t.Fatalf("after %d bytes of %q: %q", i, c.md, got)
				}
			}
		}
		if got, want := textOf("SECRET。\n\n"+f.end+"答。"), "答。"; f.loneEnd && got != want {
			t.Errorf("behind the end %q alone: %q, want %q", f.end, got, want)
		}
		code := strings.TrimSpace(f.open) + "甲" + strings.TrimSpace(f.end)
		if got := textOf("```\n" + code + "\n```"); got != code {
			t.Errorf("code %q becomes %q", code, got)
		}
	}
	for _, p := range preambles {
		md := p.open + "SECRET。\n" + p.end + "答。"
		if got := textOf(md); got != "答。" {
			t.Errorf("Text(%q) = %q", md, got)
		}
		for i := range len(md) {
			if got := partialOf(md[:i]); strings.Contains(got, "SECRET") {
				t.Errorf("after %d bytes of %q: %q", i, md, got)
			}
		}
	}
}

func TestReasoning_NeverShown(t *testing.T) {
	for _, md := range reasonings {
		for i := range len(md) + 1 {
			for _, got := range []string{partialOf(md[:i]), filtered(clean(md[:i]), false)} {
				if strings.Contains(got, "SECRET") {
					t.Fatalf("after %d bytes of %q: %q", i, md, got)
				}
			}
		}
		if got := textOf(md); strings.Contains(got, "SECRET") {
			t.Errorf("Text(%q) = %q", md, got)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		before := strings.ReplaceAll(markdown.Draw(t, "before"), "`", "")
		before = strings.NewReplacer("~", "", "<", "", "-->", "").Replace(before)
		md := before + "<think>SECRET。\nSECRET。</think>" + markdown.Draw(t, "after")
		i := rapid.IntRange(0, len(md)).Draw(t, "offset")
		for _, got := range []string{textOf(md), partialOf(md), partialOf(md[:i])} {
			if strings.Contains(got, "SECRET") {
				t.Fatalf("%q shows %q", md[:i], got)
			}
		}
	})
}

func TestFilter_OnlyGrows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		md := clean(markdown.Draw(t, "markdown"))
		if takesBack(md) {
			return
		}
		o := &Options{}
		whole := o.filtered(md, true)
		for i := range len(md) + 1 {
			if got := o.filtered(clean(md[:i]), false); !strings.HasPrefix(whole, got) {
				t.Fatalf("after %d bytes of %q: %q, whole %q", i, md, got, whole)
			}
		}
	})
}

// filtered is what the filter leaves of an answer, without private marks.
func filtered(markdown string, final bool) string {
	return unmarked((&Options{}).filtered(markdown, final))
}

func TestVisible(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"<think>想</think>\n\n# 标题\n\n<table><tr><td>**甲**</td></tr></table><!-- 注 -->", "\n\n# 标题\n\n<table><tr><td>**甲**</td></tr></table>"},
		{"<details><summary><b>思考</b></summary>想</details>[a](/files/b)<|im_end|>", "[a](/files/b)"},
		{"<think>想</think>\n\n```markdown\n# 标题\n\n```go\na\n```\n\n<b>甲</b>\n```\n", "\n\n# 标题\n\n```go\na\n```\n\n<b>甲</b>\n\n"},
		{"`<think>`\r\n<script>a</script>", "`<think>`\n<script>a</script>"},
	} {
		if got := Visible(c.in); got != c.want {
			t.Errorf("Visible(%q) = %q, want %q", c.in, got, c.want)
		}
	}
}
