package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/wechatbot/wechatbot-operator/api/serverlocal"
	"github.com/wechatbot/wechatbot-operator/server/session"
	"github.com/wechatbot/wechatbot-operator/server/wechat/api"
)

const (
	localTime  = 25 * time.Second // for one call: a bot may have very many followers to look through
	localPages = 500              // sessions at once while somebody is looked for
)

// listenLocal listens for those who may reach this host's own loopback. It is a convenience: a port that something else has
// is told and done without.
func (s *Server) listenLocal(address string) error {
	if address == "" {
		return nil
	}
	at, err := netip.ParseAddrPort(address)
	if err != nil || !at.Addr().IsLoopback() {
		return fmt.Errorf("local listener: %q is not a loopback address with a port, such as 127.0.0.1:%d: who reaches it may clear sessions", address, serverlocal.Port)
	}
	l, err := listen("local listener", address)
	if err != nil {
		s.options.Log.Warn("Cannot listen for kubectl wechatbot sessions and menu: something else has the port", "error", err)
		return nil
	}
	s.local = l
	return nil
}

// localHandler serves package serverlocal.
func (s *Server) localHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /sessions", local(s.listSessions))
	mux.HandleFunc("POST /sessions/{alias}/clear", local(s.clearSession))
	mux.HandleFunc("POST /sessions/{alias}/stop", local(s.stopSession))
	mux.HandleFunc("GET /menu", local(s.compareMenus))
	return fromLoopback(mux)
}

// fromLoopback refuses what a page in a browser can have sent: one whose name was made to lead here by DNS, and a form.
func fromLoopback(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if name, _, err := net.SplitHostPort(host); err == nil {
			host = name
		}
		address, err := netip.ParseAddr(strings.Trim(host, "[]"))
		if host != "localhost" && (err != nil || !address.IsLoopback()) {
			answerLocal(w, http.StatusForbidden, serverlocal.Error{Error: "this address is for its own host alone"})
			return
		}
		if r.Method != http.MethodGet && r.Header.Get(serverlocal.Header) == "" {
			answerLocal(w, http.StatusForbidden, serverlocal.Error{Error: "the header " + serverlocal.Header + " is missing"})
			return
		}
		h.ServeHTTP(w, r)
	})
}

// localError is one with the status that it is answered with.
type localError struct {
	status int
	error
}

// local answers with what a call returns.
func local[T any](call func(context.Context, *http.Request) (T, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), localTime)
		defer cancel()
		answer, err := call(ctx, r)
		if err == nil {
			answerLocal(w, http.StatusOK, answer)
			return
		}
		status := http.StatusServiceUnavailable
		if own, ok := errors.AsType[localError](err); ok {
			status = own.status
		}
		answerLocal(w, status, serverlocal.Error{Error: err.Error(), Elsewhere: errors.Is(err, session.ErrElsewhere)})
	}
}

func answerLocal(w http.ResponseWriter, status int, answer any) {
	body, err := json.Marshal(answer)
	if err != nil {
		status, body = http.StatusInternalServerError, []byte(`{"error":"the answer cannot be encoded"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // nobody is there, if it fails
}

func (s *Server) listSessions(ctx context.Context, r *http.Request) (serverlocal.Sessions, error) {
	limit := serverlocal.DefaultLimit
	if text := r.URL.Query().Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > serverlocal.MaxLimit {
			return serverlocal.Sessions{}, localError{http.StatusBadRequest, fmt.Errorf("limit must be a number from 1 to %d", serverlocal.MaxLimit)}
		}
		limit = n
	}
	page, err := s.store.List(ctx, r.URL.Query().Get("from"), limit)
	if errors.Is(err, session.ErrNoPage) {
		return serverlocal.Sessions{}, localError{http.StatusBadRequest, errors.New("from must be next of an earlier page of the same server")}
	}
	if err != nil {
		return serverlocal.Sessions{}, err
	}
	answer := serverlocal.Sessions{APIVersion: serverlocal.APIVersion, Sessions: []serverlocal.Session{}, Next: page.Next}
	for i := range page.Sessions {
		answer.Sessions = append(answer.Sessions, s.localSession(&page.Sessions[i]))
	}
	return answer, nil
}

// localSession is a session by its aliases.
func (s *Server) localSession(l *session.Listed) serverlocal.Session {
	one := serverlocal.Session{
		Alias: s.alias(l.Follower), LastActive: l.LastActive.UTC(), Turns: len(l.Turns), Open: []serverlocal.Turn{}, Bytes: l.Bytes,
	}
	if l.HumanUntil.After(time.Now()) {
		one.HumanUntil = new(l.HumanUntil.UTC())
	}
	for i := range l.Turns {
		switch t := &l.Turns[i]; {
		case !t.State.Over():
			one.Open = append(one.Open, serverlocal.Turn{
				Message: s.alias(t.Key.Follower + "\n" + t.Key.ID), State: t.State.String(), Since: t.AcceptedAt.UTC(),
			})
		case !t.Delivered:
			one.Undelivered++
		}
	}
	return one
}

// follower finds who has an alias.
func (s *Server) follower(ctx context.Context, alias string) (openid string, err error) {
	for from := ""; ; {
		page, err := s.store.List(ctx, from, localPages)
		if err != nil {
			return "", err
		}
		for i := range page.Sessions {
			one := page.Sessions[i].Follower
			if s.alias(one) != alias {
				continue
			}
			if openid != "" && openid != one {
				return "", localError{http.StatusConflict, errors.New("two followers have this alias: nothing was done")}
			}
			openid = one
		}
		if from = page.Next; from == "" {
			break
		}
	}
	if openid == "" {
		return "", localError{http.StatusNotFound, errors.New("no session has this alias: it was forgotten, or the account's Token was changed since, which changes all aliases")}
	}
	return openid, nil
}

func (s *Server) clearSession(ctx context.Context, r *http.Request) (serverlocal.Done, error) {
	openid, err := s.follower(ctx, r.PathValue("alias"))
	if err != nil {
		return serverlocal.Done{}, err
	}
	if err := s.engine.ClearSession(ctx, openid); err != nil {
		return serverlocal.Done{}, err
	}
	s.options.Log.Info("Cleared a session, by kubectl wechatbot", "follower", s.alias(openid))
	return serverlocal.Done{APIVersion: serverlocal.APIVersion, Changed: true}, nil
}

func (s *Server) stopSession(ctx context.Context, r *http.Request) (serverlocal.Done, error) {
	openid, err := s.follower(ctx, r.PathValue("alias"))
	if err != nil {
		return serverlocal.Done{}, err
	}
	stopped, err := s.engine.StopTurn(ctx, openid)
	if err != nil {
		return serverlocal.Done{}, err
	}
	if stopped {
		s.options.Log.Info("Stopped a turn, by kubectl wechatbot", "follower", s.alias(openid))
	}
	return serverlocal.Done{APIVersion: serverlocal.APIVersion, Changed: stopped}, nil
}

func (s *Server) compareMenus(ctx context.Context, _ *http.Request) (serverlocal.Menu, error) {
	client := s.account.Client()
	if client == nil {
		return serverlocal.Menu{}, localError{http.StatusConflict, errors.New("the bot has no AppSecret (wechat.appSecretRef), without which WeChat does not show the menu")}
	}
	configured := s.account.Menu()
	shown, open, err := client.CurrentMenu(ctx)
	if err != nil {
		return serverlocal.Menu{}, localError{http.StatusBadGateway, err}
	}
	return serverlocal.Menu{
		APIVersion: serverlocal.APIVersion, Configured: localButtons(configured), Shown: localButtons(shown), Open: open,
		Same: open && api.SameMenu(configured, shown),
	}, nil
}

func localButtons(all []api.Button) []serverlocal.Button {
	buttons := []serverlocal.Button{}
	for i := range all {
		b := &all[i]
		one := serverlocal.Button{Name: b.Name, Type: string(b.Type)}
		if len(b.Items) > 0 {
			one.Type, one.Items = "", localButtons(b.Items)
		} else {
			one.Does = does(b)
		}
		buttons = append(buttons, one)
	}
	return buttons
}

// does is what a button's type uses.
func does(b *api.Button) string {
	switch b.Type {
	case api.ClickButton:
		return b.Key
	case api.ViewButton:
		return b.URL
	case api.MiniProgramButton:
		return strings.Join(strings.Fields(b.AppID+" "+b.PagePath+" "+b.URL), " ")
	default:
		return strings.Join(strings.Fields(b.Key+" "+b.URL+" "+b.Value), " ")
	}
}
