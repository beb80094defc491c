package dify

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Submission answers a form that a chatflow's run waits with (service API of 1.14 and later).
type Submission struct {
	User          string // whose question it was
	Token, Action string // of the Form and its FormAction
	RunID         string // of the Pause
	// ConversationID and MessageID are those of the answer that the run has paused in. The run goes on in the same message.
	ConversationID, MessageID string
}

// followWait is how long a submission waits for the run's events to be followed: those from before are lost.
const followWait = 3 * time.Second

// pauseWait is how long it may take Dify to say what a run waits with.
const pauseWait = 10 * time.Second

// Submit submits a form and returns what the run answers from then on, as Chat does; onUpdate is as there. A form that was
// submitted before is FormAnswered, one whose time is over or that is unknown FormExpired. If the run's events are lost, the
// answer is read where Dify stores it.
func (c *Client) Submit(ctx context.Context, f Submission, onUpdate func(Update)) (Answer, error) {
	if !isID(f.Token) || f.Action == "" || f.User == "" {
		return Answer{}, invalid("submit", "a form's token, an action and a user are needed")
	}
	if onUpdate == nil {
		onUpdate = func(Update) {}
	}
	none := Answer{ConversationID: f.ConversationID, MessageID: f.MessageID}
	before, _ := c.find(ctx, f.run()) // what is unknown is not left out of what Dify stores
	following, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	events := c.follow(following, f, nil) //nolint:bodyclose // closed below
	if events != nil {
		defer closeBody(events)
	}
	if err := c.submit(ctx, f); err != nil {
		return none, err
	}
	onUpdate(Update{ConversationID: f.ConversationID, MessageID: f.MessageID, Begun: true})
	if events == nil {
		return c.stored(ctx, f, before.Answer)
	}
	answer, err := c.readRest(following, stop, f, events, onUpdate)
	if err != nil && (err.Kind == Interrupted || err.Kind == FirstEventTimeout || err.Kind == IdleTimeout) {
		if whole, err := c.stored(ctx, f, before.Answer); KindOf(err) != NotRunning && (err == nil || len(whole.Text) > len(answer.Text)) {
			return whole, err
		}
	}
	if err != nil {
		return answer, err
	}
	return answer, nil
}

// run is the submission's run, as it is found among the conversation's messages.
func (f Submission) run() Run {
	return Run{User: f.User, ConversationID: f.ConversationID, MessageID: f.MessageID, Resumed: true}
}

// stored waits for the answer that Dify stores, without what was said before the form.
func (c *Client) stored(ctx context.Context, f Submission, before string) (Answer, error) {
	a, err := c.Await(ctx, f.run())
	a.Text = strings.TrimPrefix(a.Text, before)
	a.Begun = true
	return a, err
}

// pauseOf finds out what a run waits with whose pause was told to nobody who still is there. What Dify stores with the message is
// no help: the token there may be one that the service API does not take. The events of the run are told once more from Dify's
// snapshot of it, with the token of this API (api/controllers/service_api/app/workflow_events.py of 1.14).
func (c *Client) pauseOf(ctx context.Context, user, run string) *Pause {
	unknown := &Pause{}
	ctx, stop := context.WithTimeout(ctx, pauseWait)
	defer stop()
	events := c.follow(ctx, Submission{User: user, RunID: run}, url.Values{"include_state_snapshot": {"true"}}) //nolint:bodyclose // it is, below
	if events == nil {
		return unknown
	}
	defer closeBody(events)
	reading, broken := context.WithCancelCause(ctx)
	defer broken(nil)
	a, err := c.readRest(reading, broken, Submission{RunID: run}, events, func(Update) {})
	if err != nil || a.Pause == nil {
		return unknown
	}
	return a.Pause
}

// follow begins to follow the events of a run that waits; nil if that is not possible, or Dify does not begin in time.
func (c *Client) follow(ctx context.Context, f Submission, options url.Values) *http.Response {
	if !isID(f.RunID) {
		return nil
	}
	query := url.Values{"user": {f.User}}
	maps.Copy(query, options)
	ctx, cancel := context.WithCancel(ctx) // by the caller's in the end: the response lasts as long as its context
	tooSlow := time.AfterFunc(followWait, cancel)
	resp, err := c.send(ctx, request{
		op: "follow", method: http.MethodGet, path: []string{"workflow", f.RunID, "events"},
		query: query, accept: "text/event-stream, application/json;q=0.5", shared: true,
	})
	inTime := tooSlow.Stop()
	if err == nil && inTime && mediaType(resp) == "text/event-stream" {
		return resp
	}
	if err == nil {
		closeBody(resp)
	}
	cancel()
	return nil
}

// submit makes the call. If its outcome is unknown it is made once more: a form that was submitted then was so by the first.
func (c *Client) submit(ctx context.Context, f Submission) error {
	body := struct {
		wireUser
		Inputs map[string]string `json:"inputs"`
		Action string            `json:"action"`
	}{wireUser{f.User}, map[string]string{}, f.Action}
	call := func() error {
		_, err := c.call(ctx, request{op: "submit", method: http.MethodPost, path: []string{"form", "human_input", f.Token}, body: body}, nil)
		return err
	}
	err := call()
	if kind := KindOf(err); kind != Interrupted && kind != FirstEventTimeout && kind != Server || ctx.Err() != nil {
		return err
	}
	if !sleep(ctx, time.Second) {
		return err
	}
	if err = call(); KindOf(err) == FormAnswered {
		return nil
	}
	return err
}

// readRest reads the events of a run that has been resumed.
func (c *Client) readRest(ctx context.Context, stop context.CancelCauseFunc, f Submission, resp *http.Response, onUpdate func(Update)) (Answer, *Error) {
	watchdog := time.AfterFunc(c.firstEventTimeout, func() { stop(errTooSlow) })
	defer watchdog.Stop()
	s := &stream{version: resp.Header.Get("X-Version"), files: files{root: c.root()}, workflow: true, begun: true}
	s.ids = ids{ConversationID: f.ConversationID, MessageID: f.MessageID, RunID: f.RunID}
	err := s.read(ctx, resp, watchdog, c.idleTimeout, onUpdate)
	a := s.result()
	if err == nil {
		return a, nil
	}
	e, ok := err.(*Error) //nolint:errorlint // every error of ours is one
	if !ok {
		e = &Error{Op: "submit", Kind: Interrupted, cause: fmt.Errorf("reading events: %w", err)}
	}
	e.Effects = BegunEffects
	return a, e
}
