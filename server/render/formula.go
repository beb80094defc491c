package render

import "strings"

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
	private := n >= 0 && hasPrivate(rest[:n])
	switch {
	case n >= 0 && !private && isFormula(rest[:n]):
		return n + 4
	case n >= 0 && !private:
		return 0
	case inLine:
		p.noParen = i + 2 + len(rest)
	default:
		p.noDisplay = true
	}
	if n < 0 && (!inLine || eol < 0) {
		p.holdAt(len(p.out))
	}
	return 0
}

func isFormula(s string) bool {
	return strings.ContainsAny(s, `\^_={}+<>`) || 0 < len(s) && len(s) <= 2 && digits(s) < len(s) // \[1\] is a reference
}

// dollar handles formulas in $ $, which stay in their line, and in $$ $$. Prices are not formulas.
func (p *inline) dollar(i int) int {
	rest := p.src[i+1:]
	if rest == "" {
		return p.pending(i, 1)
	}
	if rest[0] == '$' {
		if !p.noDollars {
			switch n := strings.Index(rest[1:], "$$"); {
			case n < 0:
				p.noDollars = true
			case !hasPrivate(rest[1 : 1+n]):
				return p.literal(i, n+4)
			}
		}
		return p.pending(i, 2)
	}
	n := strings.IndexAny(rest, "$\n")
	switch {
	case isSpace(rest[0]) || n >= 0 && (rest[n] == '\n' || isSpace(rest[n-1])):
		return p.literal(i, 1)
	case n < 0, n+1 == len(rest):
		if n >= 0 && !p.open && !hasPrivate(rest[:n]) {
			return p.literal(i, n+2)
		}
		return p.pending(i, 1)
	case digits(rest[n+1:]) > 0, hasPrivate(rest[:n]):
		return p.literal(i, 1)
	}
	return p.literal(i, n+2)
}
