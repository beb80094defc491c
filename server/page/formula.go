package page

import (
	"bytes"

	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/parser"
	"github.com/yuin/goldmark/text"
)

// Formulas are shown as they are written, in the letters of code: nothing in them is Markdown. No library that makes MathML
// of them can be had.

// formulas finds \(a\), \[a\], $a$ and $$a$$ within a line.
type formulas struct{}

// Trigger implements parser.InlineParser.
func (formulas) Trigger() []byte { return []byte{'\\', '$'} }

// Parse implements parser.InlineParser.
func (formulas) Parse(_ ast.Node, block text.Reader, _ parser.Context) ast.Node {
	line, at := block.PeekLine()
	var start int
	var end string
	switch {
	case bytes.HasPrefix(line, []byte(`\(`)):
		start, end = 2, `\)`
	case bytes.HasPrefix(line, []byte(`\[`)):
		start, end = 2, `\]`
	case bytes.HasPrefix(line, []byte("$$")):
		start, end = 2, "$$"
	case line[0] == '$':
		start, end = 1, "$"
	default:
		return nil
	}
	n := bytes.Index(line[start:min(len(line), maxFormula)], []byte(end))
	if n <= 0 || end == "$" && !isFormula(line[start:start+n], line[start+n+1:]) {
		return nil
	}
	code := ast.NewCodeSpan()
	code.AppendChild(code, ast.NewTextSegment(text.NewSegment(at.Start+start, at.Start+start+n)))
	block.Advance(start + n + len(end))
	return code
}

// maxFormula bounds what is looked through for the end of a formula, in bytes.
const maxFormula = 1024

// isFormula tells a formula from prices, as pandoc does: no blank inside its dollars, no digit behind them.
func isFormula(inside, behind []byte) bool {
	first, last := inside[0], inside[len(inside)-1]
	return first != ' ' && last != ' ' && (len(behind) == 0 || behind[0] < '0' || behind[0] > '9')
}

// displayed finds formulas of lines of their own: from a line that begins with $$ or \[ to one that ends with $$ or \].
type displayed struct{}

var displayedEnd = parser.NewContextKey()

// Trigger implements parser.BlockParser.
func (displayed) Trigger() []byte { return []byte{'\\', '$'} }

// Open implements parser.BlockParser.
func (displayed) Open(_ ast.Node, reader text.Reader, pc parser.Context) (ast.Node, parser.State) {
	line, _ := reader.PeekLine()
	line = bytes.TrimSpace(line)
	end := []byte("$$")
	if bytes.Equal(line, []byte(`\[`)) {
		end = []byte(`\]`)
	} else if !bytes.Equal(line, end) {
		return nil, parser.NoChildren // one within a line
	}
	pc.Set(displayedEnd, end)
	return ast.NewCodeBlock(), parser.NoChildren
}

// Continue implements parser.BlockParser.
func (displayed) Continue(node ast.Node, reader text.Reader, pc parser.Context) parser.State {
	line, at := reader.PeekLine()
	end, _ := pc.Get(displayedEnd).([]byte)
	if trimmed := bytes.TrimSpace(line); bytes.Equal(trimmed, end) {
		reader.AdvanceToEOL()
		return parser.Close
	}
	node.Lines().Append(at)
	reader.AdvanceToEOL()
	return parser.Continue | parser.NoChildren
}

// Close implements parser.BlockParser.
func (displayed) Close(ast.Node, text.Reader, parser.Context) {}

// CanInterruptParagraph implements parser.BlockParser.
func (displayed) CanInterruptParagraph() bool { return true }

// CanAcceptIndentedLine implements parser.BlockParser.
func (displayed) CanAcceptIndentedLine() bool { return false }
