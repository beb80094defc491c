package page

import (
	"unicode"
	"unicode/utf8"

	"github.com/yuin/goldmark/ast"
	extension "github.com/yuin/goldmark/extension/ast"
	"github.com/yuin/goldmark/parser"
	"github.com/yuin/goldmark/text"
)

// Emphasis is read by rules of our own. CommonMark's leave **重要：**内容 literal, as models write it all day, and
// goldmark takes a minute for 80 KB of asterisks.

// mark is a run of *, _ or ~ that may begin or end emphasis.
type mark struct {
	ast.BaseInline

	char        byte
	n           int
	opens, ends bool
	at          text.Segment
}

var kindMark = ast.NewNodeKind("Mark")

// Kind implements ast.Node.
func (*mark) Kind() ast.NodeKind { return kindMark }

// Dump implements ast.Node.
func (m *mark) Dump(source []byte, level int) { ast.DumpHelper(m, source, level, nil, nil) }

// marks finds them.
type marks struct{}

// Trigger implements parser.InlineParser.
func (marks) Trigger() []byte { return []byte{'*', '_', '~'} }

// Parse implements parser.InlineParser.
func (marks) Parse(_ ast.Node, block text.Reader, _ parser.Context) ast.Node {
	line, at := block.PeekLine()
	c, n := line[0], 1
	for n < len(line) && line[n] == c {
		n++
	}
	before, after := block.PrecendingCharacter(), rune('\n')
	if n < len(line) {
		after, _ = utf8.DecodeRune(line[n:])
	}
	at = at.WithStop(at.Start + n)
	block.Advance(n)
	m := &mark{char: c, n: n, at: at, opens: !unicode.IsSpace(after), ends: !unicode.IsSpace(before)}
	switch {
	case n > 3 || c == '~' && n != 2:
		return ast.NewTextSegment(at)
	case c == '_':
		m.opens, m.ends = m.opens && !isWord(before), m.ends && !isWord(after)
	case c == '*' && n == 1 && unicode.IsDigit(before) && unicode.IsDigit(after): // 2*3
		m.opens, m.ends = false, false
	}
	if !m.opens && !m.ends {
		return ast.NewTextSegment(at)
	}
	return m
}

func isWord(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }

// emphasize makes emphasis of marks, once a document is parsed.
type emphasize struct{}

// Transform implements parser.ASTTransformer.
func (emphasize) Transform(doc *ast.Document, _ text.Reader, _ parser.Context) {
	var parents []ast.Node
	_ = ast.Walk(doc, func(n ast.Node, entering bool) (ast.WalkStatus, error) { // it has no error of its own
		if entering && n.HasChildren() && n.FirstChild().Type() == ast.TypeInline {
			parents = append(parents, n)
		}
		return ast.WalkContinue, nil
	})
	for _, p := range parents {
		pair(p)
	}
}

// pair wraps what stands between two marks of a kind. Of marks that cross, the inner ones stay text.
func pair(parent ast.Node) {
	type kind struct {
		char byte
		n    int
	}
	var open []*mark
	have := map[kind]int{}
	for c := parent.FirstChild(); c != nil; {
		next := c.NextSibling()
		if m, ok := c.(*mark); ok {
			k := kind{m.char, m.n}
			switch {
			case m.ends && have[k] > 0:
				for {
					last := open[len(open)-1]
					open = open[:len(open)-1]
					have[kind{last.char, last.n}]--
					if last.char == m.char && last.n == m.n {
						wrap(parent, last, m)
						break
					}
				}
			case m.opens:
				open = append(open, m)
				have[k]++
			}
		}
		c = next
	}
	for c := parent.FirstChild(); c != nil; {
		next := c.NextSibling()
		literal(parent, c)
		c = next
	}
}

// literal has a mark be text.
func literal(parent, n ast.Node) {
	if m, ok := n.(*mark); ok {
		parent.ReplaceChild(parent, m, ast.NewTextSegment(m.at))
	}
}

// wrap puts what stands between two marks into emphasis, in their place.
func wrap(parent ast.Node, first, last *mark) {
	var outer, inner ast.Node
	switch {
	case first.char == '~':
		outer = extension.NewStrikethrough()
	case first.n == 3:
		outer, inner = ast.NewEmphasis(2), ast.NewEmphasis(1)
		outer.AppendChild(outer, inner)
	default:
		outer = ast.NewEmphasis(first.n)
	}
	if inner == nil {
		inner = outer
	}
	for c := first.NextSibling(); c != ast.Node(last); {
		next := c.NextSibling()
		literal(parent, c)
		c = next
	}
	for c := first.NextSibling(); c != ast.Node(last); {
		next := c.NextSibling()
		inner.AppendChild(inner, c) // takes it from the parent
		c = next
	}
	parent.ReplaceChild(parent, first, outer)
	parent.RemoveChild(parent, last)
}
