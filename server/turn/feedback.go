package turn

import (
	"context"
	"errors"

	"github.com/wechatbot/wechatbot-operator/server/dify"
	"github.com/wechatbot/wechatbot-operator/server/session"
)

// What the tap-links under an answer say and send.
const (
	likes    = "👍"
	dislikes = "👎"
)

// Rater is what ratings need of Dify's service API.
type Rater interface {
	Feedback(ctx context.Context, messageID, user string, rating dify.Rating) error
}

// ratingLinks are those under the last page of an answer, with which its turn is known again; "" if it cannot be rated.
func (e *Engine) ratingLinks(s *Settings, t session.Turn) string {
	if !s.Feedback || e.Rater == nil || e.LinkAs == nil || t.State != session.Answered || t.Failure != "" || MessageID(t) == "" {
		return ""
	}
	return e.LinkAs(likes, likes, t.Key.ID) + betweenLinks + e.LinkAs(dislikes, dislikes, t.Key.ID)
}

// rated is what stands below the end of an answer, with the links to rate it if they fit.
func (e *Engine) rated(s *Settings, t session.Turn, foot, head, rest string) string {
	links := e.ratingLinks(s, t)
	with := foot
	switch {
	case links == "":
		return foot
	case with != "":
		with += "\n"
	}
	with += links
	if len(head)+len(join(rest, s.labelled(with))) > e.PageBytes {
		return foot
	}
	return with
}

// rating is what a tap rates an answer with; false for any other message. The same letters, typed, are words to the app.
func rating(m Message, text string) (r dify.Rating, ok bool) {
	switch {
	case m.Tap == "":
		return "", false
	case text == likes:
		return dify.Like, true
	case text == dislikes:
		return dify.Dislike, true
	}
	return "", false
}

// rate gives Dify a rating of the answer that the follower has tapped under. A later delivery gives the same again.
func (e *Engine) rate(ctx context.Context, s *Settings, m Message, r dify.Rating) Reply {
	e.Contact(m)
	c := e.clock(s, m)
	have, err := within(ctx, e, c.deadline, func(ctx context.Context) (session.Session, error) { return e.Store.Get(ctx, m.Follower) })
	if err != nil {
		return e.unavailable(ctx, s, m, c, "looking for an answer to rate", err, e.refuse(s, TextBusy))
	}
	for _, t := range have.Turns {
		if id := MessageID(t); t.Key.ID == m.Tap && id != "" && e.Rater != nil {
			e.jobs.run(func() { e.sendRating(t.Key, id, r) })
			return e.notice(s.Texts.get(TextThanks))
		}
	}
	return e.notice(s.Texts.get(TextNothingYet)) // it was cleared
}

func (e *Engine) sendRating(k session.Key, message string, r dify.Rating) {
	ctx, cancel := context.WithTimeout(e.life, callTimeout)
	defer cancel()
	if err := e.Rater.Feedback(ctx, message, k.Follower, r); err != nil && !errors.Is(err, context.Canceled) {
		e.Log.Warn("Could not give Dify a follower's rating", e.inLog(k, "error", err)...)
	}
}
