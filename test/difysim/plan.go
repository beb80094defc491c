package difysim

import (
	"cmp"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"
)

// step is one write of a stream: a delta (text, maybe empty), an event, or recorded bytes.
type step struct {
	at    time.Duration // since the start of the run
	text  string
	event func() object // made when it is written: thousands of streams wait at a time
	raw   []byte
	half  bool // only the first half of the bytes
	// before and after are the halves of a character around the text, as their escapes.
	before, after string
}

// appendText writes the text of a delta.
func (s *step) appendText(dst []byte, style *jsonStyle) []byte {
	if s.before == "" && s.after == "" {
		return style.appendString(dst, s.text)
	}
	text := style.appendString(nil, s.text)
	dst = append(append(dst, '"'), s.before...)
	dst = append(dst, text[1:len(text)-1]...)
	return append(append(dst, s.after...), '"')
}

// stored is what becomes of the message in the database.
type stored struct {
	answer, status, failure string
	files                   []madeFile
}

// plan is all that a run will write, and what comes of it.
type plan struct {
	open, deltas, end []step
	total             time.Duration // until the run is over
	outcome           Outcome       // Running: no end ever comes
	stored            stored
	answer            string
	headersFirst      bool
	hold              time.Duration // the connection stays open after the last step
	holdPings         bool
	reset             bool // the connection is reset after the last step
}

// said is the text that is out when the run is that old.
func (p *plan) said(elapsed time.Duration) string {
	return p.join(func(s *step) bool { return s.at <= elapsed })
}

// firstDeltas is the text of the first n deltas that have one.
func (p *plan) firstDeltas(n int) string {
	return p.join(func(*step) bool { n--; return n >= 0 })
}

func (p *plan) join(wanted func(*step) bool) string {
	var b strings.Builder
	for _, steps := range [][]step{p.open, p.deltas} { // text before a tool call is in the opening
		for i := range steps {
			if steps[i].text != "" && wanted(&steps[i]) {
				b.WriteString(steps[i].text)
			}
		}
	}
	return b.String()
}

// makePlan says what the run will write, from its behaviour, release and mode.
func (r *run) makePlan() *plan {
	b := &r.behaviour
	switch {
	case r.mute:
		return &plan{open: []step{r.ping()}, outcome: Failed, hold: relaySilence}
	case b.Fixture != "":
		return r.replay()
	case b.Fault.Kind == Hang:
		return r.hangingPlan()
	}
	p := &plan{total: max(b.Total, b.FirstText), outcome: Answered, answer: r.fullAnswer(), hold: b.Linger}
	p.stored = stored{answer: p.answer, status: "normal", files: r.files}
	r.planOpening(p)
	r.planDeltas(p)
	r.planEnd(p)
	r.planFault(p)
	return p
}

func (r *run) fullAnswer() string {
	b := &r.behaviour
	switch {
	case b.Fault.Kind == EmptyAnswer:
		return ""
	case b.Fixture != "":
		return r.recording().answer
	}
	answer := b.Answer
	if answer == "" {
		answer = Echo(r.question.Query, b.Length)
	}
	if b.Think != "" {
		answer = thinking(b.Think) + answer
	}
	if r.usesTool() {
		answer = beforeTool + "\n" + answer
	}
	return answer
}

func (r *run) usesTool() bool {
	return r.server.options.Mode == Agent && r.behaviour.Tool != "" && r.behaviour.Fault.Kind != EmptyAnswer
}

func (r *run) ping() step { return step{raw: []byte("event: ping\n\n")} }

// planDeltas spreads the text from FirstText to Total. The usual empty deltas come last.
func (r *run) planDeltas(p *plan) {
	b := &r.behaviour
	empties, before := r.emptyDeltas(), 0
	if r.usesTool() {
		before = toolDeltas
	}
	var texts []string
	if b.Fault.Kind != EmptyAnswer {
		if b.Think != "" {
			texts = thinkingDeltas(b.Think)
		}
		answer := b.Answer
		if answer == "" {
			answer = Echo(r.question.Query, b.Length)
		}
		texts = append(texts, split(answer, maxDeltas-len(texts)-empties-before)...)
	}
	for i, text := range texts {
		at := b.FirstText + (p.total-b.FirstText)*time.Duration(i)/time.Duration(len(texts))
		p.deltas = append(p.deltas, step{at: at, text: text})
	}
	for range empties {
		p.deltas = append(p.deltas, step{at: p.total})
	}
}

// emptyDeltas is how many deltas without text end a recorded answer.
func (r *run) emptyDeltas() int {
	switch {
	case r.server.options.Mode == Chatflow:
		return 2
	case r.server.options.Release != V0_6_5:
		return 1
	case r.server.options.Mode == Chat:
		return 2
	}
	return 0
}

// planFault turns a whole plan into the ordered failure.
func (r *run) planFault(p *plan) {
	f := &r.behaviour.Fault
	switch f.Kind {
	case ErrorEvent:
		r.planError(p)
	case Moderate:
		r.planModeration(p)
	case Pause:
		r.planPause(p)
	case Gap:
		r.planGap(p)
	case SplitSurrogates:
		p.deltas = splitSurrogates(p.deltas)
	case CutAfter:
		p.keepDeltas(f.Deltas)
		p.headersFirst, p.end, p.reset, p.outcome, p.hold = true, nil, true, Cut, 0
	case EndEarly:
		p.keepDeltas(f.Deltas)
		p.end, p.outcome, p.hold = nil, Cut, 0
	case Truncate:
		rest := p.keepDeltas(f.Deltas)
		if len(rest) == 0 {
			rest = p.end
		}
		p.end, p.outcome, p.hold = rest[:min(1, len(rest))], Cut, 0
		for i := range p.end {
			p.end[i].half = true
		}
	case NeverEnd:
		p.end, p.outcome, p.hold, p.holdPings = nil, Running, maxRun-p.total, true
		if r.relayed {
			p.hold, p.holdPings = relaySilence, false
		}
	default: // the others are over by now, or part of the end
	}
	if p.outcome == Cut && !r.relayed {
		p.stored.answer = "" // to Dify, the client went away
	}
}

// keepDeltas drops all but the first n deltas with text, and gives what it dropped.
func (p *plan) keepDeltas(n int) (dropped []step) {
	for i := range p.deltas {
		if p.deltas[i].text == "" {
			continue
		}
		if n == 0 {
			dropped, p.deltas = p.deltas[i:], p.deltas[:i]
			return dropped
		}
		n--
	}
	return nil
}

// lastDelta is when the plan's text is out.
func (r *run) lastDelta(p *plan) time.Duration {
	if len(p.deltas) > 0 {
		return p.deltas[len(p.deltas)-1].at
	}
	return r.behaviour.FirstText
}

// planError ends the plan as a failing model ends it.
func (r *run) planError(p *plan) {
	code, status, message := r.behaviour.Fault.modelError()
	p.keepDeltas(r.behaviour.Fault.Deltas)
	p.total = r.lastDelta(p)
	p.outcome, p.stored = Failed, stored{status: "error", failure: message}
	if r.server.options.Mode == Chatflow {
		p.end = r.failedWorkflow(p.total, message)
		return
	}
	p.end = []step{{at: p.total, event: func() object { return r.errorEvent(code, status, message) }}}
}

// hangingPlan has pings, and what the release does when its patience ends.
func (r *run) hangingPlan() *plan {
	if r.relayed {
		return &plan{open: []step{r.ping()}, outcome: Running, hold: relaySilence}
	}
	p := &plan{outcome: Running, stored: stored{status: "normal"}}
	p.stopped(r)
	p.outcome = Running
	for i := range p.end {
		p.end[i].at = maxRun
	}
	return p
}

// stopped makes the plan's end that of a stopped run, at once.
func (p *plan) stopped(r *run) {
	p.outcome, p.hold, p.reset = Stopped, 0, false
	p.end = nil
	if r.server.options.Mode == Chatflow {
		p.end = append(p.end, step{event: func() object { return r.workflowFinished("stopped", "", "Stopped by user.") }})
	}
	if !r.relayed {
		p.end = append(p.end, step{event: func() object { return r.messageEnd("") }})
	}
}

// aborted makes the plan's end that of a worker which somebody else stopped: the model's node finishes, the
// run fails.
func (p *plan) aborted(r *run) {
	const reason = "Aborted: User requested stop"
	p.outcome, p.hold, p.reset = Failed, 0, false
	p.stored = stored{answer: p.answer, status: "error", failure: reason}
	answer := p.answer
	p.end = []step{
		{event: func() object { return r.llmFinished(answer, "") }},
		{event: func() object { return r.workflowFinished("failed", answer, reason) }},
	}
}

// planModeration ends the plan as moderation ends it that has found something in the text so far: the text is replaced, and
// the run is stopped.
func (r *run) planModeration(p *plan) {
	text := cmp.Or(r.behaviour.Fault.Text, moderated)
	p.keepDeltas(r.behaviour.Fault.Deltas)
	p.total = r.lastDelta(p)
	at := p.total
	p.stored = stored{answer: text, status: "normal"}
	replaced := step{at: at, event: func() object { return r.messageReplace(text) }}
	end := step{at: at, event: func() object { return r.messageEnd(text) }}
	if r.server.options.Mode != Chatflow {
		p.end = []step{replaced, end}
		return
	}
	finished := step{at: at, event: func() object { return r.workflowFinished("stopped", "", "Output moderation") }}
	if r.relayed {
		p.end = []step{replaced, end, finished}
	} else {
		p.end = []step{replaced, finished, end}
	}
}

// planGap moves what follows the first deltas.
func (r *run) planGap(p *plan) {
	f := &r.behaviour.Fault
	n := f.Deltas
	for i := range p.deltas {
		if n <= 0 {
			p.deltas[i].at += f.Delay
		}
		if p.deltas[i].text != "" {
			n--
		}
	}
	for i := range p.end {
		p.end[i].at += f.Delay
	}
	p.total += f.Delay
}

// splitSurrogates splits the deltas within every character that a UTF-16 text has in two halves, as a model's tokens do. In
// between is a delta without text.
func splitSurrogates(deltas []step) (split []step) {
	for _, d := range deltas {
		rest := d
		for i, c := range d.text {
			if c <= 0xffff {
				continue
			}
			high, low := utf16.EncodeRune(c)
			first := rest
			first.text, first.after = d.text[len(d.text)-len(rest.text):i], string(appendEscape(nil, high))
			split = append(split, first, step{at: d.at})
			rest.before, rest.text = string(appendEscape(nil, low)), d.text[i+utf8.RuneLen(c):]
		}
		split = append(split, rest)
	}
	return split
}
