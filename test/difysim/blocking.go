package difysim

import (
	"net/http"
)

// block answers in blocking mode: one JSON body when the run is over, and not a byte before.
func (r *run) block(res *result) {
	defer func() {
		if r.timer != nil {
			r.timer.Stop()
		}
	}()
	r.pings = false
	r.plan = r.makePlan()
	until := r.plan.total
	if r.plan.outcome == Running {
		until = maxRun
	}
	switch r.pause(until) {
	case left:
		r.abandon(res)
		return
	case closing:
		*res = result{outcome: Cut}
		resetConnection(r.w)
		return
	case stopped:
		r.plan.stored.answer = r.plan.said(r.elapsed())
		r.plan.outcome = Stopped
	case none:
	}
	r.store(r.plan.stored)
	switch r.plan.outcome {
	case Running, Cut:
		*res = result{outcome: Cut}
		resetConnection(r.w)
	case Failed:
		no := r.failedBlocking()
		*res = result{status: no.status, outcome: Failed}
		write(r.w, no)
	default:
		*res = result{status: http.StatusOK, outcome: r.plan.outcome}
		write(r.w, r.blockingBody())
	}
}

// failedBlocking gives the model's failure its real HTTP status.
func (r *run) failedBlocking() *response {
	code, status, message := r.behaviour.Fault.modelError()
	if r.server.options.Mode == Chatflow {
		code, status, message = "invalid_param", http.StatusBadRequest, "Run failed: "+message
	}
	return problem(status, code, message)
}

func (r *run) blockingBody() *response {
	answer := r.plan.stored.answer
	body := spaced.append(nil, object{
		{"event", "message"}, {"task_id", r.task}, {"id", r.message}, {"message_id", r.message},
		{"conversation_id", r.conversation}, {"mode", r.server.options.Mode.String()}, {"answer", answer},
		{"metadata", r.metadata(answer)}, {"created_at", r.started.Unix()},
	})
	return &response{status: http.StatusOK, contentType: "application/json", body: body}
}
