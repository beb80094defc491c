package wechatsim

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestLinks(t *testing.T) {
	tests := []struct {
		name, text string
		want       []Link
		visible    string
	}{
		{"none", "a < b, a > c", nil, "a < b, a > c"},
		{"a page", `see <a href="https://p.example/?a=1&b=2">here</a>.`, []Link{{Label: "here", URL: "https://p.example/?a=1&b=2"}}, "see {here}."},
		{"single quotes", `<a href='https://p.example/'>x</a>`, []Link{{Label: "x", URL: "https://p.example/"}}, "{x}"},
		{"a tap-link", `<a href="weixin://bizmsgmenu?msgmenucontent=%E7%BB%A7%20%26+1&msgmenuid=a%20b">继续</a>`,
			[]Link{{Label: "继续", URL: "weixin://bizmsgmenu?msgmenucontent=%E7%BB%A7%20%26+1&msgmenuid=a%20b", Send: "继 &+1", MenuID: "a b"}}, "{继续}"},
		{"a bad escape is sent as it stands", `<a href="weixin://bizmsgmenu?msgmenucontent=100%">x</a>`,
			[]Link{{Label: "x", URL: "weixin://bizmsgmenu?msgmenucontent=100%", Send: "100%"}}, "{x}"},
		{"two, side by side", `<a href="u">x</a><a href="v">y</a>`, []Link{{Label: "x", URL: "u"}, {Label: "y", URL: "v"}}, "{x}{y}"},
		{"not closed", `<a href="u">x`, nil, `<a href="u">x`},
		{"not closed before the next", `<a href="u">x <a href="v">y</a>`, []Link{{Label: "y", URL: "v"}}, `<a href="u">x {y}`},
		{"no href", `<a name="u">x</a>`, nil, `<a name="u">x</a>`},
		{"no quotes", `<a href=u>x</a>`, nil, `<a href=u>x</a>`},
		{"cut in its attribute", `<a href="u`, nil, `<a href="u`},
		{"cut after its name", `<a href=`, nil, `<a href=`},
		{"other elements stay", `<b>x</b>`, nil, `<b>x</b>`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if d := cmp.Diff(test.want, Links(test.text)); d != "" {
				t.Errorf("links (-want +got):\n%s", d)
			}
			if got := Visible(test.text, func(l Link) string { return "{" + l.Label + "}" }); got != test.visible {
				t.Errorf("visible %q, want %q", got, test.visible)
			}
		})
	}
}

func TestVisibleKeepsAllThatIsNoLink(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		parts := rapid.SliceOf(rapid.SampledFrom([]string{"<a ", "href=", `"u"`, "'", ">", "x", "</a>", " ", "<", "中"})).Draw(t, "parts")
		text := strings.Join(parts, "")
		links := Links(text)
		if len(links) == 0 && Visible(text, func(Link) string { return "" }) != text {
			t.Errorf("%q changes without a link", text)
		}
		n := 0
		Visible(text, func(l Link) string {
			if d := cmp.Diff(links[n], l); d != "" {
				t.Errorf("link %d (-want +got):\n%s", n, d)
			}
			n++
			return ""
		})
		if n != len(links) {
			t.Errorf("%d links shown of %d", n, len(links))
		}
	})
}
