package turn

import (
	"cmp"
	"context"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/wechatbot/wechatbot-operator/server/dify"
	"github.com/wechatbot/wechatbot-operator/server/session"
)

const (
	maxActions     = 8  // of a form that are offered
	maxActionTitle = 30 // bytes of an action's title that are shown
	maxActionID    = 64
	formTap        = "form:" // begins the ID of a tap on an action: the action and the turn follow
)

// Forms is what forms need of Dify's service API.
type Forms interface {
	Submit(ctx context.Context, f dify.Submission, onUpdate func(dify.Update)) (dify.Answer, error)
}

// form is a form that a turn's run waits with, as its Ref keeps it: the actions, by which it is submitted, stand below the
// turn's text.
type form struct {
	token, run string
	actions    []dify.FormAction
}

// submission is the action of a form that a turn is to submit instead of asking a question.
type submission struct {
	token, run, action, conversation string
}

// encode writes a form without blanks, as part of a reference.
func (f *form) encode() string {
	v := url.Values{"token": {f.token}, "run": {f.run}}
	for _, a := range f.actions {
		v.Add("id", a.ID)
		v.Add("title", a.Title)
	}
	return v.Encode()
}

func parseForm(encoded string) *form {
	v, err := url.ParseQuery(encoded)
	if err != nil || len(v["id"]) != len(v["title"]) {
		return nil
	}
	f := &form{token: v.Get("token"), run: v.Get("run")}
	for i, id := range v["id"] {
		f.actions = append(f.actions, dify.FormAction{ID: id, Title: v["title"][i]})
	}
	return f
}

func (s *submission) encode() string {
	return url.Values{"token": {s.token}, "run": {s.run}, "action": {s.action}, "conversation": {s.conversation}}.Encode()
}

func parseSubmission(encoded string) *submission {
	v, err := url.ParseQuery(encoded)
	if err != nil {
		return nil
	}
	return &submission{token: v.Get("token"), run: v.Get("run"), action: v.Get("action"), conversation: v.Get("conversation")}
}

// pause makes of a run that waits for a person what its follower can do: choose one of a form's actions, if that is all it
// takes. What the form says stands below the answer.
func (r *run) pause(o *session.Outcome, p *dify.Pause) {
	o.Failure = string(Paused)
	f := r.offered(p)
	if f == nil {
		return
	}
	if words := strings.TrimSpace(placeholder().ReplaceAllString(cmp.Or(f.Content, f.Title), "")); words != "" {
		o.Answer.Markdown = join(strings.TrimRight(o.Answer.Markdown, "\n"), words)
	}
	actions := actionsOf(f)
	if len(f.Inputs) > 0 || len(actions) == 0 {
		o.Failure = string(FormInputs)
		return
	}
	o.Failure = string(FormOpen)
	ref := parseReference(o.Ref)
	ref.form = &form{token: f.Token, run: p.RunID, actions: actions}
	o.Ref = ref.String()
}

// placeholder stands in a form's content where an input is. Few bots have forms, and it takes 100 KB to compile.
var placeholder = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`\{\{#\$output\.[^#{}]{1,255}#\}\}`) })

// offered is the form that a follower may submit; nil if there is none.
func (r *run) offered(p *dify.Pause) *dify.Form {
	if r.Forms == nil || r.LinkAs == nil {
		return nil
	}
	for i := range p.Forms {
		if p.Forms[i].Token != "" {
			return &p.Forms[i]
		}
	}
	return nil
}

// actionsOf are those that can be tapped, with titles of a length that can be shown.
func actionsOf(f *dify.Form) (actions []dify.FormAction) {
	for _, a := range f.Actions {
		title := strings.Join(strings.Fields(a.Title), " ")
		if title == "" {
			title = a.ID
		}
		if len(title) > maxActionTitle {
			cut := maxActionTitle - len(ellipsis)
			for !utf8.RuneStart(title[cut]) {
				cut--
			}
			title = title[:cut] + ellipsis
		}
		if a.ID != "" && len(a.ID) <= maxActionID && len(actions) < maxActions {
			actions = append(actions, dify.FormAction{ID: a.ID, Title: title})
		}
	}
	return actions
}

// actionLinks are what to tap to submit a turn's form, as many as have room in half a page.
func (e *Engine) actionLinks(s *Settings, t session.Turn) string {
	f := parseReference(t.Ref).form
	if f == nil || e.LinkAs == nil {
		return s.Texts.get(string(Paused))
	}
	text := s.Texts.get(TextChoose)
	for _, a := range f.actions {
		line := "\n" + e.LinkAs(a.Title, a.Title, formTap+a.ID+":"+t.Key.ID)
		if len(text)+len(line) > e.PageBytes/2 {
			break
		}
		text += line
	}
	return text
}

// actionTitles are the same in words.
func actionTitles(s *Settings, t session.Turn) string {
	f := parseReference(t.Ref).form
	if f == nil {
		return s.Texts.get(string(Paused))
	}
	var titles []string
	for _, a := range f.actions {
		titles = append(titles, a.Title)
	}
	return s.Texts.get(TextChoose) + strings.Join(titles, " / ")
}

// choice is the action and the turn of whose form a message has tapped one; ok is false for any other message.
func choice(m Message) (action, turn string, ok bool) {
	rest, ok := strings.CutPrefix(m.Tap, formTap)
	if !ok {
		return "", "", false
	}
	action, turn, _ = strings.Cut(rest, ":")
	return action, turn, true
}

// choose submits the form of a turn, as a turn of its own: the run goes on, and what it says then is the answer.
func (e *Engine) choose(ctx context.Context, s *Settings, m Message, action, turn string) Reply {
	c := e.clock(s, m)
	have, err := within(ctx, e, c.deadline, func(ctx context.Context) (session.Session, error) { return e.Store.Get(ctx, m.Follower) })
	if err != nil {
		return e.unavailable(ctx, s, m, c, "looking for a form", err, e.refuse(s, TextBusy))
	}
	for _, t := range have.Turns {
		ref := parseReference(t.Ref)
		if t.Key.ID != turn || ref.form == nil {
			continue
		}
		for _, a := range ref.form.actions {
			if a.ID == action {
				sub := &submission{token: ref.form.token, run: ref.form.run, action: action, conversation: have.ConversationID}
				m.ref = reference{message: ref.message, submits: sub}.String()
				return e.ask(ctx, s, m, a.Title)
			}
		}
	}
	return e.notice(s.Texts.get(TextNothingYet)) // it was cleared
}

// submit submits the form that the turn is about. If a process before has tried, what it has submitted is awaited.
func (r *run) submit(ctx context.Context) (dify.Answer, error) {
	sub, ref := r.submits, parseReference(r.lease.Turn.Ref)
	taken := r.lease.Turn.Attempts > 1
	if taken {
		r.takeOver()
	}
	f := dify.Submission{
		User: r.lease.Turn.Key.Follower, Token: sub.token, Action: sub.action, RunID: sub.run,
		ConversationID: sub.conversation, MessageID: ref.message,
	}
	r.tries++
	ctx, span := r.calling(ctx, "dify submit")
	answer, err := r.Forms.Submit(ctx, f, r.received)
	if taken && dify.KindOf(err) == dify.FormAnswered {
		answer, err = r.Dify.Await(ctx, dify.Run{User: f.User, ConversationID: f.ConversationID, MessageID: f.MessageID, Resumed: true})
	}
	called(span, err)
	r.tokens = r.told(answer, true)
	if err != nil && ctx.Err() == nil {
		r.Metrics.difyError(err)
	}
	return answer, err
}
