package page

import (
	"bytes"
	"html"
	"strconv"
	"strings"
	"sync"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	extensionast "github.com/yuin/goldmark/extension/ast"
	"github.com/yuin/goldmark/parser"
	"github.com/yuin/goldmark/renderer"
	goldmarkhtml "github.com/yuin/goldmark/renderer/html"
	"github.com/yuin/goldmark/util"

	"github.com/wechatbot/wechatbot-operator/server/render"
)

const (
	// maxPiece is how much Markdown is parsed at a time: some of it takes time that grows with the square of its length.
	maxPiece = 16 << 10
	// maxMarkdown bounds what is shown of an answer.
	maxMarkdown = 256 << 10
	// maxBrackets bounds the square brackets of a piece that is read as Markdown: looking for links is what takes longest.
	maxBrackets = 2000
	maxQuotes   = 32
)

// converter reads Markdown as models write it: GFM, each line a line, no headings by underlines. Bare
// addresses become links later (bare.go).
var converter = sync.OnceValue(func() goldmark.Markdown {
	blocks := []util.PrioritizedValue{util.Prioritized(displayed{}, 50)}
	for _, b := range parser.DefaultBlockParsers() {
		if b.Priority != 100 { // headings by underlines
			blocks = append(blocks, b)
		}
	}
	p := parser.NewParser(
		parser.WithBlockParsers(blocks...),
		parser.WithInlineParsers(
			util.Prioritized(formulas{}, 50),
			util.Prioritized(parser.NewCodeSpanParser(), 100), util.Prioritized(parser.NewLinkParser(), 200),
			util.Prioritized(parser.NewAutoLinkParser(), 300), util.Prioritized(parser.NewRawHTMLParser(), 400),
			util.Prioritized(marks{}, 500),
		),
		parser.WithParagraphTransformers(parser.DefaultParagraphTransformers()...),
		parser.WithASTTransformers(util.Prioritized(emphasize{}, 500)),
	)
	return goldmark.New(
		goldmark.WithParser(p),
		goldmark.WithExtensions(
			extension.NewTable(extension.WithTableCellAlignMethod(extension.TableCellAlignAttribute)), extension.TaskList,
		),
		goldmark.WithRendererOptions(goldmarkhtml.WithUnsafe(), goldmarkhtml.WithHardWraps(), renderer.WithNodeRenderers(
			util.Prioritized(extension.NewStrikethroughHTMLRenderer(), 500), util.Prioritized(checkBoxes{}, 100),
		)),
	)
})

// checkBoxes writes those of lists of tasks as letters: a page has no forms.
type checkBoxes struct{}

// RegisterFuncs implements renderer.NodeRenderer.
func (checkBoxes) RegisterFuncs(r renderer.NodeRendererFuncRegisterer) {
	r.Register(extensionast.KindTaskCheckBox, func(w util.BufWriter, _ []byte, n ast.Node, entering bool) (ast.WalkStatus, error) {
		if box, ok := n.(*extensionast.TaskCheckBox); ok && entering {
			letter := "☐ "
			if box.IsChecked {
				letter = "☑ "
			}
			_, _ = w.WriteString(letter) // the writer keeps its error
		}
		return ast.WalkContinue, nil
	})
}

// article is an answer as HTML, and what its pictures and links to files lead to: the nth is the page's own address, a slash
// and n.
type article struct {
	html    []byte
	targets []target
}

// convert makes an article of an answer. at is the page's own address.
func convert(a Answer, at string, o Settings) article {
	refs := &references{at: at, settings: &o}
	markdown := render.Visible(clip(a.Markdown, maxMarkdown))
	var out bytes.Buffer
	out.Grow(2*len(markdown) + 1024)
	for piece := range pieces(markdown) {
		out.Write(refs.rewrite(toHTML(piece)))
	}
	out.Write(refs.files(a.Files, markdown))
	return article{html: out.Bytes(), targets: refs.targets}
}

// toHTML converts a piece of Markdown. One that goldmark cannot read, or would not in time, is shown as it is written.
func toHTML(piece string) (converted []byte) {
	defer func() {
		if recover() != nil {
			converted = asWritten(piece)
		}
	}()
	if strings.Count(piece, "[") > maxBrackets || nested(piece) {
		return asWritten(piece)
	}
	var out bytes.Buffer
	out.Grow(2 * len(piece))
	if err := converter().Convert([]byte(piece), &out); err != nil {
		return asWritten(piece)
	}
	return out.Bytes()
}

// nested tells whether a line begins with quotations in quotations that nobody can read: they take long.
func nested(piece string) bool {
	for line := range strings.Lines(piece) {
		behind := strings.TrimLeft(line, "> \t")
		if strings.Count(line[:len(line)-len(behind)], ">") > maxQuotes {
			return true
		}
	}
	return false
}

func asWritten(piece string) []byte { return []byte("<pre>" + html.EscapeString(piece) + "</pre>") }

// pieces cuts Markdown where nothing is open, as a rule: at empty lines outside fenced code.
func pieces(markdown string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for markdown != "" {
			n := pieceEnd(markdown)
			if !yield(markdown[:n]) {
				return
			}
			markdown = markdown[n:]
		}
	}
}

func pieceEnd(s string) int {
	if len(s) <= maxPiece {
		return len(s)
	}
	best, line, fence := 0, 0, ""
	for at := 0; at < maxPiece; {
		n := strings.IndexByte(s[at:maxPiece], '\n')
		if n < 0 {
			break
		}
		text := strings.TrimSpace(s[at : at+n])
		at += n + 1
		line = at
		switch {
		case fence != "":
			if strings.HasPrefix(text, fence) {
				fence = ""
			}
		case strings.HasPrefix(text, "```"), strings.HasPrefix(text, "~~~"):
			fence = text[:3]
		case text == "":
			best = at
		}
	}
	switch {
	case best > 0:
		return best
	case line > 0:
		return line
	}
	return len(clip(s, maxPiece))
}

// clip returns the beginning of s, of whole characters.
func clip(s string, most int) string {
	if len(s) <= most {
		return s
	}
	for most > 0 && s[most]&0xC0 == 0x80 {
		most--
	}
	return s[:most]
}

// shell puts an article into a page.
func shell(a Answer, made article, o Settings) []byte {
	w := wordsOf(o.English)
	var b bytes.Buffer
	b.Grow(len(made.html) + len(style) + 2048)
	head(&b, w, w.title)
	if q := strings.TrimSpace(a.Question); q != "" {
		b.WriteString(`<p class="q">` + html.EscapeString(q) + "</p>")
	}
	b.WriteString("<article>")
	b.Write(made.html)
	b.WriteString("</article>")
	if a.Ending != "" {
		b.WriteString(`<p class="e">` + html.EscapeString(a.Ending) + "</p>")
	}
	b.WriteString("</main><footer>")
	for _, line := range []string{o.AILabel, o.Notice} {
		if line != "" {
			b.WriteString("<p>" + html.EscapeString(line) + "</p>")
		}
	}
	b.WriteString("</footer></body></html>")
	return b.Bytes()
}

func head(b *bytes.Buffer, w *words, title string) {
	b.WriteString(`<!DOCTYPE html><html lang="` + w.language + `"><head><meta charset="utf-8">` +
		`<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">` +
		`<meta name="referrer" content="no-referrer"><meta name="robots" content="noindex"><title>` + html.EscapeString(title) +
		"</title><style>" + style + "</style></head><body><main>")
}

// told is a page that only says something.
func told(o Settings, line func(*words) string) []byte {
	w := wordsOf(o.English)
	var b bytes.Buffer
	head(&b, w, w.title)
	b.WriteString(`<p class="e">` + html.EscapeString(line(w)) + "</p></main></body></html>")
	return b.Bytes()
}

func addressOfTarget(at string, n int) string { return at + "/" + strconv.Itoa(n) }
