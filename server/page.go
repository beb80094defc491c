package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/wechatbot/wechatbot-operator/api/serverconfig"
	"github.com/wechatbot/wechatbot-operator/server/dify"
	"github.com/wechatbot/wechatbot-operator/server/media"
	"github.com/wechatbot/wechatbot-operator/server/page"
	"github.com/wechatbot/wechatbot-operator/server/session"
	"github.com/wechatbot/wechatbot-operator/server/turn"
	"github.com/wechatbot/wechatbot-operator/server/wechat"
)

// lookedThrough is how many of a conversation's newest messages are looked through for an answer whose files are wanted.
const lookedThrough = 40

// newPage makes what shows whole answers.
func (s *Server) newPage(f files) error {
	settings, err := pageSettings(f, s.config.Path)
	if err != nil {
		return err
	}
	s.page = page.New(page.Options{
		Answers: answers{s}, Fetcher: media.New(media.Options{UserAgent: "wechatbot-server"}), Metrics: page.NewMetrics(s.registry), Log: s.options.Log,
		Forward: func(w http.ResponseWriter, r *http.Request) bool { return s.handler.Relay(w, r) },
	}, settings)
	return nil
}

// pageSettings are what pages take of the files. Followers get what is made with the key, and could try all short tokens;
// Dify's key is too random for that. The webhook's path is the one that is in force.
func pageSettings(f files, webhook string) (page.Settings, error) {
	c := f.config
	fetchable, err := madeAt(f)
	if err != nil {
		return page.Settings{}, err
	}
	return page.Settings{
		Enabled: c.Reply.Page.Enabled, Domain: c.Domain, Path: serverconfig.PagePath(webhook),
		Key: page.NewKey(f.secrets.Token.Reveal(), f.secrets.DifyAPIKey.Reveal()),
		TTL: time.Duration(c.Reply.Page.TTL), English: c.Reply.Language == serverconfig.LanguageEnglish,
		AILabel: c.Reply.AILabelText(), Notice: c.Reply.Notice,
		FilesOrigin: cmp.Or(c.Dify.FilesURL, c.Dify.BaseURL), Fetchable: fetchable,
	}, nil
}

// wholeLink is a link to an answer's page; "" while there are none.
func (s *Server) wholeLink(label string, k session.Key, ended time.Time) string {
	address := s.page.Address(k.Follower, k.ID, ended)
	if address == "" {
		return ""
	}
	return wechat.Link(label, address)
}

// front serves pages beside pushes.
func (s *Server) front(pushes http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.page.Has(r.URL.Path) {
			if s.handler.Admit(w, r) {
				s.page.ServeHTTP(w, r)
			}
			return
		}
		pushes.ServeHTTP(w, r)
	})
}

// answers are those that the session store has.
type answers struct{ *Server }

// Answer looks at one turn.
func (a answers) Answer(ctx context.Context, follower, id string) (page.Answer, bool, error) {
	t, err := a.store.Turn(ctx, session.Key{Follower: follower, ID: id})
	if err != nil {
		return page.Answer{}, false, fmt.Errorf("looking for an answer: %w", err)
	}
	shown, ok := a.of(t)
	return shown, ok, nil
}

// of is what a page shows of a turn; false if that is nothing.
func (a answers) of(t session.Turn) (page.Answer, bool) {
	if !t.State.Over() || t.Answer.Markdown == "" && len(t.Answer.Files) == 0 {
		return page.Answer{}, false
	}
	shown := page.Answer{Question: t.Question, Markdown: t.Answer.Markdown, Ending: a.engine.Ending(t)}
	for _, f := range t.Answer.Files {
		shown.Files = append(shown.Files, page.File{Name: f.Name, Type: f.Type, URL: f.URL})
	}
	return shown, true
}

var errNotInDify = errors.New("dify has the answer no more")

// Renewable looks at the turn and for its conversation, in which Dify has the answer with files that are newly signed.
func (a answers) Renewable(ctx context.Context, follower, id string) (page.Answer, func(context.Context) (page.Answer, error), bool, error) {
	have, err := a.store.Get(ctx, follower)
	if err != nil {
		return page.Answer{}, nil, false, fmt.Errorf("looking for an answer: %w", err)
	}
	for _, t := range have.Turns {
		if t.Key.ID != id {
			continue
		}
		shown, ok := a.of(t)
		return shown, func(ctx context.Context) (page.Answer, error) {
			return a.renewed(ctx, follower, have.ConversationID, turn.MessageID(t))
		}, ok, nil
	}
	return page.Answer{}, nil, false, nil
}

// renewed is an answer as Dify has it now.
func (a answers) renewed(ctx context.Context, follower, conversation, message string) (page.Answer, error) {
	if conversation == "" || message == "" {
		return page.Answer{}, errNotInDify
	}
	messages, err := a.dify.Messages(ctx, conversation, follower, lookedThrough)
	if err != nil {
		return page.Answer{}, err
	}
	for _, m := range messages {
		if m.ID != message {
			continue
		}
		fresh := page.Answer{Markdown: m.Answer}
		for _, f := range m.Files {
			fresh.Files = append(fresh.Files, page.File{Name: f.Name, Type: f.Type, URL: f.URL})
		}
		return fresh, nil
	}
	return page.Answer{}, errNotInDify
}

// Messages are the newest of a conversation.
func (d *difySwitch) Messages(ctx context.Context, conversation, user string, limit int) ([]dify.Message, error) {
	return d.current.Load().Messages(ctx, conversation, user, limit)
}
