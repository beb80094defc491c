package render

import "unicode"

// emphasis pairs the marks of emphasis. CommonMark nests them; here they only vanish, so each kind of
// mark has a stack of its own, which takes one step a mark. Three marks are one of each size; more than three are
// decoration and stay.
type emphasis struct {
	stacks [5][]int // edits of the marks that are open, per kind
}

const (
	oneStar = iota
	twoStars
	oneLine
	twoLines
	twoTildes
)

func (e *emphasis) reset() {
	for i := range e.stacks {
		e.stacks[i] = e.stacks[i][:0]
	}
}

// firstOpen returns where in out the first mark stands that may still be closed.
func (e *emphasis) firstOpen(edits []edit) (pos int, ok bool) {
	for _, s := range e.stacks {
		if len(s) > 0 && (!ok || edits[s[0]].pos < pos) {
			pos, ok = edits[s[0]].pos, true
		}
	}
	return pos, ok
}

// run handles a run of emphasis marks at i.
func (p *inline) run(i int, c byte) int {
	n := runLength(p.src[i:], c)
	end := i + n
	if end == len(p.src) { // it may grow, and what follows decides
		p.holdAt(len(p.out))
	}
	if n > 3 || c == '~' && n != 2 {
		return p.literal(i, n)
	}
	l, r := p.before(i), p.after(end)
	first, second := oneStar, twoStars
	switch c {
	case '_':
		first, second = oneLine, twoLines
	case '~':
		second = twoTildes
	}
	if n >= 2 {
		p.pair(second, i, 2, l, r)
	}
	if n != 2 {
		p.pair(first, end-1, 1, l, r)
	}
	return end
}

// pair closes the last open mark of its kind with the n marks at i, or leaves them open, or as text.
func (p *inline) pair(kind, i, n int, l, r rune) {
	opens, closes := flanks(kind, l, r)
	stack := &p.emphasis.stacks[kind]
	if k := len(*stack); closes && k > 0 {
		open := (*stack)[k-1]
		*stack = (*stack)[:k-1]
		p.depend(p.edits[open].pos)
		p.settle(p.edits[open].pos, i+n)
		p.edits[open].n = n
		p.edits = append(p.edits, edit{pos: len(p.out), n: n})
	} else if opens {
		p.edits = append(p.edits, edit{pos: len(p.out)})
		*stack = append(*stack, len(p.edits)-1)
	}
	p.literal(i, n)
}

// flanks tells whether a mark between l and r can open or close emphasis. It is looser than CommonMark
// where Chinese needs it (punctuation inside the marks, letters right behind them) and stricter where
// code and sums are written without backticks: snake_case, 2*3*4, f(*args), 2**3.
func flanks(kind int, l, r rune) (opens, closes bool) {
	opens, closes = !unicode.IsSpace(r), !unicode.IsSpace(l)
	switch kind {
	case oneStar:
		opens = opens && !isASCIIWord(l) && (!isMark(r) || !isWord(l))
		closes = closes && !isASCIIWord(r)
	case twoStars:
		if isDigit(l) && isDigit(r) {
			return false, false
		}
	case oneLine:
		opens = opens && !isWord(l) && l != '.'
		closes = closes && !isWord(r) && r != '('
	case twoLines:
		opens = opens && !isASCIIWord(l) && l != '.'
		closes = closes && !isASCIIWord(r) && r != '('
	}
	return opens, closes
}

func isWord(r rune) bool { return r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r) }

func isASCIIWord(r rune) bool { return r < 0x80 && isWord(r) }

func isDigit(r rune) bool { return '0' <= r && r <= '9' }

// isMark reports whether r is punctuation or a symbol.
func isMark(r rune) bool { return unicode.IsPunct(r) || unicode.IsSymbol(r) }
