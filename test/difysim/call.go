package difysim

import (
	"context"
	"fmt"
	"slices"
	"time"
)

const (
	// rememberedCalls bounds the record of calls.
	rememberedCalls = 10_000
	// rememberedQuery bounds, in bytes, the question that a recorded call keeps.
	rememberedQuery = 1 << 10
	// rememberedBody is the size of a request above which its inputs and files are not recorded.
	rememberedBody = 4 << 10
)

// Request is a question as it came to POST /chat-messages.
type Request struct {
	Number         int // of the call, from 1
	Query          string
	User           string
	ConversationID string // as sent; empty = a new conversation
	Inputs         map[string]any
	Files          []File
	Blocking       bool
	AutoName       bool   // auto_generate_name, true unless sent as false
	From           string // the client's address, without port
	Traceparent    string // of the request's header
	size           int
}

// File is a file of a question.
type File struct {
	Type, TransferMethod, URL, UploadFileID string
}

// Outcome is how a call ended, seen from the server.
type Outcome string

// The outcomes.
const (
	Running  Outcome = "running"
	Answered Outcome = "answered" // up to its end event, even if the text was empty
	Refused  Outcome = "refused"  // with an HTTP error, or a page
	Paused   Outcome = "paused"   // until a person has said something
	Failed   Outcome = "failed"   // with an error in the stream
	Stopped  Outcome = "stopped"  // by the stop endpoint
	Cut      Outcome = "cut"      // by a fault that takes the end event away, or by Close
	Lost     Outcome = "lost"     // the client went away, and the answer with it
)

// Call is one recorded call of POST /chat-messages whose key was good. Its Query is kept up to 1 KiB; Inputs and
// Files are kept of small requests only.
type Call struct {
	Request
	Conversation  string // the one given, or the one made for the call; empty if it was refused
	Message, Task string
	Started       time.Time
	Ended         time.Time // zero while it runs
	Status        int       // of HTTP; 0 while unknown, or when the connection was cut before
	Deltas        int       // with text, written until the end
	Outcome       Outcome
	ClientGone    bool // the client closed the connection before the server did
}

// record is a call with what only the server needs.
type record struct {
	Call
	slot bool
}

// result is what a handler knows about its call at the end.
type result struct {
	status   int
	outcome  Outcome
	deltas   int
	gone     bool
	detached bool // the run goes on, a timer will end the call
}

// callRing keeps the latest calls.
type callRing struct {
	total   int
	records []*record
}

func (c *callRing) add(r *record) {
	c.total++
	r.Number = c.total
	if len(c.records) < rememberedCalls {
		c.records = append(c.records, r)
		return
	}
	c.records[(c.total-1)%rememberedCalls] = r
}

// each gives the remembered records, oldest first.
func (c *callRing) each(yield func(*record) bool) {
	oldest := 0
	if c.total > len(c.records) {
		oldest = c.total % rememberedCalls
	}
	for i := range c.records {
		if !yield(c.records[(oldest+i)%len(c.records)]) {
			return
		}
	}
}

// begin records a call and numbers its request.
func (s *Server) begin(q *Request) *record {
	r := &record{Call: Call{Request: *q, Started: time.Now(), Outcome: Running}}
	r.Query = firstBytes(q.Query, rememberedQuery)
	if q.size > rememberedBody {
		r.Inputs, r.Files = nil, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls.add(r)
	q.Number = r.Number
	s.unfinished++
	s.changedLocked()
	return r
}

func (s *Server) end(r *record, res result) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.endLocked(r, res)
}

func (s *Server) endLocked(r *record, res result) {
	r.Ended = time.Now()
	r.Status, r.Outcome, r.Deltas, r.ClientGone = res.status, res.outcome, res.deltas, res.gone
	if r.slot {
		s.slots--
	}
	s.unfinished--
	s.ended++
	s.changedLocked()
}

func firstBytes(text string, n int) string {
	if len(text) <= n {
		return text
	}
	return text[:n]
}

// Calls gives the latest calls (at most 10,000), oldest first.
func (s *Server) Calls() []Call {
	return s.selectCalls(func(*Call) bool { return true })
}

// CallsFor gives those of Calls that asked query.
func (s *Server) CallsFor(query string) []Call {
	query = firstBytes(query, rememberedQuery)
	return s.selectCalls(func(c *Call) bool { return c.Query == query })
}

func (s *Server) selectCalls(wanted func(*Call) bool) []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	var calls []Call
	for r := range s.calls.each {
		if wanted(&r.Call) {
			calls = append(calls, r.Call)
		}
	}
	return calls
}

// CallCount is how many calls have begun, ever.
func (s *Server) CallCount() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls.total
}

// RunningCount is how many calls run now, those included whose client left while the worker goes on.
func (s *Server) RunningCount() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.unfinished
}

// Requests is how often a route was asked, with whatever key and success, e.g. "DELETE /conversations/{id}".
func (s *Server) Requests(route string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.routes[route]
}

// WaitCalls waits until at least n calls have begun.
func (s *Server) WaitCalls(ctx context.Context, n int) error {
	return s.wait(ctx, "calls begun", n, func() (int, bool) { return s.calls.total, s.calls.total >= n })
}

// WaitEnded waits until at least n calls have ended.
func (s *Server) WaitEnded(ctx context.Context, n int) error {
	return s.wait(ctx, "calls ended", n, func() (int, bool) { return s.ended, s.ended >= n })
}

// WaitRunning waits until exactly n calls run: 0 waits for quiet.
func (s *Server) WaitRunning(ctx context.Context, n int) error {
	return s.wait(ctx, "calls running", n, func() (int, bool) { return s.unfinished, s.unfinished == n })
}

// wait blocks on changes of the record; holds is called under the lock.
func (s *Server) wait(ctx context.Context, what string, want int, holds func() (int, bool)) error {
	for {
		s.mu.Lock()
		got, ok := holds()
		if ok {
			s.mu.Unlock()
			return nil
		}
		changed := make(chan struct{})
		s.waiters = append(s.waiters, changed)
		s.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			s.mu.Lock()
			s.waiters = slices.DeleteFunc(s.waiters, func(c chan struct{}) bool { return c == changed })
			s.mu.Unlock()
			return fmt.Errorf("waiting for %s: have %d, want %d: %w", what, got, want, ctx.Err())
		}
	}
}

func (s *Server) changedLocked() {
	for _, waiter := range s.waiters {
		close(waiter)
	}
	s.waiters = s.waiters[:0]
}
