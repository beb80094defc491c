package difysim

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Form says more of the form that a Pause waits with, and how the run goes on once it is submitted. The zero value: two
// actions, a day, a short sentence at once.
type Form struct {
	Actions []Action `json:"actions,omitempty"` // none = approve and reject
	Inputs  []string `json:"inputs,omitempty"`  // variables that it wants besides
	Life    Duration `json:"life,omitzero"`     // until it expires; 0 = a day
	ByMail  bool     `json:"byMail,omitempty"`  // it was sent to somebody by mail: it has no token
	Rest    string   `json:"rest,omitempty"`    // what is said behind it; empty = 已 and the action's title
	Total   Duration `json:"total,omitzero"`    // until all of that is said
	Again   bool     `json:"again,omitempty"`   // the run waits with another form then
	Fails   bool     `json:"fails,omitempty"`   // the run fails then
	Unheard bool     `json:"unheard,omitempty"` // the events of the resumed run reach nobody
}

// Action is a button of a form.
type Action struct{ ID, Title string }

var usualActions = []Action{{"approve", "同意"}, {"reject", "拒绝"}}

func (b *Behaviour) form() Form {
	if b.Form == nil {
		return Form{Actions: usualActions}
	}
	f := *b.Form
	if len(f.Actions) == 0 {
		f.Actions = usualActions
	}
	return f
}

// maxForms bounds the forms that are remembered.
const maxForms = 1000

// openForm is a form that was asked for.
type openForm struct {
	token, id, content string
	expires            time.Time
	submitted          bool
	run                *run // that waits
}

// resumption is a run that has waited for a form, as its events are followed.
type resumption struct {
	user      string
	followers map[chan []byte]struct{}
	finished  []byte // its last event, when it is over
}

// formStore is guarded by Server.mu.
type formStore struct {
	byToken map[string]*openForm
	oldest  []string
	runs    map[string]*resumption // by the workflow's run
}

// sinceForms serves a route that older releases do not have.
func (s *Server) sinceForms(handle http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if s.options.Release != V1_14_2 {
			write(w, mustErrorBody("html-unknown-route.404"))
			return
		}
		handle(w, r)
	}
}

// askFor remembers a form that the run has told of.
func (s *Server) askFor(r *run) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.askForLocked(r)
}

func (s *Server) askForLocked(r *run) {
	f := &s.forms
	if f.byToken == nil {
		f.byToken, f.runs = map[string]*openForm{}, map[string]*resumption{}
	}
	token := formToken(r.form)
	if f.byToken[token] != nil {
		return
	}
	if len(f.oldest) == maxForms {
		gone := f.byToken[f.oldest[0]]
		delete(f.byToken, gone.token)
		delete(f.runs, gone.run.workflowRun)
		f.oldest = f.oldest[1:]
	}
	f.byToken[token] = &openForm{token: token, id: r.form, content: r.formContent(), expires: r.formExpires(), run: r}
	f.oldest = append(f.oldest, token)
	if f.runs[r.workflowRun] == nil {
		f.runs[r.workflowRun] = &resumption{user: r.question.User, followers: map[chan []byte]struct{}{}}
	}
}

func formToken(id string) string { return "form-" + id }

// formOf finds a form that can still be submitted, as Dify looks for it.
func (s *Server) formOf(token string) (*openForm, *response) {
	f := s.forms.byToken[token]
	switch {
	case f == nil:
		return nil, problem(http.StatusNotFound, "not_found", "Form not found")
	case f.submitted:
		return nil, problem(http.StatusPreconditionFailed, "human_input_form_submitted",
			"This form has already been submitted by another user, form_id="+f.id)
	case !time.Now().Before(f.expires):
		return nil, problem(http.StatusPreconditionFailed, "human_input_form_expired", "This form has expired, form_id="+f.id)
	}
	return f, nil
}

// formsOf is what a message says of the forms that its run has waited with. The token of one that is open is the console's, which
// the service API does not take (Dify's api/repositories/sqlalchemy_execution_extra_content_repository.py).
func (s *Server) formsOf(message string) list {
	contents := list{}
	for _, token := range s.forms.oldest {
		f := s.forms.byToken[token]
		if f.run.message != message {
			continue
		}
		content := object{{"workflow_run_id", f.run.workflowRun}, {"submitted", f.submitted}, {"type", "human_input"}}
		if !f.submitted {
			content = append(content, member{"form_definition", object{{"form_id", f.id}, {"form_token", "console-" + f.id}}})
		}
		contents = append(contents, content)
	}
	return contents
}

// waitsWith is the event that a run's snapshot ends with while a form is open; nil if none is (Dify's
// api/services/workflow_event_snapshot_service.py).
func (s *Server) waitsWith(run string) []byte {
	for _, f := range s.forms.byToken {
		if f.run.workflowRun == run && !f.submitted {
			return append(compact.append([]byte("data: "), f.run.workflowPaused()), "\n\n"...)
		}
	}
	return nil
}

// SubmitForms has somebody else submit every form that is open, by Dify's own page.
func (s *Server) SubmitForms() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.forms.byToken {
		f.submitted = true
	}
}

// showForm serves GET /form/human_input/{token}.
func (s *Server) showForm(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	f, no := s.formOf(r.PathValue("token"))
	s.mu.Unlock()
	if no != nil {
		write(w, no)
		return
	}
	reply(w, http.StatusOK, object{
		{"form_content", f.content}, {"inputs", f.run.formInputs()}, {"resolved_default_values", object{}},
		{"user_actions", f.run.formActions()}, {"expiration_time", f.expires.Unix()},
	})
}

// submitForm serves POST /form/human_input/{token}.
func (s *Server) submitForm(w http.ResponseWriter, r *http.Request) {
	raw, body, no := s.readBody(w, r)
	if no == nil {
		_, no = s.readUser(body)
	}
	if no == nil {
		no = checkSubmission(raw, body)
	}
	if no == nil {
		no = s.submit(r.PathValue("token"), body) //nolint:contextcheck // the run goes on without its client
	}
	if no != nil {
		write(w, no)
		return
	}
	reply(w, http.StatusOK, object{})
}

func checkSubmission(raw []byte, body map[string]any) *response {
	report := validation{model: "HumanInputFormSubmitPayload"}
	report.requireDictionary(raw, body, "inputs")
	report.requireText(raw, body, "action")
	return report.refusal()
}

func (s *Server) submit(token string, body map[string]any) *response {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, no := s.formOf(token)
	if no != nil {
		return no
	}
	order := f.run.behaviour.form()
	action, _ := body["action"].(string)
	at := slices.IndexFunc(order.Actions, func(a Action) bool { return a.ID == action })
	inputs, _ := body["inputs"].(map[string]any)
	missing := slices.DeleteFunc(slices.Clone(order.Inputs), func(name string) bool { return inputs[name] != nil })
	switch {
	case at < 0:
		return problem(http.StatusBadRequest, "invalid_form_data", "Invalid action: "+action)
	case len(missing) > 0:
		return problem(http.StatusBadRequest, "invalid_form_data", "Missing required inputs: "+strings.Join(missing, ", "))
	}
	f.submitted = true
	go f.run.resumed().goOn(order, order.Actions[at])
	return nil
}

// resumed is the run as its next worker has it.
func (r *run) resumed() *run {
	return &run{
		server: r.server, question: r.question, behaviour: r.behaviour, call: r.call, relayed: true, style: compact,
		conversation: r.conversation, message: r.message, task: r.task, workflowRun: r.workflowRun, nodes: r.nodes,
		turn: r.turn, started: r.started, form: r.form,
	}
}

// goOn does what is behind the form.
func (r *run) goOn(f Form, chosen Action) {
	s := r.server
	said := f.Rest
	if said == "" {
		said = "已" + chosen.Title + "。"
	}
	r.publish(f, r.workflowEvent("human_input_form_filled", object{
		{"node_id", pausedNode}, {"node_title", pausedTitle}, {"rendered_content", r.formContent()}, {"action_id", chosen.ID},
		{"action_text", chosen.Title}, {"submitted_data", object{}},
	}))
	pieces := split(said, maxDeltas)
	for _, text := range pieces {
		if f.Total > 0 && !s.sleep(context.Background(), time.Duration(f.Total)/time.Duration(len(pieces))) {
			return
		}
		r.publish(f, append(r.common("message", true), member{"id", r.message}, member{"answer", text}, member{"from_variable_selector", list{"answer", "answer"}}))
	}
	whole := s.storedAnswer(r.message) + said
	switch {
	case f.Again:
		r.form = newID()
		r.behaviour.Form = &Form{Rest: f.Rest, Total: f.Total}
		r.store(stored{answer: whole, status: "paused"})
		s.askFor(r)
		r.publish(f, r.workflowEvent("human_input_required", r.formData()))
		r.publish(f, r.workflowPaused())
	case f.Fails:
		r.store(stored{answer: whole, status: "error", failure: "boom"})
		r.end(f, r.workflowFinished("failed", "", "boom"))
	default:
		r.store(stored{answer: whole, status: "normal"})
		r.publish(f, r.messageEnd(whole))
		r.end(f, r.workflowFinished("succeeded", whole, ""))
	}
}

func (s *Server) storedAnswer(message string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m := s.conversations.message(message); m != nil {
		return m.Answer
	}
	return ""
}

// publish tells who follows the run of an event; others never hear of it.
func (r *run) publish(f Form, event object) []byte {
	frame := append(compact.append([]byte("data: "), event), "\n\n"...)
	if f.Unheard {
		return frame
	}
	r.server.mu.Lock()
	defer r.server.mu.Unlock()
	if waits := r.server.forms.runs[r.workflowRun]; waits != nil {
		for follower := range waits.followers {
			select {
			case follower <- frame:
			default: // it does not read
			}
		}
	}
	return frame
}

func (r *run) end(f Form, event object) {
	last := r.publish(f, event)
	r.server.mu.Lock()
	defer r.server.mu.Unlock()
	if waits := r.server.forms.runs[r.workflowRun]; waits != nil {
		waits.finished = last
	}
}

// followEvents serves GET /workflow/{run}/events: those that come from now on, of the user's own run, or behind what a run that
// waits is told to have done so far.
func (s *Server) followEvents(w http.ResponseWriter, r *http.Request) {
	user := r.URL.Query().Get("user")
	if user == "" {
		write(w, mustErrorBody("invalid_param-user-missing.400"))
		return
	}
	s.mu.Lock()
	waits := s.forms.runs[r.PathValue("run")]
	if waits == nil || waits.user != user {
		s.mu.Unlock()
		write(w, problem(http.StatusNotFound, "not_found", "Workflow run not found"))
		return
	}
	events := make(chan []byte, 2*maxDeltas)
	finished := waits.finished
	if finished == nil && r.URL.Query().Get("include_state_snapshot") == "true" {
		finished = s.waitsWith(r.PathValue("run"))
	}
	waits.followers[events] = struct{}{}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(waits.followers, events)
	}()
	w.Header()["Content-Type"] = []string{"text/event-stream; charset=utf-8"}
	if finished != nil {
		_, _ = w.Write(finished)
		return
	}
	s.relay(w, r, events)
}

// relay writes events until the run is over or waits again, with pings as any relay has them.
func (s *Server) relay(w http.ResponseWriter, r *http.Request, events <-chan []byte) {
	controller := http.NewResponseController(w)
	pings := time.NewTicker(pingEvery)
	defer pings.Stop()
	for frame := []byte("event: ping\n\n"); ; {
		if _, err := w.Write(frame); err != nil || controller.Flush() != nil {
			return
		}
		if e := string(frame[:min(len(frame), 64)]); strings.Contains(e, `"workflow_finished"`) || strings.Contains(e, `"workflow_paused"`) {
			return
		}
		select {
		case frame = <-events:
		case <-pings.C:
			frame = []byte("event: ping\n\n")
		case <-r.Context().Done():
			return
		case <-s.closing:
			return
		}
	}
}

func (r *run) formContent() string {
	content := r.behaviour.Fault.Text
	if content == "" {
		content = usualForm
	}
	if inputs := r.behaviour.form().Inputs; len(inputs) > 0 {
		content += "\n\n{{#$output." + strings.Join(inputs, "#}}\n\n{{#$output.") + "#}}"
	}
	return content
}

func (r *run) formExpires() time.Time {
	if life := time.Duration(r.behaviour.form().Life); life > 0 {
		return r.started.Add(life)
	}
	return r.started.Add(formLife)
}

func (r *run) formInputs() list {
	inputs := list{}
	for _, name := range r.behaviour.form().Inputs {
		inputs = append(inputs, object{{"type", "paragraph"}, {"output_variable_name", name}, {"default", nil}})
	}
	return inputs
}

func (r *run) formActions() list {
	buttons := list{}
	for i, a := range r.behaviour.form().Actions {
		style := "default"
		if i == 0 {
			style = "primary"
		}
		buttons = append(buttons, object{{"id", a.ID}, {"title", a.Title}, {"button_style", style}})
	}
	return buttons
}
