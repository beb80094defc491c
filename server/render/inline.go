package render

import (
	"math"
	"strings"
	"unicode/utf8"
)

const (
	maxTicks    = 8    // longer runs of backticks are text
	maxBrackets = 16   // open brackets remembered; older ones become text
	maxTarget   = 2048 // bytes of a link's target
	maxTitle    = 512  // bytes of a link's title
)

// inline renders the text of one block. It writes to out at once and notes in edits what has to change
// there when a later mark gives an earlier one its meaning, so the work is one pass over the source and
// one over the result. It is reused from block to block.
type inline struct {
	src     string
	open    bool // the text may go on behind src
	oneLine bool // src is one line, and that may go on
	limit   int  // constructs that end behind it are not settled

	out      []byte
	edits    []edit
	emphasis emphasis
	brackets []bracket
	inactive int // brackets below cannot become links: one has been closed inside them
	anchor   int // edit of the open <a>, -1: none
	hold     int // out is settled before it

	noSpan               [maxTicks + 1]bool // no run of so many backticks follows
	noDisplay, noDollars bool               // no \] and no $$ follows
	noParen, noTarget    int                // none of \) in the line and no end of a data: target before this offset
	nextClosing          int                // the first ) from where closing asked last, len(src) if there is none
	final                []byte
}

// edit replaces n bytes at pos of out.
type edit struct {
	pos, n int
	insert string
}

type bracket struct {
	edit  int // its edit in edits
	text  int // where its text starts in out
	src   int // where it stands in src
	image bool
}

// What a plain run of text stops at.
var special = [256]bool{
	'`': true, '\\': true, '$': true, '*': true, '_': true, '~': true, '!': true, '[': true, ']': true,
	'<': true, '&': true, 'h': true,
}

// render returns src as text, with the private marks of links. If open, src may go on: then the result is
// what stays the same however it does, cut at the end of a sentence or a line, and nothing of what
// starts before limit and ends behind it. The result is valid until the next call.
func (p *inline) render(src string, open bool, limit int) []byte {
	*p = inline{
		src: src, open: open, oneLine: open && strings.IndexByte(src, '\n') < 0, limit: limit, anchor: -1,
		out: p.out[:0], edits: p.edits[:0], brackets: p.brackets[:0], final: p.final[:0],
		emphasis: emphasis{stacks: p.emphasis.stacks},
	}
	p.emphasis.reset()
	p.hold = math.MaxInt
	p.scan()
	if p.anchor >= 0 {
		p.holdAt(p.edits[p.anchor].pos)
		p.out = append(p.out, linkEnd)
	}
	if !open {
		p.hold = len(p.out)
		return p.assemble()
	}
	for _, b := range p.brackets {
		p.holdAt(p.edits[b.edit].pos)
	}
	if pos, ok := p.emphasis.firstOpen(p.edits); ok {
		p.holdAt(pos)
	}
	whole := p.hold >= len(p.out) && strings.HasSuffix(src, "\n")
	p.hold = min(p.hold, len(p.out))
	text := p.assemble()
	if whole {
		return text
	}
	return text[:lastStop(text)]
}

// holdAt withholds out from pos on.
func (p *inline) holdAt(pos int) { p.hold = min(p.hold, pos) }

// depend withholds out from pos on if what changes it there, the mark that comes next, may be none: it stands behind
// something that is not complete, as between dollars that may be a formula's.
func (p *inline) depend(pos int) {
	if len(p.out) >= p.hold {
		p.holdAt(pos)
	}
}

// settle withholds a construct that began at pos of out and ended at end of src, if that is not certain.
func (p *inline) settle(pos, end int) {
	if end > p.limit {
		p.holdAt(pos)
	}
}

func (p *inline) scan() {
	for i := 0; i < len(p.src); {
		if i >= p.limit {
			p.holdAt(len(p.out))
		}
		n := i
		for n < len(p.src) && !special[p.src[n]] && (n < p.limit || i >= p.limit) {
			n++
		}
		if n > i {
			p.out = append(p.out, p.src[i:n]...)
			i = n
			continue
		}
		pos := len(p.out)
		n = p.mark(i)
		p.settle(pos, n)
		i = n
	}
}

// mark handles the special character at i and returns where to go on.
func (p *inline) mark(i int) int {
	switch c := p.src[i]; c {
	case '`':
		return p.codeSpan(i)
	case '\\':
		return p.backslash(i)
	case '$':
		return p.dollar(i)
	case '*', '_', '~':
		return p.run(i, c)
	case '!':
		if i+1 == len(p.src) {
			p.holdAt(len(p.out))
		} else if p.src[i+1] == '[' {
			return p.openBracket(i, true)
		}
		return p.literal(i, 1)
	case '[':
		return p.openBracket(i, false)
	case ']':
		return p.closeBracket(i)
	case '<':
		return p.angle(i)
	case '&':
		return p.entity(i)
	default: // 'h'
		return p.literal(i, max(1, p.bareURL(i)))
	}
}

// literal writes n bytes of the source as they are.
func (p *inline) literal(i, n int) int {
	p.out = append(p.out, p.src[i:i+n]...)
	return i + n
}

// pending withholds what starts at i if the source ends before it is complete, and takes it for text.
func (p *inline) pending(i, n int) int {
	p.holdAt(len(p.out))
	return p.literal(i, n)
}

func (p *inline) codeSpan(i int) int {
	n := runLength(p.src[i:], '`')
	if n > maxTicks {
		return p.literal(i, n)
	}
	if !p.noSpan[n] {
		body := i + n
		if end := spanEnd(p.src[body:], n); end >= 0 {
			code := p.src[body : body+end]
			if len(code) > 2 && code[0] == ' ' && code[len(code)-1] == ' ' && strings.Trim(code, " ") != "" {
				code = code[1 : len(code)-1]
			}
			if body+end+n == len(p.src) { // its last run may grow
				p.holdAt(len(p.out))
			}
			p.out = append(p.out, code...)
			return body + end + n
		}
		p.noSpan[n] = true
	}
	return p.pending(i, n)
}

// spanEnd returns where a run of exactly n backticks starts in s, -1 if there is none.
func spanEnd(s string, n int) int {
	for at := 0; ; {
		k := strings.IndexByte(s[at:], '`')
		if k < 0 {
			return -1
		}
		at += k
		size := runLength(s[at:], '`')
		if size == n {
			return at
		}
		at += size
	}
}

// backslash handles escapes, hard line breaks, and formulas in \( \) and \[ \].
func (p *inline) backslash(i int) int {
	if i+1 == len(p.src) {
		return p.pending(i, 1)
	}
	switch c := p.src[i+1]; {
	case c == '\n':
		return i + 1
	case c == '(':
		if n := p.formula(i, `\)`); n > 0 {
			return p.literal(i, n)
		}
	case c == '[':
		if n := p.formula(i, `\]`); n > 0 {
			return p.literal(i, n)
		}
	case !isPunct(c):
		return p.literal(i, 1)
	}
	p.out = append(p.out, p.src[i+1])
	return i + 2
}

// formula returns the length of the formula that starts at i and ends with end, 0 if it is none:
// brackets are escaped outside formulas too. Those in \( \) stay in their line.
func (p *inline) formula(i int, end string) int {
	rest := p.src[i+2:]
	inLine := end == `\)`
	if inLine && i < p.noParen || !inLine && p.noDisplay {
		return 0
	}
	eol := strings.IndexByte(rest, '\n')
	if inLine && eol >= 0 {
		rest = rest[:eol]
	}
	n := strings.Index(rest, end)
	switch {
	case n >= 0 && isFormula(rest[:n]):
		return n + 4
	case n >= 0:
		return 0
	case inLine:
		p.noParen = i + 2 + len(rest)
	default:
		p.noDisplay = true
	}
	if !inLine || eol < 0 {
		p.holdAt(len(p.out))
	}
	return 0
}

func isFormula(s string) bool {
	return strings.ContainsAny(s, `\^_={}+<>`) || 0 < len(s) && len(s) <= 2
}

// dollar handles formulas in $ $, which stay in their line, and in $$ $$. Prices are not formulas.
func (p *inline) dollar(i int) int {
	rest := p.src[i+1:]
	if rest == "" {
		return p.pending(i, 1)
	}
	if rest[0] == '$' {
		if !p.noDollars {
			if n := strings.Index(rest[1:], "$$"); n >= 0 {
				return p.literal(i, n+4)
			}
			p.noDollars = true
		}
		return p.pending(i, 2)
	}
	n := strings.IndexAny(rest, "$\n")
	switch {
	case isSpace(rest[0]) || n >= 0 && (rest[n] == '\n' || isSpace(rest[n-1])):
		return p.literal(i, 1)
	case n < 0, n+1 == len(rest):
		if n >= 0 && !p.open {
			return p.literal(i, n+2)
		}
		return p.pending(i, 1)
	case digits(rest[n+1:]) > 0:
		return p.literal(i, 1)
	}
	return p.literal(i, n+2)
}

// bareURL returns the length of the web address at i, 0 if there is none: its characters are no marks.
func (p *inline) bareURL(i int) int {
	s := p.src[i:]
	if !strings.HasPrefix(s, "http://") && !strings.HasPrefix(s, "https://") {
		return 0
	}
	n := strings.IndexByte(s, ':')
	for n < len(s) && isURLByte(s[n]) {
		n++
	}
	goesOn := n == len(s)
	for s[n-1] == '_' || s[n-1] == '~' { // marks behind it
		n--
	}
	if goesOn { // and they are its own then
		p.holdAt(len(p.out) + n)
	}
	return n
}

func isURLByte(c byte) bool {
	return isAlnum(c) || c != 0 && strings.IndexByte("-._~:/?#@!$&'(+,;=%", c) >= 0
}

// before and after return the characters around src[i:j], a blank at the ends of the text.
func (p *inline) before(i int) rune {
	if i == 0 {
		return ' '
	}
	r, _ := utf8.DecodeLastRuneInString(p.src[:i])
	return r
}

func (p *inline) after(j int) rune {
	if j >= len(p.src) {
		return ' '
	}
	r, _ := utf8.DecodeRuneInString(p.src[j:])
	return r
}

func isPunct(c byte) bool {
	return c > ' ' && c < 0x7F && !isAlnum(c)
}
