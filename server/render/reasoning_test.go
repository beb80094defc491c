package render

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestVisibleOfAGrowingAnswer(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"no tag", "a < b", "a < b"},
		{"open", "a<think>b", "a"},
		{"tail that could become a tag", "a<thi", "a"},
		{"a bracket", "a<", "a"},
		{"closing tail", "a</thin", "a"},
		{"tag with attributes that go on", "a<think x=", "a"},
		{"tail that cannot", "a<thing", "a<thing"},
		{"closed", "a<think>b</think>c", "ac"},
		{"only a closing tag", "a</think>c", "c"},
		{"details that may be reasoning", "a<details open><summary> Thin", "a"},
		{"details without summary yet", "a<details open>\n", "a"},
		{"details of another kind", "a<details><summary>More", "a<details><summary>More"},
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
		{"comment in an open fence", "```\n<!-- a -->", "```\n"},
		{"details in an open fence", "```\n<details><summary>Thinking", "```\n"},
		{"tag that never ends", "a<think " + strings.Repeat("x", 600), "a<think " + strings.Repeat("x", 600)},
		{"details whose tag never ends", "a<details " + strings.Repeat("x", 600), "a<details " + strings.Repeat("x", 600)},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := Visible(c.in, false); got != c.want {
				t.Errorf("Visible(%q, false) = %q, want %q", c.in, got, c.want)
			}
		})
	}
}

func TestVisibleOfACompleteAnswer(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"tail that looked like a tag", "a<thi", "a<thi"},
		{"tag without end", "a<think", "a<think"},
		{"comment without end", "a<!-- b</think", "a<!-- b</think"},
		{"lone end behind a comment that is open", "a<!-- b</think>c", "c"},
		{"details that end early", "a<details><summary>Thi", "a<details><summary>Thi"},
		{"details not closed", "a<details><summary>Thinking</summary>b", "a"},
		{"end tag without bracket", "<think>a</think b</think>c", "c"},
		{"fence that is not closed hides nothing", "~~~\na\n<think>b</think>c", "~~~\na\nc"},
		{"shorter fences do not end it", "````\n```\n<think>\n````\na", "````\n```\n<think>\n````\na"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := Visible(c.in, true); got != c.want {
				t.Errorf("Visible(%q, true) = %q, want %q", c.in, got, c.want)
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

func TestReasoningNeverLeaks(t *testing.T) {
	for _, md := range reasonings {
		for i := range len(md) + 1 {
			for _, got := range []string{Partial(md[:i]), Visible(clean(md[:i]), false)} {
				if strings.Contains(got, "SECRET") {
					t.Fatalf("after %d bytes of %q: %q", i, md, got)
				}
			}
		}
		if got := Text(md); strings.Contains(got, "SECRET") {
			t.Errorf("Text(%q) = %q", md, got)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		before := strings.ReplaceAll(markdown.Draw(t, "before"), "`", "")
		before = strings.NewReplacer("~", "", "<", "", "-->", "").Replace(before)
		md := before + "<think>SECRET。\nSECRET。</think>" + markdown.Draw(t, "after")
		i := rapid.IntRange(0, len(md)).Draw(t, "offset")
		for _, got := range []string{Text(md), Partial(md), Partial(md[:i])} {
			if strings.Contains(got, "SECRET") {
				t.Fatalf("%q shows %q", md[:i], got)
			}
		}
	})
}

func TestVisibleOnlyGrows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		md := clean(strings.ReplaceAll(markdown.Draw(t, "markdown"), "</think", ""))
		whole := Visible(md, true)
		for i := range len(md) + 1 {
			if got := Visible(md[:i], false); !strings.HasPrefix(whole, got) {
				t.Fatalf("after %d bytes of %q: %q, whole %q", i, md, got, whole)
			}
		}
	})
}
