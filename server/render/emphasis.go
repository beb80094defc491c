package render

import (
	"strings"
	"unicode"
)

// emphasis pairs the marks of emphasis. CommonMark nests them; here they only vanish, so each kind of
// mark has a stack of its own, which takes one step a mark. Three marks are one of each size, four stars end strong text and
// begin the next; more are decoration and stay.
type emphasis struct {
	stacks [kinds][]opener // marks that are open
	lines  [kinds]parity
}

// opener is a mark that is open.
type opener struct {
	edit int // its edit in edits
	end  int // where it ends in src
}

// parity tells of the line src[start:end] whether its marks come in pairs.
type parity struct {
	start, end int
	even       bool
}

const (
	oneStar = iota
	twoStars
	oneUnderscore
	twoUnderscores
	twoTildes
	kinds
)

func (e *emphasis) reset() {
	for i := range e.stacks {
		e.stacks[i] = e.stacks[i][:0]
		e.lines[i] = parity{}
	}
}

// firstOpen returns where in out the first mark stands that may still be closed.
func (e *emphasis) firstOpen(edits []edit) (pos int, ok bool) {
	for _, s := range e.stacks {
		if len(s) > 0 && (!ok || edits[s[0].edit].pos < pos) {
			pos, ok = edits[s[0].edit].pos, true
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
	if c == '*' && n == 4 && len(p.emphasis.stacks[twoStars]) > 0 {
		if opens, closes := p.flanks(twoStars, run{i, end}); closes {
			p.pair(twoStars, i, i+2, run{i, end}, false, true)
			p.pair(twoStars, i+2, end, run{i, end}, opens, false)
			return end
		}
	}
	if n > 3 || c == '~' && n != 2 || c == '_' && n == 3 || c == '*' && p.isGlob(run{i, end}) { // ___ is a blank to fill in
		return p.literal(i, n)
	}
	first, second := oneStar, twoStars
	switch c {
	case '_':
		if size := p.identifier(i, end); size > 0 {
			return p.literal(i, size)
		}
		first, second = oneUnderscore, twoUnderscores
	case '~':
		second = twoTildes
	}
	at := run{i, end}
	switch n {
	case 1:
		opens, closes := p.flanks(first, at)
		p.pair(first, i, end, at, opens, closes)
	case 2:
		opens, closes := p.flanks(second, at)
		p.pair(second, i, end, at, opens, closes)
	default:
		opens, closes := p.flanks(first, at)
		opensTwo, closesTwo := p.flanks(second, at)
		p.pair(second, i, i+2, at, opensTwo, closesTwo)
		p.pair(first, i+2, end, at, opens || opensTwo && isBlank(p.after(end)), closes || closesTwo && isBlank(p.before(i)))
	}
	return end
}

// run is where a run of marks stands in src.
type run struct{ start, end int }

// pair closes the last open mark of its kind with the mark src[i:j] of a run, or leaves it open, or as text.
func (p *inline) pair(kind, i, j int, r run, opens, closes bool) {
	stack := &p.emphasis.stacks[kind]
	if k := len(*stack); closes && k > 0 {
		open := (*stack)[k-1]
		*stack = (*stack)[:k-1]
		p.close(open, i, j, r)
	} else if opens {
		p.edits = append(p.edits, edit{pos: len(p.out)})
		*stack = append(*stack, opener{len(p.edits) - 1, j})
	}
	p.literal(i, j-i)
}

// close takes away the mark src[i:j] and the one that it closes. Of blanks on both sides of a mark those inside go too.
func (p *inline) close(o opener, i, j int, r run) {
	open := &p.edits[o.edit]
	p.depend(open.pos)
	open.n = j - i
	if start := len(strings.TrimRight(p.src[:o.end], string(p.src[i]))); isBlank(p.before(start)) || isMark(p.before(start)) {
		open.n += leadingBlanks(p.src[o.end:])
	}
	inside := 0
	if next := p.after(r.end); i == r.start && (isBlank(next) || isMark(next)) {
		inside = trailingBlanks(p.src[:i])
	}
	p.edits = append(p.edits, edit{pos: len(p.out) - inside, n: inside + j - i})
}

// flanks tells whether a mark can open or close emphasis. It is looser than CommonMark where Chinese needs it (punctuation
// inside the marks, letters right behind them) and where models put blanks inside the marks, and stricter where
// code and sums are written without backticks: snake_case, 2*3*4, f(*args), 2 ** 3.
func (p *inline) flanks(kind int, at run) (opens, closes bool) {
	l, r := p.before(at.start), p.after(at.end)
	opens, closes = !unicode.IsSpace(r) && !p.ends(at), !unicode.IsSpace(l)
	switch kind {
	case oneStar:
		opens = opens && !isASCIIWord(l) && (!isMark(r) || !isWord(l))
		closes = closes && !isASCIIWord(r)
	case twoStars, twoTildes:
		return p.strong(kind, at, opens, closes)
	case oneUnderscore:
		opens, closes = opens && !isWord(l), closes && !isWord(r)
	case twoUnderscores:
		opens, closes = opens && !isASCIIWord(l), closes && !isASCIIWord(r)
	}
	return opens, closes
}

// strong is flanks for marks of two. Blanks inside them do no harm if the marks of the line come in pairs.
func (p *inline) strong(kind int, at run, strictOpens, strictCloses bool) (opens, closes bool) {
	opens, closes = strictOpens, strictCloses
	stack := p.emphasis.stacks[kind]
	if kind == twoStars && (p.isOperator(at) || p.isArgument(at)) {
		return false, false
	}
	l, r := p.before(at.start), p.after(at.end)
	if len(stack) == 0 {
		return opens || isBlank(r) && r != '\n' && !isASCIIWord(l) && p.paired(kind, at), false
	}
	from := stack[len(stack)-1].end
	switch {
	case strings.ContainsRune("([{（【《「“", l), isASCIIWord(l) && isASCIIWord(r) && strings.ContainsAny(p.src[from:at.start], " \t\n"):
		closes = false
	case !closes && strings.Trim(p.src[from:at.start], " \t") != "":
		closes = p.paired(kind, at) && from >= p.emphasis.lines[kind].start
	}
	return opens, closes
}

// paired reports whether the marks of two in the line come in pairs. Until the line has ended, it can change.
func (p *inline) paired(kind int, at run) bool {
	line := &p.emphasis.lines[kind]
	if at.start >= line.end {
		line.start = strings.LastIndexByte(p.src[:at.start], '\n') + 1
		line.end = len(p.src)
		if n := strings.IndexByte(p.src[at.start:], '\n'); n >= 0 {
			line.end = at.start + n
		}
		line.even = p.count(p.src[:line.end], line.start, p.src[at.start])%2 == 0
	}
	if p.open && line.end == len(p.src) {
		p.holdMarks()
	}
	return line.even
}

// count returns how many marks of two c there are in src from i on.
func (p *inline) count(src string, i int, c byte) int {
	marks := 0
	for i < len(src) {
		n := 1
		switch src[i] {
		case '\\':
			n = 2
		case '`':
			n = runLength(src[i:], '`')
			if end := spanEnd(src[i+n:], n); end >= 0 {
				n += end + n
			}
		case c:
			n = runLength(src[i:], c)
			at := run{i, i + n}
			switch {
			case n == 4:
				marks += 2
			case marks%2 == 0 && p.ends(run{i, i + n}): // it closes nothing, and opens nothing
			case (n == 2 || n == 3) && (c != '*' || !p.isOperator(at) && !p.isArgument(at) && !p.isGlob(at)):
				marks++
			}
		}
		i += n
	}
	return marks
}
