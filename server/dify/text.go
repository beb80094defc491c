package dify

import (
	"strings"
	"unicode/utf8"
)

// MaxText is the maximum length of an answer in bytes. The rest is dropped, and Answer.Cut set.
const MaxText = 256 << 10

// text is an answer's growing text. Its strings share memory, and stay valid while it grows.
type text struct {
	b   strings.Builder
	cut bool
	// half is a high surrogate at the end of the last delta: Python may split a character beyond U+FFFF between two
	// deltas. It is dropped if the low surrogate does not follow.
	half rune
}

// append adds a delta as lexer.text gives it.
func (t *text) append(delta []byte) {
	if len(delta) == 0 || t.cut {
		return
	}
	if t.half != 0 {
		var joined [utf8.UTFMax]byte
		both := appendChar(appendChar(joined[:0], t.half), halfAt(delta))
		t.half = 0
		if utf8.Valid(both) {
			t.write(string(both))
			delta = delta[halfLen:]
		} else {
			t.write(string(utf8.RuneError))
		}
	}
	if t.half = trailingHalf(delta); t.half != 0 {
		delta = delta[:len(delta)-halfLen]
	}
	t.writeBytes(delta)
}

func (t *text) writeBytes(b []byte) {
	if !utf8.Valid(b) {
		t.write(toUTF8(b))
		return
	}
	if room := MaxText - t.b.Len(); len(b) > room {
		t.write(string(b))
		return
	}
	t.b.Write(b)
}

func (t *text) write(s string) {
	if room := MaxText - t.b.Len(); len(s) > room {
		s = prefix(s, room)
		t.cut = true
	}
	t.b.WriteString(s)
}

func (t *text) replace(whole []byte) {
	t.b.Reset() // does not overwrite strings in use
	t.cut, t.half = false, 0
	t.append(whole)
}
