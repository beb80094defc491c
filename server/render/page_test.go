package render

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// pages cuts all of text.
func pages(t interface{ Fatalf(string, ...any) }, text string, limit int) []string {
	var all []string
	for from := 0; from < len(text); {
		end, next := Page(text, from, limit)
		if end <= from || next < end || next > len(text) {
			t.Fatalf("Page(%q, %d, %d) = %d, %d", text, from, limit, end, next)
		}
		if skipped := text[end:next]; strings.Trim(skipped, " \t\n") != "" {
			t.Fatalf("Page(%q, %d, %d) skips %q", text, from, limit, skipped)
		}
		all = append(all, text[from:end])
		from = next
	}
	return all
}

func TestPage(t *testing.T) {
	link := `<a href="https://a.b/c">看。这里</a>`
	for _, c := range []struct {
		name, text string
		limit      int
		want       []string
	}{
		{"fits", "一二三", 9, []string{"一二三"}},
		{"paragraph", "aaaaaaa\n\nbbb. ccc ddd", 14, []string{"aaaaaaa", "bbb. ccc ddd"}},
		{"paragraph too early for a page", "a\n\nbbbbbb。cccccc dd", 14, []string{"a\n\nbbbbbb。", "cccccc dd"}},
		{"line", "aaaaaaaa\nbbb ccc", 12, []string{"aaaaaaaa", "bbb ccc"}},
		{"sentence", "今天好。明天也好，对吧", 24, []string{"今天好。", "明天也好，对吧"}},
		{"Western sentence", "It is 3.5 now. Then we go", 20, []string{"It is 3.5 now.", "Then we go"}},
		{"closing marks stay", "他说：“好。”然后走了啊", 24, []string{"他说：“好。”", "然后走了啊"}},
		{"two marks stay together", "真的吗？！不是的啊", 16, []string{"真的吗？！", "不是的啊"}},
		{"comma", "今天好，明天也好", 15, []string{"今天好，", "明天也好"}},
		{"blank", "aaaa bbbb", 6, []string{"aaaa", "bbbb"}},
		{"character", "一二三四", 7, []string{"一二", "三四"}},
		{"before a link", "abcdefgh" + link, len(link) + 2, []string{"abcdefgh", link}},
		{"behind a link", link + " abc", len(link) + 1, []string{link, "abc"}},
		{"emoji of several", "a👨‍👩‍👧b", 18, []string{"a", "👨‍👩‍👧", "b"}},
		{"skin", "ab👍🏽", 8, []string{"ab", "👍🏽"}},
		{"flags", "🇨🇳🇯🇵", 12, []string{"🇨🇳", "🇯🇵"}},
		{"accent", "abe\u0301", 4, []string{"ab", "e\u0301"}},
		{"indentation of code stays", "aaaa\n    b", 6, []string{"aaaa", "    b"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := pages(t, c.text, c.limit)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestPage_SmallLimit(t *testing.T) {
	for _, limit := range []int{-1, 0, 1, 2, 3} {
		if got := strings.Join(pages(t, "一二", limit), ""); got != "一二" {
			t.Errorf("limit %d: %q", limit, got)
		}
	}
	if end, next := Page("ab", 2, 10); end != 2 || next != 2 {
		t.Errorf("behind the end: %d, %d", end, next)
	}
	if end, next := Page("ab", 7, 10); end != 2 || next != 2 {
		t.Errorf("outside: %d, %d", end, next)
	}
	if end, next := Page("ab", -3, 1); end != 1 || next != 1 {
		t.Errorf("negative: %d, %d", end, next)
	}
}

func TestPage_LinkLongerThanPage(t *testing.T) {
	text := `a <a href="https://` + strings.Repeat("x", 100) + `">b</a>`
	got := pages(t, text, 50)
	if got[0] != "a" || strings.Join(got[1:], "") != text[2:] {
		t.Errorf("pages %q", got)
	}
}

// checkPages fails unless the pages of text are text, each within limit.
func checkPages(t interface {
	Helper()
	Fatalf(string, ...any)
}, text string, limit int,
) {
	t.Helper()
	strip := func(s string) string {
		return strings.NewReplacer(" ", "", "\t", "", "\n", "").Replace(s)
	}
	all := pages(t, text, limit)
	for _, page := range all {
		if limit >= utf8.UTFMax && len(page) > limit {
			t.Fatalf("page of %d bytes, limit %d: %q", len(page), limit, page)
		}
		if utf8.ValidString(text) && !utf8.ValidString(page) {
			t.Fatalf("cut inside a character: %q", page)
		}
	}
	if got := strings.Join(all, ""); strip(got) != strip(text) {
		t.Fatalf("pages %q of %q", all, text)
	}
}

func TestPage_WholeText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := textOf(markdown.Draw(t, "markdown"))
		checkPages(t, text, rapid.IntRange(4, 60).Draw(t, "limit"))
		// A page that holds every link whole is balanced.
		for _, page := range pages(t, text, 256) {
			checkText(t, strings.Trim(page, " \t\n"))
		}
	})
	for _, md := range answers(t) {
		text := textOf(md)
		checkPages(t, text, 2040)
		for _, page := range pages(t, text, 2040) {
			checkText(t, page)
			if len(page) < 1020 && !strings.HasSuffix(text, page) {
				t.Errorf("page of only %d bytes", len(page))
			}
		}
	}
}
