package dify

import (
	"bytes"
	"errors"
	"io"
	"math"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// pieces returns a JSON text in pieces, and io.EOF at its end. A piece is valid until the next call.
type pieces interface{ Data() ([]byte, error) }

// lexer reads one JSON text as it arrives. It needs memory only for the values that are kept.
//
// It is lenient: Python writes NaN and Infinity as numbers, and lone surrogates as escapes. Numbers and literals that are
// skipped are not checked. A value of another type than the one requested is skipped.
type lexer struct {
	src   pieces
	piece []byte
	at    int   // piece[at:] is not read yet
	err   error // of src, or errSyntax

	discarded bool // see discard

	names [48]byte // buffer for the name of a member
}

var errSyntax = errors.New("not JSON")

// fail ends the reading with errSyntax, unless src has failed.
func (l *lexer) fail() {
	l.at = len(l.piece)
	if l.err == nil || errors.Is(l.err, io.EOF) {
		l.err = errSyntax
	}
}

// discard ends the reading without an error of the text. Values read from now on are empty.
func (l *lexer) discard() { l.at, l.err, l.discarded = len(l.piece), errSyntax, true }

// atEnd reports, after a value, whether the text ends with it, or src has failed.
func (l *lexer) atEnd() bool { return l.peek() == 0 && !errors.Is(l.err, errSyntax) }

// more reports whether there is a byte to read.
func (l *lexer) more() bool { return l.at < len(l.piece) || l.next() }

func (l *lexer) next() bool {
	for l.err == nil {
		l.at = 0
		if l.piece, l.err = l.src.Data(); len(l.piece) > 0 {
			return true
		}
	}
	return false
}

// peek returns the next byte that is not white space, 0 at the end.
func (l *lexer) peek() byte {
	for l.more() {
		if b := l.piece[l.at]; b != ' ' && b != '\n' && b != '\t' && b != '\r' {
			return b
		}
		l.at++
	}
	return 0
}

// accept reads b if it is next.
func (l *lexer) accept(b byte) bool {
	if l.peek() != b {
		return false
	}
	l.at++
	return true
}

// members reads an object. It calls on with the name of each member; on has to read or skip the value. Long names are cut.
// It reports whether there was a complete object.
func (l *lexer) members(on func(name []byte)) bool {
	if l.peek() != '{' {
		l.skip()
		return false
	}
	l.accept('{')
	for first := true; ; first = false {
		switch {
		case l.accept('}'):
			return true
		case !first && !l.accept(','), l.peek() != '"':
			l.fail()
			return false
		}
		name := l.text(l.names[:0], len(l.names)-utf8.UTFMax)
		if !l.accept(':') {
			l.fail()
			return false
		}
		on(name)
	}
}

// elements reads an array. It calls on at each element; on has to read or skip it.
func (l *lexer) elements(on func()) {
	if l.peek() != '[' {
		l.skip()
		return
	}
	l.accept('[')
	for first := true; !l.accept(']'); first = false {
		if !first && !l.accept(',') || l.peek() == 0 {
			l.fail()
			return
		}
		on()
	}
}

// text reads a string and appends it to dst, until dst has more than limit bytes. A lone surrogate is appended as three
// bytes, as if UTF-8 could encode it.
func (l *lexer) text(dst []byte, limit int) []byte {
	if l.peek() != '"' {
		l.skip()
		return dst
	}
	l.at++
	for l.more() {
		rest := l.piece[l.at:]
		n := special(rest)
		if len(dst) <= limit {
			dst = append(dst, rest[:min(n, limit+1-len(dst))]...)
		}
		l.at += n
		if n == len(rest) {
			continue
		}
		l.at++
		if rest[n] == '"' {
			return dst
		}
		if char := l.escape(); len(dst) <= limit {
			dst = appendChar(dst, char)
		}
	}
	return dst
}

// short reads a string. It returns "" if it is longer than limit bytes.
func (l *lexer) short(limit int) string {
	var room [128]byte
	b := l.text(room[:0], limit)
	if len(b) > limit {
		return ""
	}
	return toUTF8(b)
}

// prefix reads a string and returns at most its first limit bytes.
func (l *lexer) prefix(limit int) string { return prefix(toUTF8(l.text(nil, limit)), limit) }

// special returns the index of the first quote or backslash, len(b) if there is none.
func special(b []byte) int {
	if b[0] == '\\' { // fast path: releases up to 1.8.0 escape all non-ASCII characters
		return 0
	}
	if quote := bytes.IndexByte(b, '"'); quote >= 0 {
		b = b[:quote]
	}
	if backslash := bytes.IndexByte(b, '\\'); backslash >= 0 {
		return backslash
	}
	return len(b)
}

// escape reads an escape sequence after its backslash. It returns the character itself if the sequence is unknown.
func (l *lexer) escape() rune {
	if !l.more() {
		return utf8.RuneError
	}
	b := l.piece[l.at]
	l.at++
	if i := strings.IndexByte("bfnrt", b); i >= 0 {
		return rune("\b\f\n\r\t"[i])
	}
	if b != 'u' {
		return rune(b)
	}
	var unit rune
	for range 4 {
		if !l.more() {
			return utf8.RuneError
		}
		digit := hexDigit(l.piece[l.at])
		if digit < 0 {
			return utf8.RuneError
		}
		unit = unit<<4 | digit
		l.at++
	}
	return unit
}

// hexDigit returns the value of a hexadecimal digit, -1 for other bytes.
func hexDigit(b byte) rune {
	switch {
	case b >= '0' && b <= '9':
		return rune(b - '0')
	case b|' ' >= 'a' && b|' ' <= 'f':
		return rune(b|' '-'a') + 10
	}
	return -1
}

// skip skips a value.
func (l *lexer) skip() {
	for depth := 0; ; {
		switch b := l.peek(); {
		case b == '"':
			l.text(nil, -1)
		case b == '{' || b == '[':
			depth++
			l.at++
		case depth > 0 && (b == '}' || b == ']'):
			depth--
			l.at++
		case depth > 0 && (b == ',' || b == ':'):
			l.at++
		case b == 0 || strings.IndexByte("}],:", b) >= 0:
			l.fail()
			return
		default:
			l.literal(nil)
		}
		if depth == 0 {
			return
		}
	}
}

// literal reads a number, true, false or null, and appends it to dst up to dst's capacity.
func (l *lexer) literal(dst []byte) []byte {
	for l.more() {
		rest := l.piece[l.at:]
		end := bytes.IndexAny(rest, ",:{}[]\" \t\r\n")
		whole := end >= 0
		if !whole {
			end = len(rest)
		}
		dst = append(dst, rest[:min(end, cap(dst)-len(dst))]...)
		l.at += end
		if whole {
			break
		}
	}
	return dst
}

// isLiteral reports whether the next value is neither a string nor an object nor an array.
func (l *lexer) isLiteral() bool { return strings.IndexByte("\x00\"{[]},:", l.peek()) < 0 }

// boolean reads a boolean.
func (l *lexer) boolean() bool {
	var room [8]byte
	if !l.isLiteral() {
		l.skip()
		return false
	}
	return string(l.literal(room[:0])) == "true"
}

// number reads a number, or a string that has one. It returns 0 for other values and for those that are not finite.
func (l *lexer) number() float64 {
	var room [32]byte
	digits := room[:0]
	switch {
	case l.peek() == '"':
		digits = l.text(digits, len(room)-utf8.UTFMax)
	case l.isLiteral():
		digits = l.literal(digits)
	default:
		l.skip()
	}
	f, err := strconv.ParseFloat(string(digits), 64)
	if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
		return 0
	}
	return f
}

// appendChar appends a character. It joins a low surrogate with a high one before it.
func appendChar(dst []byte, char rune) []byte {
	if !utf16.IsSurrogate(char) {
		return utf8.AppendRune(dst, char)
	}
	if high := trailingHalf(dst); high != 0 {
		if pair := utf16.DecodeRune(high, char); pair != utf8.RuneError {
			return utf8.AppendRune(dst[:len(dst)-halfLen], pair)
		}
	}
	return append(dst, 0xED, byte(0x80|char>>6&0x3F), byte(0x80|char&0x3F)) //nolint:gosec // of six bits each
}

// halfLen is the length of an encoded surrogate.
const halfLen = 3

// halfAt returns the surrogate at the start of b, 0 if there is none.
func halfAt(b []byte) rune {
	if len(b) < halfLen || b[0] != 0xED || b[1] < 0xA0 || b[1] > 0xBF || b[2] < 0x80 || b[2] > 0xBF {
		return 0
	}
	return 0xD000 | rune(b[1]&0x3F)<<6 | rune(b[2]&0x3F)
}

// trailingHalf returns the high surrogate at the end of b, 0 if there is none.
func trailingHalf(b []byte) rune {
	if half := halfAt(b[max(len(b)-halfLen, 0):]); half != 0 && half < 0xDC00 {
		return half
	}
	return 0
}

// toUTF8 returns b as a string, with U+FFFD for invalid bytes and lone surrogates.
func toUTF8(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	clean := make([]byte, 0, len(b)+utf8.UTFMax)
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		if halfAt(b) != 0 {
			n = halfLen
		}
		clean, b = utf8.AppendRune(clean, r), b[n:]
	}
	return string(clean)
}

// body returns at most limit bytes of a response's body as pieces.
type body struct {
	src   io.Reader
	limit int
	buf   [1 << 10]byte
}

var errTooLong = errors.New("the body is too long")

// Data implements pieces.
func (b *body) Data() ([]byte, error) {
	if b.limit < 0 {
		return nil, errTooLong
	}
	n, err := b.src.Read(b.buf[:])
	b.limit -= n
	if n > 0 {
		return b.buf[:n], nil // the next Read returns the error
	}
	return nil, err
}
