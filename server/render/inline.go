package render

import (
	"math"
	"strings"
	"unicode/utf8"
)

const (
	maxTicks    = 8    // longer runs of backticks are text
	maxBrackets = 16   // open brackets remembered; older ones become text
	maxTarget   = 2560 // bytes of a link's target and title
)

// inline renders the text of one block. It writes to out at once and notes in edits what has to change
// there when a later mark gives an earlier one its meaning, so the work is one pass over the source and
// one over the result. It is reused from block to block.
type inline struct {
	o       *Options
	src     string // the part of the text that no mark reaches out of
	open    bool   // the text may go on behind src
	oneLine bool   // the text is one line, and that may go on

	out      []byte
	edits    []edit
	emphasis emphasis
	brackets []bracket
	inactive int // brackets below cannot become links: one has been closed inside them
	anchor   int // edit of the open <a>, -1: none
	hold     int // out is settled before it

	noSpan               [maxTicks + 1]bool // no run of so many backticks follows
	noDisplay, noDollars bool               // no \] and no $$ follows
	noParen              int                // none of \) in the line before this offset
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
	image bool
}

// What a plain run of text stops at.
var special = [256]bool{
	'`': true, '\\': true, '$': true, '*': true, '_': true, '~': true, '!': true, '[': true, ']': true,
	'<': true, '&': true, 'h': true, linkStart: true, linkEnd: true, verbatimStart: true, verbatimEnd: true, lineBreak: true,
}

// isPlain reports whether src has none of the marks.
func isPlain(src string) bool {
	for i := range len(src) {
		if special[src[i]] || src[i] < ' ' && src[i] != '\n' {
			return false
		}
	}
	return true
}

const edges = string(blockEdge) + string(cellEdge)

// render returns src as text, with the private marks of links. If open, src may go on: then the result is
// what stays the same however it does, cut at the end of a sentence or a line. The result is valid until the next call.
func (p *inline) render(src string, open bool) []byte {
	*p = inline{
		o: p.o, out: p.out[:0], edits: p.edits[:0], brackets: p.brackets[:0], final: p.final[:0], emphasis: p.emphasis,
	}
	if !open && isPlain(src) {
		return append(p.final, src...)
	}
	p.oneLine = open && !strings.ContainsAny(src, "\n"+edges)
	for {
		n := strings.IndexAny(src, edges)
		if n < 0 {
			break
		}
		p.part(src[:n], false)
		if src[n] == cellEdge {
			p.out = append(p.out, "｜"...)
		} else {
			p.out = append(p.out, '\n')
		}
		src = src[n+1:]
	}
	p.part(src, open)
	if !open {
		p.hold = len(p.out)
		return p.assemble()
	}
	whole := p.hold >= len(p.out) && strings.HasSuffix(src, "\n")
	p.hold = min(p.hold, len(p.out))
	text := p.assemble()
	if whole {
		return text
	}
	return text[:lastStop(text)]
}

// part renders a part of the text between two edges. All parts but the last are settled.
func (p *inline) part(src string, open bool) {
	p.src, p.open = src, open
	p.anchor, p.inactive = -1, 0
	p.noSpan, p.noDisplay, p.noDollars, p.noParen = [maxTicks + 1]bool{}, false, false, 0
	p.brackets = p.brackets[:0]
	p.emphasis.reset()
	p.hold = math.MaxInt
	p.scan()
	if p.anchor >= 0 {
		p.holdAt(p.edits[p.anchor].pos)
		p.out = append(p.out, linkEnd)
	}
	if !open {
		p.hold = math.MaxInt
		return
	}
	for _, b := range p.brackets {
		p.holdAt(p.edits[b.edit].pos)
	}
	if pos, ok := p.emphasis.firstOpen(p.edits); ok {
		p.holdAt(pos)
	}
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

func (p *inline) scan() {
	for i := 0; i < len(p.src); {
		n := i
		for n < len(p.src) && !special[p.src[n]] {
			n++
		}
		p.out = append(p.out, p.src[i:n]...)
		if i = n; i < len(p.src) {
			i = p.mark(i)
		}
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
		return p.autolink(i)
	case '&':
		return p.entity(i)
	case 'h':
		return p.literal(i, max(1, p.bareURL(i)))
	default:
		return p.private(i, c)
	}
}

// private handles one of the private marks.
func (p *inline) private(i int, c byte) int {
	rest := p.src[i+1:]
	switch c {
	case linkStart:
		if n := strings.IndexByte(rest, linkText); n >= 0 {
			p.endAnchor()
			p.edits = append(p.edits, edit{pos: len(p.out), insert: p.src[i : i+n+2]})
			p.anchor = len(p.edits) - 1
			return i + n + 2
		}
	case linkEnd:
		p.endAnchor()
	case verbatimStart:
		n := strings.IndexByte(rest, verbatimEnd)
		if n < 0 {
			n = len(rest)
		}
		p.out = append(p.out, rest[:n]...)
		return i + 1 + n
	case lineBreak:
		if p.oneLine { // it may become the head of a table, which has no line breaks
			p.holdAt(len(p.out))
		}
		p.out = append(p.out, '\n')
	}
	return i + 1
}

func (p *inline) endAnchor() {
	if p.anchor >= 0 {
		p.out = append(p.out, linkEnd)
		p.anchor = -1
	}
}

// autolink handles what starts with '<': an address, or text.
func (p *inline) autolink(i int) int {
	s := p.src[i+1:]
	end := strings.IndexAny(clip(s, maxTarget), " \t\n<>")
	switch {
	case end > 0 && s[end] == '>' && isAutolink(s[:end]):
		p.out = append(p.out, s[:end]...)
		return i + end + 2
	case end < 0 && len(s) < maxTarget:
		return p.pending(i, 1)
	}
	return p.literal(i, 1)
}

// isAutolink reports whether s, from between angle brackets, is an absolute URI or an e-mail address.
func isAutolink(s string) bool {
	if len(s) > len("www.") && hasPrefixFold(s, "www.") {
		return true
	}
	n := strings.IndexAny(s, ":@")
	if n < 1 {
		return false
	}
	for i := range n {
		if !isAlnum(s[i]) && strings.IndexByte("+.-_", s[i]) < 0 {
			return false
		}
	}
	return n+1 < len(s) && (s[n] == '@' || n >= 2)
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
		if end := spanEnd(p.src[body:], n); end >= 0 && !hasPrivate(p.src[body:body+end]) {
			code := p.src[body : body+end]
			if len(code) > 2 && code[0] == ' ' && code[len(code)-1] == ' ' && strings.Trim(code, " ") != "" {
				code = code[1 : len(code)-1]
			}
			if body+end+n == len(p.src) { // its last run may grow
				p.holdAt(len(p.out))
			}
			p.out = append(p.out, code...)
			return body + end + n
		} else if end < 0 {
			p.noSpan[n] = true
		}
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

// bareURL returns the length of the web address at i, 0 if there is none: its characters are no marks.
func (p *inline) bareURL(i int) int {
	s := p.src[i:]
	n := addressLength(s)
	if n == 0 {
		return 0
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
