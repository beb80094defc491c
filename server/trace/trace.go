// Package trace has the spans that turns are traced by, with the IDs of W3C Trace Context. The trace and the root span of
// a turn are named by what the turn is called: replicas that see its deliveries put their spans into one trace, and share
// nothing for it.
//
// It knows nothing of turns, of HTTP, and of where spans go. A nil *Turn and a nil *Span are those of a turn that is not
// traced: all their methods do nothing, at no cost.
package trace

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"sync"
	"time"
)

// ID names a trace.
type ID [16]byte

// SpanID names a span within its trace.
type SpanID [8]byte

func (i ID) String() string     { return hex.EncodeToString(i[:]) }
func (i SpanID) String() string { return hex.EncodeToString(i[:]) }

// Kind says which side of a call a span is.
type Kind uint8

// The kinds of spans, by their numbers in OTLP.
const (
	Internal Kind = 1
	Server   Kind = 2
	Client   Kind = 3
)

// Attribute says something about a span or an event. It carries no text of a follower's or of an answer.
type Attribute struct {
	Key    string
	Text   string // the value, unless it is a number
	Number int64
	IsText bool
}

// Text is an attribute with a word for its value.
func Text(key, value string) Attribute { return Attribute{Key: key, Text: value, IsText: true} }

// Number is an attribute with a number for its value.
func Number[N ~int | ~int64 | ~uint8](key string, value N) Attribute {
	return Attribute{Key: key, Number: int64(value)}
}

// Event is a moment of a span.
type Event struct {
	Name       string
	At         time.Time
	Attributes []Attribute
}

// Finished is a span that is over, as it is exported. It is not changed any more.
type Finished struct {
	Trace      ID
	ID, Parent SpanID // Parent is zero for the root
	Name       string
	Kind       Kind
	Start, End time.Time
	Attributes []Attribute
	Events     []Event
	Error      string // what went wrong, in a word; empty if nothing did
}

// maxKnown bounds the turns whose spans are kept in mind. Those without an open span go first.
const maxKnown = 4096

// Tracer makes the traces of turns. It is safe for concurrent use.
type Tracer struct {
	export    func(*Finished)
	threshold uint64 // traces whose randomness is below it are left out

	mu    sync.Mutex
	known map[ID]*known
}

// known is what this process knows of a turn: its root span covers all spans of the turn that began here before its end.
type known struct {
	open        int // spans
	first, last time.Time
	root        *Finished // waits until no span is open
}

// New makes a tracer of so many percent of the turns, 1 to 100. The choice is by the trace's ID, as W3C Trace Context level 2
// and OpenTelemetry's consistent sampling have it, so that all replicas make the same. export takes the spans and must not block.
func New(percent int, export func(*Finished)) *Tracer {
	const all = 1 << 56
	return &Tracer{export: export, threshold: all - all*uint64(min(max(percent, 0), 100))/100, known: make(map[ID]*known)}
}

// Turn is the trace of one turn; nil if the turn is not one of those that are traced. The name is the same on all replicas,
// and looks random.
func (t *Tracer) Turn(name [32]byte) *Turn {
	turn := &Turn{tracer: t, id: ID(name[:16]), root: SpanID(name[16:24])}
	if binary.BigEndian.Uint64(turn.id[8:])&(1<<56-1) < t.threshold {
		return nil
	}
	return turn
}

// Turn is the trace of one turn.
type Turn struct {
	tracer *Tracer
	id     ID
	root   SpanID
}

// ID is the trace's ID in hexadecimal digits; "" if the turn is not traced.
func (t *Turn) ID() string {
	if t == nil {
		return ""
	}
	return t.id.String()
}

// Start begins a span below the root.
func (t *Turn) Start(name string, kind Kind, at time.Time) *Span {
	if t == nil {
		return nil
	}
	return t.start(name, kind, at, t.root)
}

func (t *Turn) start(name string, kind Kind, at time.Time, parent SpanID) *Span {
	s := &Span{turn: t, Finished: Finished{Trace: t.id, ID: newSpanID(), Parent: parent, Name: name, Kind: kind, Start: at}}
	t.tracer.begun(t.id, at)
	return s
}

// End ends the turn: its root span goes out as soon as no span that this process has begun in it is open any more, and
// covers them all. It is called by the one process that has ended the turn.
func (t *Turn) End(name string, start, end time.Time, failure string, attributes ...Attribute) {
	if t == nil {
		return
	}
	t.tracer.over(&Finished{
		Trace: t.id, ID: t.root, Name: name, Kind: Server, Start: start, End: end, Error: failure, Attributes: attributes,
	})
}

// Span is a part of a turn's trace that is under way. One goroutine at a time uses it; Event may be called by any.
type Span struct {
	turn *Turn
	mu   sync.Mutex
	Finished
}

// Start begins a span below this one.
func (s *Span) Start(name string, kind Kind, at time.Time) *Span {
	if s == nil {
		return nil
	}
	return s.turn.start(name, kind, at, s.ID)
}

// Event notes that something happens now.
func (s *Span) Event(name string, attributes ...Attribute) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Events = append(s.Events, Event{Name: name, At: time.Now(), Attributes: attributes})
}

// Finish ends the span now; failure is a word for what went wrong, or empty.
func (s *Span) Finish(failure string, attributes ...Attribute) {
	s.FinishAt(time.Now(), failure, attributes...)
}

// FinishAt ends the span at a time.
func (s *Span) FinishAt(at time.Time, failure string, attributes ...Attribute) {
	if s == nil {
		return
	}
	s.mu.Lock()
	s.End, s.Error, s.Attributes = at, failure, attributes
	done := s.Finished
	s.mu.Unlock()
	s.turn.tracer.finished(&done)
}

// Traceparent is the header that carries the span on to whoever is called, as W3C Trace Context has it; "" for none.
func (s *Span) Traceparent() string {
	if s == nil {
		return ""
	}
	return "00-" + s.Trace.String() + "-" + s.ID.String() + "-01"
}

func newSpanID() (id SpanID) {
	for id == (SpanID{}) {
		_, _ = rand.Read(id[:]) // it never fails
	}
	return id
}

// begun counts a span of a turn.
func (t *Tracer) begun(of ID, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	k := t.known[of]
	if k == nil {
		t.makeRoom()
		k = new(known)
		t.known[of] = k
	}
	k.open++
	if k.first.IsZero() || at.Before(k.first) {
		k.first = at
	}
}

// makeRoom forgets the turns of which no span is open: others have ended them, or will.
func (t *Tracer) makeRoom() {
	if len(t.known) < maxKnown {
		return
	}
	for id, k := range t.known {
		if k.open == 0 {
			delete(t.known, id)
		}
	}
}

// finished exports a span, and the root if it has waited for that.
func (t *Tracer) finished(s *Finished) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.export(s)
	k := t.known[s.Trace]
	if k == nil {
		return
	}
	k.open--
	if s.End.After(k.last) {
		k.last = s.End
	}
	if k.open == 0 && k.root != nil {
		t.exportRoot(k)
	}
}

// over has the root of a turn exported, at once or when its last span is.
func (t *Tracer) over(root *Finished) {
	t.mu.Lock()
	defer t.mu.Unlock()
	k := t.known[root.Trace]
	if k == nil {
		k = new(known)
	}
	k.root = root
	if k.open == 0 {
		t.exportRoot(k)
	}
}

func (t *Tracer) exportRoot(k *known) {
	if !k.first.IsZero() && k.first.Before(k.root.Start) {
		k.root.Start = k.first
	}
	if k.last.After(k.root.End) {
		k.root.End = k.last
	}
	t.export(k.root)
	delete(t.known, k.root.Trace)
}
