// Package sse reads the events of a text/event-stream body as the HTML standard's "event stream
// interpretation" defines them: LF, CR and CRLF line ends, a byte order mark, comments, fields with and
// without the space after the colon, several data lines. It knows bytes only: not what an event means, no
// reconnecting, no HTTP, no deadlines.
package sse

import (
	"bytes"
	"io"
)

// MaxEvent is the default bound of one event's bytes. Dify sends the full inputs and outputs of a workflow's
// nodes, which exceed 1 MiB in practice.
const MaxEvent = 16 << 20

// minEvent keeps the bound above what the parser needs to tell fields apart.
const minEvent = 16

// roomyBuffer is the size beyond which an empty buffer is not kept for the rest of the stream.
const roomyBuffer = 256 << 10

// headLen is how much of an over-long event is kept, so that a caller can tell what it was.
const headLen = 512

// Event is one event. Its slices belong to the Reader and are valid until the next call of Next.
type Event struct {
	// Type is the value of the last event field, empty if there was none.
	Type []byte
	// Data is the data lines joined by LF; nil if the event has no data line.
	Data []byte
	// TooLong says that the event exceeded the Reader's bound: Data is no more than its first bytes, and Type may
	// be missing.
	TooLong bool
	// Truncated says that the stream ended before the blank line that ends an event.
	Truncated bool
}

// Reader reads events from a stream, in time linear in its length and in memory bounded by the largest event.
type Reader struct {
	src io.Reader
	max int
	err error // of src; returned once what came before it has been handled

	buf        []byte
	start, end int // the bytes not yet let go are buf[start:end]; start is where the current event's data begins
	line       int // where the current line begins
	lf, cr     int // no LF in buf[line:lf], no CR in buf[line:cr]: each byte is searched once

	typ              []byte
	dataFrom, dataTo int  // the joined data lines, inside buf
	hasData, hasType bool // a line of that field was seen
	afterCR          bool // an LF that comes next belongs to the line end before it
	begun            bool // the first line, which may bear a byte order mark, is behind

	tooLong  bool // the event exceeds the bound; buf holds its head, its other lines are passed over
	skipLine bool // the beginning of the current line is no longer in buf
}

// NewReader returns a Reader of src. An event whose lines, from its first data line on, have more than maxEvent
// bytes is passed over and reported as TooLong; 0 means MaxEvent.
func NewReader(src io.Reader, maxEvent int) *Reader {
	if maxEvent <= 0 {
		maxEvent = MaxEvent
	}
	maxEvent = max(maxEvent, minEvent)
	return &Reader{src: src, max: maxEvent, buf: make([]byte, min(4<<10, maxEvent+minEvent))}
}

// Next returns the next event that has a data or an event field. At the stream's end it returns the error of the
// underlying reader, io.EOF for an orderly end; an event that this end cut off comes before it, marked Truncated.
func (r *Reader) Next() (Event, error) {
	r.release()
	for {
		from, to, ok := r.nextLine()
		switch {
		case !ok && r.err == nil:
			r.fill()
			continue
		case !ok:
			return r.last()
		case r.skipLine:
			r.skipLine = false
		case from == to && (r.hasData || r.hasType):
			r.tooLong = r.tooLong || r.hasData && from-r.start > r.max
			return r.event(false), nil
		case !r.tooLong:
			r.field(from, to)
		}
		r.letGo()
	}
}

// last gives what the end of the stream left of an event, then the end itself.
func (r *Reader) last() (Event, error) {
	if r.line < r.end && !r.skipLine && !r.tooLong {
		r.field(r.unmarked(r.line), r.end)
	}
	r.line = r.end
	r.tooLong = r.tooLong || r.hasData && r.end-r.start > r.max
	if r.hasData || r.hasType {
		return r.event(true), nil
	}
	return Event{}, r.err
}

// event returns the event that was gathered. Its state stays until release, as its data lies in buf.
func (r *Reader) event(truncated bool) Event {
	e := Event{TooLong: r.tooLong, Truncated: truncated}
	if r.hasType {
		e.Type = r.typ
	}
	if r.hasData {
		to := r.dataTo
		if r.tooLong {
			to = min(to, r.dataFrom+min(headLen, r.max))
		}
		e.Data = r.buf[r.dataFrom:to:to]
	}
	return e
}

// release drops the event that the last call returned.
func (r *Reader) release() {
	r.hasData, r.hasType, r.tooLong = false, false, false
	r.typ = r.typ[:0]
	r.letGo()
}

// letGo moves on past lines that are not part of an event's data, so that comments never add up.
func (r *Reader) letGo() {
	if !r.hasData {
		r.start = r.line
	}
}

// nextLine returns the bounds of the next complete line, without its end. A CR ends a line at once: waiting for
// the LF that may follow would hold an event back.
func (r *Reader) nextLine() (from, to int, ok bool) {
	if r.afterCR && r.line < r.end {
		r.afterCR = false
		if r.buf[r.line] == '\n' {
			r.line++
			r.letGo()
		}
	}
	r.lf, r.cr = r.search(r.lf, '\n'), r.search(r.cr, '\r')
	to = min(r.lf, r.cr)
	if to == r.end {
		return 0, 0, false
	}
	from = r.unmarked(r.line)
	r.line = to + 1
	r.afterCR = r.buf[to] == '\r'
	r.begun = true
	return from, to, true
}

// unmarked returns where the line at from begins behind a byte order mark, which only the first line may bear.
func (r *Reader) unmarked(from int) int {
	if !r.begun && bytes.HasPrefix(r.buf[from:r.end], []byte("\ufeff")) {
		return from + len("\ufeff")
	}
	return from
}

// search returns where the next c is, or end. Bytes before from are known to hold none.
func (r *Reader) search(from int, c byte) int {
	from = max(from, r.line)
	if i := bytes.IndexByte(r.buf[from:r.end], c); i >= 0 {
		return from + i
	}
	return r.end
}

// field takes the line buf[from:to] in. A data line's value is moved up to the one before it, so that the event's
// data is one piece without being copied out of the buffer.
func (r *Reader) field(from, to int) {
	name, value := r.buf[from:to], to
	if i := bytes.IndexByte(name, ':'); i >= 0 {
		name, value = name[:i], from+i+1
		if value < to && r.buf[value] == ' ' {
			value++
		}
	}
	switch {
	case string(name) == "event" && to-from <= r.max:
		r.typ = append(r.typ[:0], r.buf[value:to]...)
		r.hasType = true
	case string(name) != "data":
	case !r.hasData:
		r.hasData = true
		r.dataFrom, r.dataTo = value, to
	default:
		r.buf[r.dataTo] = '\n'
		r.dataTo += 1 + copy(r.buf[r.dataTo+1:], r.buf[value:to])
	}
}

// fill reads more of the stream, making room first.
func (r *Reader) fill() {
	switch {
	case r.tooLong:
		r.passOver()
	case r.skipLine:
		r.empty(0)
	case r.start == r.end:
		r.empty(0)
		if len(r.buf) > roomyBuffer {
			r.buf = make([]byte, roomyBuffer)
		}
	case r.end-r.start > r.max:
		r.abandon()
	case r.end == len(r.buf):
		r.makeRoom()
	}
	for range 100 { // as bufio: a reader that gives neither bytes nor an error must not hang us
		n, err := r.src.Read(r.buf[r.end:])
		r.end += n
		r.err = err
		if n > 0 || err != nil {
			return
		}
	}
	r.err = io.ErrNoProgress
}

// abandon gives up what exceeds the bound: the event, of which the head stays, or, before any data, the line.
func (r *Reader) abandon() {
	if !r.hasData {
		r.field(r.unmarked(r.line), r.end) // hasData now, if the endless line is one
		r.begun = true
	}
	if !r.hasData {
		r.skipLine = true
		r.empty(0)
		return
	}
	r.tooLong = true
	n := copy(r.buf, r.buf[r.dataFrom:min(r.dataTo, r.dataFrom+headLen)])
	r.dataFrom, r.dataTo = 0, n
	r.passOver()
}

// passOver drops what was read of an over-long event, except its head.
func (r *Reader) passOver() {
	r.skipLine = r.skipLine || r.line < r.end
	r.empty(r.dataTo)
}

// empty lets go of all bytes; the next are read to position at.
func (r *Reader) empty(at int) {
	r.start, r.line, r.lf, r.cr, r.end = at, at, at, at, at
}

// makeRoom moves the bytes still needed to the beginning of the buffer, or of one of twice the size.
func (r *Reader) makeRoom() {
	into := r.buf
	// Room for an event of the allowed size and a quarter more, so that moving costs little per byte read.
	limit := r.max + max(r.max/4, minEvent)
	if r.start <= len(r.buf)/2 && len(r.buf) < limit {
		into = make([]byte, min(2*len(r.buf), limit))
	}
	copy(into, r.buf[r.start:r.end])
	r.buf = into
	by := r.start
	r.start, r.end, r.line = 0, r.end-by, r.line-by
	r.lf, r.cr = max(r.lf-by, 0), max(r.cr-by, 0)
	r.dataFrom, r.dataTo = r.dataFrom-by, r.dataTo-by
}
