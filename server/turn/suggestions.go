package turn

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/dify"
	"github.com/wechatbot/wechatbot-operator/server/session"
)

const (
	maxSuggestions       = 4               // shown of one answer
	maxSuggestionBytes   = 150             // a longer one is left out
	suggestionsWithin    = 6 * time.Second // how long Dify's model may take to suggest
	suggestionsAtOnce    = 16              // answers for which Dify is asked at a time; others get none
	suggestionsKept      = 256             // answers whose suggestions are remembered, to show them again
	settingsWithin       = time.Second     // how long a delivery waits to learn whether the app suggests at all
	suggestionIDPrefix   = "s"             // of the items that are pushed
	suggestionsExtraKind = "suggestions"
)

// Suggester is what suggested questions need of Dify's service API.
type Suggester interface {
	Suggested(ctx context.Context, messageID, user string) ([]string, error)
}

// suggestions are what Dify suggests to ask next. It is asked once an answer, whoever wants to know.
type suggestions struct {
	mu     sync.Mutex
	all    map[string]*suggestion // by Dify's message
	oldest []string               // their keys, as they came
	asking int
}

// suggestion is what is suggested after one answer. questions are set when done is closed.
type suggestion struct {
	done      chan struct{}
	questions []string
}

// of returns what is known or being asked of a message. If it is neither, and may be asked now, ask is true and the caller
// asks and then calls finish.
func (s *suggestions) of(message string, mayAsk bool) (one *suggestion, ask bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if one := s.all[message]; one != nil || !mayAsk || s.asking >= suggestionsAtOnce {
		return one, false
	}
	if s.all == nil {
		s.all = make(map[string]*suggestion)
	}
	if len(s.oldest) == suggestionsKept {
		delete(s.all, s.oldest[0])
		s.oldest = s.oldest[1:]
	}
	one = &suggestion{done: make(chan struct{})}
	s.all[message] = one
	s.oldest = append(s.oldest, message)
	s.asking++
	return one, true
}

func (s *suggestions) finish(one *suggestion, questions []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asking--
	one.questions = questions
	close(one.done)
}

// suggests tells whether there may be questions to suggest after a turn's answer. With another question under way, there
// are none: the follower knows what to ask.
func (e *Engine) suggests(s *Settings, t *session.Turn) bool {
	return s.Suggestions && e.Suggester != nil && t.State == session.Answered && t.Failure == "" && t.Others == 0 && MessageID(*t) != ""
}

// appSuggests tells whether Dify's app suggests questions after answers, as far as is known by the end of ctx.
func (e *Engine) appSuggests(ctx context.Context) bool {
	p, known := e.app(ctx)
	return known && p.SuggestedAfter
}

// suggested are the questions that Dify suggests after a turn's answer, if they come until ctx ends. They go on being
// asked for then, to be there for who looks later.
func (e *Engine) suggested(ctx context.Context, s *Settings, k session.Key, message string, mayAsk bool) []string {
	one, ask := e.suggestions.of(message, mayAsk)
	if one == nil {
		return nil
	}
	if ask && !e.jobs.run(func() { e.askSuggested(s, one, k, message) }) {
		e.suggestions.finish(one, nil)
	}
	select {
	case <-one.done:
		return one.questions
	default:
	}
	select {
	case <-one.done:
		return one.questions
	case <-ctx.Done():
		return nil
	}
}

func (e *Engine) askSuggested(s *Settings, one *suggestion, k session.Key, message string) {
	var questions []string
	defer func() { e.suggestions.finish(one, questions) }() // also after a panic
	ctx, cancel := context.WithTimeout(e.life, suggestionsWithin)
	defer cancel()
	all, err := e.Suggester.Suggested(ctx, message, k.Follower)
	if dify.KindOf(err) == dify.InvalidParam { // the app does not suggest any more
		e.askAppAgain()
	}
	if err != nil && !errors.Is(err, context.Canceled) {
		e.Log.Info("Dify suggests no questions", e.inLog(k, "error", err)...)
	}
	questions = s.askable(all)
}

// askable are those of some suggestions that can stand in a link and are questions when they are tapped.
func (s *Settings) askable(all []string) (questions []string) {
	for _, q := range all {
		q = strings.Join(strings.Fields(q), " ")
		if q == "" || len(q) > maxSuggestionBytes || command(q) != "" || s.continues(q) || s.asksForHuman(q) {
			continue
		}
		if questions = append(questions, q); len(questions) == maxSuggestions {
			break
		}
	}
	return questions
}

// suggestionsFor are the questions to suggest in a delivery: those that come before its deadline. An answer that is shown
// again has them if they are still known.
func (e *Engine) suggestionsFor(ctx context.Context, s *Settings, c clock, d *delivery, t *session.Turn) []string {
	if !e.suggests(s, t) || e.pushes(s) {
		return nil
	}
	ctx, cancel := context.WithDeadline(ctx, c.deadline)
	defer cancel()
	mayAsk := false
	if d.again == nil {
		learning, cancel := context.WithTimeout(ctx, settingsWithin)
		mayAsk = e.appSuggests(learning)
		cancel()
	}
	return e.suggested(ctx, s, t.Key, MessageID(*t), mayAsk)
}

// withSuggestions is what stands below the end of an answer, with as many suggestions as fit.
func (e *Engine) withSuggestions(foot, head, rest string, questions []string) string {
	between := betweenBlocks
	for _, q := range questions {
		with := foot + between + e.Link(q, q)
		if foot == "" {
			with = e.Link(q, q)
		}
		if len(head)+len(join(rest, with)) > e.PageBytes {
			break
		}
		foot, between = with, "\n"
	}
	return foot
}

// planSuggestions has the questions that Dify suggests sent behind the answer, as a message of their own. They are asked
// for at once, while the text is on its way.
func (r *run) planSuggestions(o *session.Outcome) {
	t := r.lease.Turn
	t.State, t.Failure, t.Ref = o.State, o.Failure, o.Ref
	if p, known := r.appSoFar(); !r.suggests(r.settings, &t) || !known || !p.SuggestedAfter {
		return
	}
	k, message := t.Key, MessageID(t)
	r.jobs.run(func() { r.suggested(r.life, r.settings, k, message, true) })
	r.extras = append(r.extras, extra{suggestionsExtraKind, func(ctx context.Context) (func(ctx context.Context) session.SendResult, error) {
		now, err := r.look(ctx)
		if err != nil || now.Others > 0 { // the follower has asked something else meanwhile
			return nil, err
		}
		questions := r.suggested(ctx, r.settings, k, message, true)
		if len(questions) == 0 {
			return nil, nil
		}
		return func(ctx context.Context) session.SendResult {
			return r.Pusher.Suggest(ctx, k.Follower, r.settings.Texts.get(TextSuggested), choices(questions))
		}, nil
	}})
}

// Choice is something that a follower can tap below a message: Label is sent as the follower's own words, with ID.
type Choice struct{ ID, Label string }

func choices(questions []string) []Choice {
	all := make([]Choice, len(questions))
	for i, q := range questions {
		all[i] = Choice{suggestionIDPrefix + strconv.Itoa(i+1), q}
	}
	return all
}
