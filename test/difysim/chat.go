package difysim

import (
	"fmt"
	"net/http"
)

// htmlPage is what a wrong address or a captive portal answers: success, and no API.
const htmlPage = "<!DOCTYPE html>\n<html><head><title>登录</title></head><body><form>请登录后使用</form></body></html>\n"

// chatMessages serves POST /chat-messages.
func (s *Server) chatMessages(w http.ResponseWriter, r *http.Request) {
	question, no := s.readQuestion(w, r)
	call := s.begin(&question)
	res := result{outcome: Lost, gone: true}
	defer func() { // also when a fault aborts the handler
		if !res.detached {
			s.end(call, res)
		}
	}()
	var b Behaviour
	if no == nil {
		b, no = s.choose(&question)
	}
	if no == nil {
		switch b.Fault.Kind {
		case CutBefore:
			res = result{outcome: Cut}
			resetConnection(w)
			return
		case SlowHeaders:
			if !s.sleep(r.Context(), b.Fault.Delay) {
				return
			}
		default:
			no = s.refusal(&b.Fault)
		}
	}
	if no == nil {
		no = s.checkFiles(&question)
	}
	if no == nil {
		no = s.admit(call)
	}
	if no != nil {
		res = result{status: no.status, outcome: Refused}
		write(w, no)
		return
	}
	run, no := s.start(w, r, &question, b, call)
	if no != nil {
		res = result{status: no.status, outcome: Refused}
		write(w, no)
		return
	}
	defer func() {
		if !res.detached {
			s.forgetRun(run)
		}
	}()
	if question.Blocking {
		run.block(&res)
	} else {
		run.stream(&res)
	}
}

func (s *Server) choose(q *Request) (Behaviour, *response) {
	script := s.script.Load()
	if script == nil {
		return s.standing.Load().next(), nil
	}
	b := (*script)(*q)
	if err := b.Validate(); err != nil {
		return b, &response{500, "text/plain; charset=utf-8", []byte("difysim: the script: " + err.Error() + "\n"), true, ""}
	}
	return b, nil
}

// refusal gives what a fault answers in place of a run.
func (s *Server) refusal(f *Fault) *response {
	switch f.Kind {
	case HTTPError:
		return mustErrorBody(f.Name)
	case TooManyRequests:
		return s.tooMany(max(s.options.MaxActiveRequests, 1))
	case HTMLPage:
		return &response{http.StatusOK, "text/html; charset=utf-8", []byte(htmlPage), true, ""}
	case Redirect:
		return &response{http.StatusFound, "text/html; charset=utf-8", []byte(htmlPage), true, f.Text}
	default:
		return nil
	}
}

// tooMany is what a full app says. Documented as 429, it has been 400 since 0.14.2.
func (s *Server) tooMany(limit int) *response {
	return problem(http.StatusBadRequest, "invalid_param", fmt.Sprintf("Too many requests. Please try again later. "+
		"The current maximum concurrent requests allowed for %s is %d.", s.app, limit))
}

// admit takes one of the app's slots, which the end of the call gives back.
func (s *Server) admit(call *record) *response {
	limit := s.options.MaxActiveRequests
	if limit == 0 {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.slots >= limit {
		return s.tooMany(limit)
	}
	s.slots++
	call.slot = true
	return nil
}

// start opens the conversation and makes the run. What a relayed run cannot start with is no refusal: the client
// gets a ping, and silence.
func (s *Server) start(
	w http.ResponseWriter, r *http.Request, q *Request, b Behaviour, call *record,
) (*run, *response) {
	run := newRun(s, w, r, q, b, call)
	no := s.openConversation(run)
	if no != nil && !(run.relayed && !q.Blocking) {
		return nil, no
	}
	run.mute = no != nil
	return run, nil
}

// openConversation finds or makes the run's conversation, stores its question and makes the run known for stops.
func (s *Server) openConversation(r *run) *response {
	if r.question.Query == "" {
		return mustErrorBody("invalid_param-query-empty.400")
	}
	if no := s.lacking(r.question); no != nil {
		return no
	}
	id := r.question.ConversationID
	s.mu.Lock()
	defer s.mu.Unlock()
	store := &s.conversations
	if id != "" {
		known := store.find(id, r.question.User)
		if known != nil && known.deleted && (s.options.Release != V0_6_5 || s.options.Mode == Chatflow) {
			known = nil
		}
		if known == nil || r.behaviour.Fault.Kind == ConversationGone {
			return s.conversationNotFound("/v1/chat-messages")
		}
		if r.behaviour.Fixture == "" { // a recording names its own
			r.conversation = id
		}
	}
	known := store.open(r.conversation, r.question.User)
	r.turn = len(known.messages) + 1
	store.ask(known, r.message, r.question.Query)
	r.call.Conversation, r.call.Message, r.call.Task = r.conversation, r.message, r.task
	s.running[r.task] = r
	return nil
}

func (s *Server) forgetRun(r *run) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running[r.task] == r {
		delete(s.running, r.task)
	}
}

// stop serves POST /chat-messages/{task_id}/stop: always a success, whether or not there is such a run, and
// whosever it is.
func (s *Server) stop(w http.ResponseWriter, r *http.Request) {
	_, body, no := s.readBody(w, r)
	var user string
	if no == nil {
		user, no = s.readUser(body)
	}
	if no != nil {
		write(w, no)
		return
	}
	s.mu.Lock()
	if run := s.running[r.PathValue("task_id")]; run != nil {
		s.stopLocked(run, user)
	}
	s.mu.Unlock()
	reply(w, http.StatusOK, success)
}

func (s *Server) stopLocked(r *run, user string) {
	switch {
	case r.question.User != user:
		r.abort.Store(r.relayed) // the worker checks no user, and lets the model finish
	case r.detached != nil:
		if r.detached.Stop() {
			s.conversations.answer(r.message, stored{answer: r.plan.said(r.elapsed()), status: "normal"})
			s.endLocked(r.call, result{status: http.StatusOK, outcome: Stopped, deltas: r.sent, gone: true})
			delete(s.running, r.task)
		}
	case !r.stopping:
		r.stopping = true
		close(r.stopped)
	}
}
