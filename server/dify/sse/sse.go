// Package sse reads the events of a text/event-stream body as the HTML standard's "event stream
// interpretation" defines them: LF, CR and CRLF line ends, a byte order mark, comments, fields with and
// without the space after the colon, several data lines. It does not know HTTP, deadlines, reconnecting or
// the meaning of events.
//
// An event's data is returned in pieces as it arrives. So an event of any length needs the same small memory, and
// can be skipped cheaply.
package sse

import (
	"bytes"
	"io"
)

const (
	// bufferSize is enough for a usual event of Dify's.
	bufferSize = 512
	// typeLen is the number of bytes of an event's type that are kept. Dify has one type, ping.
	typeLen = 32

	byteOrderMark = "\ufeff"
)

// Reader reads events from a stream, in time linear in its length and in constant memory.
type Reader struct {
	src  io.Reader
	buf  [bufferSize]byte
	r, w int   // buf[r:w] is not used yet
	err  error // of src; returned when buf is used up

	typ     [typeLen]byte
	typLen  int
	hasType bool

	state   state
	markup  bool // see Markup
	begun   bool // the place of a byte order mark is behind
	afterCR bool // an LF that is next belongs to the previous line end
}

type state int

const (
	noData   state = iota // at the start of a line; there is no data yet, or no more
	inData                // in a data line
	nextLine              // at the start of the line after a data line
)

// NewReader returns a Reader of src.
func NewReader(src io.Reader) *Reader { return &Reader{src: src} }

// Type returns the type of the current event, at most 32 bytes, as far as it has been read. It is final when Data has
// returned io.EOF.
func (r *Reader) Type() []byte { return r.typ[:r.typLen] }

// Markup reports whether a line between events started with "<": the body is HTML then.
func (r *Reader) Markup() bool { return r.markup }

// Next skips the rest of the current event and moves to the next one that has an event or a data field. hasData reports
// whether it has data. At the end of the stream it returns the error of the underlying reader.
func (r *Reader) Next() (hasData bool, err error) {
	for r.state == inData || r.state == nextLine {
		if _, err := r.Data(); err != nil {
			break
		}
	}
	r.state, r.typLen, r.hasType = noData, 0, false
	for {
		switch f, ok := r.field(); {
		case !ok:
			if r.hasType { // truncated after its type
				return false, nil
			}
			return false, r.err
		case f == data:
			r.state = inData
			return true, nil
		case f == event:
			r.readType()
		case f == blank:
			if r.hasType {
				return false, nil
			}
		default:
			r.markup = r.markup || r.buf[r.r] == '<'
			r.skipLine()
		}
	}
}

var newline = []byte{'\n'}

// Data returns the next piece of the current event's data, which is valid until the next call. Data lines are joined by
// LF. After the last piece it returns io.EOF. If the stream ends before the event does, it returns io.ErrUnexpectedEOF or
// the error of the underlying reader.
func (r *Reader) Data() ([]byte, error) {
	for {
		switch r.state {
		case inData:
			if r.r == r.w && !r.fill() {
				return nil, r.truncated()
			}
			rest := r.buf[r.r:r.w]
			end := lineEnd(rest)
			if end < 0 {
				r.r = r.w
				return rest, nil
			}
			r.r += end
			r.endLine()
			r.state = nextLine
			if end > 0 {
				return rest[:end], nil
			}
		case nextLine:
			switch f, ok := r.field(); {
			case !ok:
				return nil, r.truncated()
			case f == data:
				r.state = inData
				return newline, nil
			case f == blank:
				r.state = noData
				return nil, io.EOF
			case f == event:
				r.readType()
			default:
				r.skipLine()
			}
		default:
			return nil, io.EOF
		}
	}
}

func (r *Reader) truncated() error {
	r.state = noData
	if r.err == io.EOF { //nolint:errorlint // as io.Reader demands
		return io.ErrUnexpectedEOF
	}
	return r.err
}

// field is the kind of a line.
type field int

const (
	other field = iota // an unused field, or a comment
	blank
	data
	event
)

// field reads a line's name, colon and space, or a blank line. ok is false at the end of the stream.
func (r *Reader) field() (f field, ok bool) {
	if !r.begun {
		r.begun = true
		if r.have(1) && r.buf[r.r] == byteOrderMark[0] && r.have(len(byteOrderMark)) &&
			string(r.buf[r.r:r.r+len(byteOrderMark)]) == byteOrderMark {
			r.r += len(byteOrderMark)
		}
	}
	if r.afterCR && r.have(1) {
		r.afterCR = false
		if r.buf[r.r] == '\n' {
			r.r++
		}
	}
	if !r.have(1) {
		return other, false
	}
	if b := r.buf[r.r]; b == '\n' || b == '\r' {
		r.endLine()
		return blank, true
	}
	for _, known := range [...]struct {
		name string
		f    field
	}{{"data", data}, {"event", event}} {
		n := len(known.name)
		if r.buf[r.r] != known.name[0] || !r.have(n) || string(r.buf[r.r:r.r+n]) != known.name {
			continue
		}
		whole := r.have(n + 1)
		switch {
		case !whole, r.buf[r.r+n] == '\n', r.buf[r.r+n] == '\r':
			r.r += n
			return known.f, true
		case r.buf[r.r+n] == ':':
			if r.have(n+2) && r.buf[r.r+n+1] == ' ' {
				n++
			}
			r.r += n + 1
			return known.f, true
		}
	}
	return other, true
}

// readType reads the rest of a line as the event's type.
func (r *Reader) readType() {
	r.typLen, r.hasType = 0, true
	r.restOfLine(func(piece []byte) { r.typLen += copy(r.typ[r.typLen:], piece) })
}

func (r *Reader) skipLine() { r.restOfLine(func([]byte) {}) }

// restOfLine reads the rest of a line and its end.
func (r *Reader) restOfLine(take func(piece []byte)) {
	for r.r < r.w || r.fill() {
		rest := r.buf[r.r:r.w]
		if end := lineEnd(rest); end >= 0 {
			take(rest[:end])
			r.r += end
			r.endLine()
			return
		}
		take(rest)
		r.r = r.w
	}
}

// endLine reads a CR or LF. It does not wait for an LF after a CR: that would delay the event.
func (r *Reader) endLine() {
	r.afterCR = r.buf[r.r] == '\r'
	r.r++
}

// lineEnd returns the index of the first CR or LF, -1 if there is none.
func lineEnd(b []byte) int {
	lf := bytes.IndexByte(b, '\n')
	if lf >= 0 {
		b = b[:lf]
	}
	if cr := bytes.IndexByte(b, '\r'); cr >= 0 {
		return cr
	}
	return lf
}

// have reads until n bytes are in the buffer. It returns false if the stream ends before.
func (r *Reader) have(n int) bool {
	for r.w-r.r < n {
		if !r.fill() {
			return false
		}
	}
	return true
}

// fill reads more into the buffer. It returns false at the end of the stream.
func (r *Reader) fill() bool {
	if r.err != nil {
		return false
	}
	if r.r > 0 {
		r.w = copy(r.buf[:], r.buf[r.r:r.w])
		r.r = 0
	}
	for range 100 { // like bufio: a reader may return neither bytes nor an error
		n, err := r.src.Read(r.buf[r.w:])
		r.w += n
		r.err = err
		if n > 0 {
			return true
		}
		if err != nil {
			return false
		}
	}
	r.err = io.ErrNoProgress
	return false
}
