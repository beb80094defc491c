package difysim

import (
	"cmp"
	"slices"
	"time"
)

func (r *run) recording() *stream {
	recorded, err := recordedStream(r.behaviour.Fixture)
	if err != nil {
		panic("difysim: " + err.Error()) // the behaviour was validated
	}
	return recorded
}

// adopt gives the run the ids of its recording, so that the conversation goes on and a stop finds it. Several
// runs of one recording share them: the conversation then belongs to the latest user.
func (r *run) adopt() {
	recorded := r.recording()
	r.conversation = cmp.Or(recorded.conversation, r.conversation)
	r.message = cmp.Or(recorded.message, r.message)
	r.task = cmp.Or(recorded.task, r.task)
}

// replay writes a recording byte by byte: what precedes the text at once, the text and what follows from
// FirstText to Total. Its pings are its own.
func (r *run) replay() *plan {
	recorded := r.recording()
	r.pings = false
	p := &plan{
		total: max(r.behaviour.Total, r.behaviour.FirstText), outcome: Answered, answer: recorded.answer,
		stored: stored{answer: recorded.answer, status: "normal"}, hold: r.behaviour.Linger,
	}
	if recorded.holds {
		p.hold = max(p.hold, relaySilence)
	}
	first := slices.IndexFunc(recorded.blocks, func(b block) bool { return b.text != "" })
	if first < 0 {
		first = len(recorded.blocks)
	}
	rest := len(recorded.blocks) - first
	last := first
	for i, b := range recorded.blocks {
		s := step{raw: b.bytes, text: b.text}
		if i >= first {
			s.at = r.behaviour.FirstText + (p.total-r.behaviour.FirstText)*time.Duration(i-first)/time.Duration(max(rest-1, 1))
		}
		p.deltas = append(p.deltas, s)
		if b.text != "" {
			last = i + 1
		}
	}
	p.open, p.deltas, p.end = p.deltas[:first], p.deltas[first:last], p.deltas[last:]
	r.planFault(p)
	return p
}
