package docs_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wechatbot/wechatbot-operator/test/docs"
)

const sample = "# One `two`: Three, 四!\n" +
	"See [a](b.md#c), ![an image](images/d.png \"title\"), `[no](link)` and [e][f].\n" +
	"[f]: https://example.com/\n" +
	"## One two three 四\n" +
	"<a id=\"mark\"></a> `--flag` and ``a ` b``\n" +
	"<!-- file: bot.yaml -->\n" +
	"```yaml\n" +
	"[x](not-a-link)\n" +
	"```\n" +
	"<!-- an ordinary comment -->\n" +
	"1. In a list:\n\n" +
	"   <!-- run: e2e -->\n\n" +
	"   ```console\n" +
	"   $ one \\\n" +
	"       --more\n" +
	"   what it prints\n" +
	"   $ two\n" +
	"   ```\n" +
	"<!-- run: no, it costs money -->\n" +
	"~~~console\n" +
	"$ three\n" +
	"~~~\n" +
	"## One two three 四\n"

func TestParse(t *testing.T) {
	page, err := docs.Parse("a/page.md", sample)
	if err != nil {
		t.Fatal(err)
	}
	want := docs.Page{
		Path: "a/page.md",
		Blocks: []docs.Block{
			{Line: 7, Language: "yaml", File: "bot.yaml", Text: "[x](not-a-link)\n"},
			{Line: 15, Language: "console", Run: docs.E2E, Text: "$ one \\\n    --more\nwhat it prints\n$ two\n"},
			{Line: 22, Language: "console", Run: docs.No, Why: "it costs money", Text: "$ three\n"},
		},
		Links: []docs.Link{{2, "b.md#c"}, {2, "images/d.png"}, {3, "https://example.com/"}},
		Anchors: []string{
			"one-two-three-四", "one-two-three-四-1", "mark", "one-two-three-四-2",
		},
		Spans: []docs.Span{{1, "two"}, {2, "[no](link)"}, {5, "--flag"}, {5, "a ` b"}},
	}
	if diff := cmp.Diff(want, page); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	commands := []docs.Command{{16, "one \\\n    --more"}, {19, "two"}}
	if diff := cmp.Diff(commands, page.Blocks[1].Commands()); diff != "" {
		t.Errorf("commands (-want +got):\n%s", diff)
	}
	if c := page.Blocks[0].Commands(); c != nil {
		t.Errorf("a YAML block has the commands %v", c)
	}
}

func TestParseRefuses(t *testing.T) {
	for _, c := range []struct{ name, content, want string }{
		{"a block without end", "text\n```yaml\na: b\n", "p.md:2: the block has no end"},
		{"an unknown mark", "<!-- run: later -->\n```console\n```\n", `p.md:1: run: "later" is none of`},
		{"no without a reason", "<!-- run: no -->\n```console\n```\n", "p.md:1: run: no, and only no,"},
		{"e2e with a reason", "<!-- run: e2e, why -->\n```console\n```\n", "p.md:1: run: no, and only no,"},
		{"a comment before text", "<!-- run: e2e -->\ntext\n```console\n```\n", "p.md:1: the comment is not followed"},
		{"a comment at the end", "text\n<!-- run: e2e -->\n", "p.md:2: the comment is not followed"},
		{"a file elsewhere", "<!-- file: ../bot.yaml -->\n```yaml\n```\n", `p.md:1: "../bot.yaml" is not the name of a file`},
	} {
		if _, err := docs.Parse("p.md", c.content); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s…", c.name, err, c.want)
		}
	}
}
