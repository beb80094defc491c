package render

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// What looks like a mark of emphasis where code and sums stand in text without backticks.

// operand is what stands on one side of two stars.
type operand int

const (
	noOperand operand = iota
	anyWord
	oneLetter // a variable
	aNumber
	inBrackets
)

// isOperator reports whether two stars are a power: 2**3, x ** y, (a+b)**2. Words on both sides are none.
func (p *inline) isOperator(at run) bool {
	if isBlank(p.before(at.start)) != isBlank(p.after(at.end)) {
		return false
	}
	spaced := isBlank(p.before(at.start))
	l, r := p.operands(at)
	if l == noOperand || r == noOperand {
		return false
	}
	if spaced {
		return l != anyWord || r != anyWord
	}
	return l != anyWord && r != anyWord
}

func (p *inline) operands(at run) (l, r operand) {
	left := strings.TrimRight(p.src[:at.start], " \t")
	l = kindOf(wordBefore(left))
	if l == noOperand && (strings.HasSuffix(left, ")") || strings.HasSuffix(left, "]")) {
		l = inBrackets
	}
	right := strings.TrimPrefix(strings.TrimLeft(p.src[at.end:], " \t"), "-")
	word := wordAfter(right)
	r = kindOf(word)
	if r == noOperand && len(right) > 1 && right[0] == '(' && isAlnum(right[1]) {
		r = inBrackets
	}
	if len(word) >= len(right)-1 && p.open { // it may go on
		p.holdMarks()
	}
	return l, r
}

func kindOf(word string) operand {
	switch {
	case word == "":
		return noOperand
	case digits(word) > 0:
		return aNumber
	case len(word) == 1:
		return oneLetter
	}
	return anyWord
}

// isArgument reports whether two stars unpack an argument: f(**options), g(x, **kwargs).
func (p *inline) isArgument(at run) bool {
	word := wordAfter(p.src[at.end:])
	left := strings.TrimRight(p.src[:at.start], " \t")
	first, later := strings.HasSuffix(left, "("), strings.HasSuffix(left, ",")
	end := at.end + len(word)
	if end == len(p.src) && p.open && (first || later) {
		p.holdMarks()
	}
	after := p.after(end)
	return word != "" && (first && after == ',' || (first || later) && after == ')' || word == "kwargs" && after != '*')
}

// isGlob reports whether stars belong to a pattern of file names: **/*.js, src/**/test, *.go.
func (p *inline) isGlob(at run) bool {
	if p.open && at.end+2 > len(p.src) { // what follows decides
		p.holdMarks()
	}
	next := clip(p.src[at.end:], 2)
	if len(next) < 2 {
		return false
	}
	before := p.before(at.start)
	switch {
	case next[0] == '/':
		return before == '/' || next[1] == '*' && (isBlank(before) || strings.ContainsRune("([{\"'=:（【“‘：，、", before))
	case next[0] == '.' && at.end-at.start == 1:
		return next[1] == '{' || 'a' <= lower(next[1]) && lower(next[1]) <= 'z'
	}
	return false
}

// ends reports whether no emphasis can begin with the marks because punctuation that ends something follows. So the stars of
// 张**、李** hide a name, and the lines of 望__，思__。 wait for a word. Punctuation alone may be marked: **。**
func (p *inline) ends(at run) bool {
	r := p.after(at.end)
	if !strings.ContainsRune("，。、；！？）】》」』”’,;)]", r) {
		return false
	}
	rest := p.src[at.end+utf8.RuneLen(r):]
	if p.open && len(rest) < at.end-at.start { // what follows decides
		p.holdMarks()
	}
	return !strings.HasPrefix(rest, p.src[at.start:at.end])
}

// holdMarks withholds what the mark that comes next may change.
func (p *inline) holdMarks() {
	p.holdAt(len(p.out))
	if pos, ok := p.emphasis.firstOpen(p.edits); ok {
		p.holdAt(pos)
	}
}

// identifiers are names that begin and end with two underscores, without them.
var identifiers = names(`abs abstractmethods add aenter aexit aiter all and anext annotations asm attribute await bases bool builtins
	bytes cached call cause ceil class closure code complex concat contains context copy COUNTER cplusplus cuda DATE debug
	deepcopy defaults del delattr delete delitem device dict dir dirname divmod doc enter eq exit FILE file filename fixtures float
	floor floordiv format forceinline fspath func FUNCTION future ge get getattr getattribute getitem getstate global globals
	gt hash host iadd import index init inline instancecheck int invert iter kwdefaults le len LINE lt main matmul
	metaclass missing mocks mod module mro mul name ne neg new next nonzero or package path pow prepare proto pycache qualname radd
	repr restrict reversed rmul round rsub set setattr setitem setstate shared sizeof slots snapshots spec str sub subclasses tests
	TIME traceback truediv trunc typename typeof VA_ARGS version wrapped xor post_init set_name init_subclass match_args`)

// identifier returns the length of what is left as it is from the underscores src[i:end] on, because they belong to a name:
// snake_case, _private_field, __init__, @__x__, _config_.yml, f_(x). It is 0 for marks around a word or several.
func (p *inline) identifier(i, end int) int {
	left, right := wordBefore(p.src[:i]), wordAfter(p.src[end:])
	word := strings.Trim(left+"_"+right, "_")
	stop := end + len(right)
	if p.open && stop >= len(p.src)-1 { // what follows decides
		p.holdMarks()
	}
	before, after := p.before(i-len(left)), clip(p.src[min(stop, len(p.src)):], 2)
	part := strings.ContainsRune("./\\@", before) || after != "" && strings.IndexByte("([", after[0]) >= 0 ||
		len(after) == 2 && strings.IndexByte("./\\", after[0]) >= 0 && isAlnum(after[1])
	switch {
	case strings.IndexByte(word, '_') >= 0, part && word != "":
		return stop - i
	case identifiers[word] && strings.HasPrefix(p.src[i-len(left):], "__") && strings.HasSuffix(p.src[:stop], "__"):
		return stop - i
	}
	return 0
}

// wordBefore and wordAfter return the ASCII letters, digits and underscores at the end and at the beginning of s, maxMark of
// them at most.
func wordBefore(s string) string {
	n := len(s)
	for n > 0 && len(s)-n < maxMark && (isAlnum(s[n-1]) || s[n-1] == '_') {
		n--
	}
	return s[n:]
}

func wordAfter(s string) string {
	n := 0
	for n < len(s) && n < maxMark && (isAlnum(s[n]) || s[n] == '_') {
		n++
	}
	return s[:n]
}

func isBlank(r rune) bool { return r == ' ' || r == '\t' || r == '\n' }

func leadingBlanks(s string) int { return len(s) - len(strings.TrimLeft(s, " \t")) }

func trailingBlanks(s string) int { return len(s) - len(strings.TrimRight(s, " \t")) }

func isWord(r rune) bool { return r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r) }

func isASCIIWord(r rune) bool { return r < 0x80 && isWord(r) }

func isDigit(r rune) bool { return '0' <= r && r <= '9' }

// isMark reports whether r is punctuation or a symbol.
func isMark(r rune) bool { return unicode.IsPunct(r) || unicode.IsSymbol(r) }
