package server

import (
	"cmp"
	"encoding/json"
	"net/http"
	"sync/atomic"

	"github.com/wechatbot/wechatbot-operator/api/serverstatus"
	"github.com/wechatbot/wechatbot-operator/server/dify"
)

// status says how the server is, for the operator and for people.
func (s *Server) status(w http.ResponseWriter, r *http.Request) {
	if !s.notes.known() {
		_ = s.askStore(r.Context()) // it is noted
		s.budget.ask(r.Context(), s.store)
	}
	received := s.handler.Received()
	answer := serverstatus.Status{
		APIVersion: serverstatus.APIVersion,
		Version:    s.options.Version,
		Config:     serverstatus.Config{Hash: *s.hash.Load()},
		Dify:       serverstatus.Dify{LastError: s.dify.last.kind()},
		Account:    s.account.Status(),
		Budget:     s.budget.status(),
		Voice:      serverstatus.Voice{LastError: s.engine.VoiceError()},
		Pushes: serverstatus.Pushes{
			Authentic: received.Authentic, WrongSignature: received.WrongSignature, Undecryptable: received.Undecryptable,
		},
	}
	ok, err := s.notes.last()
	answer.Store.OK = ok
	if err != nil {
		answer.Store.Error = err.Error()
	}
	body, err := json.Marshal(answer)
	if err != nil {
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(append(body, '\n')) // nobody is there, if it fails
}

// lastDifyError is the kind of the last call's error; empty if that went well.
type lastDifyError struct{ is atomic.Pointer[string] }

func (l *lastDifyError) note(err error) {
	kind := ""
	if err != nil {
		kind = cmp.Or(string(dify.KindOf(err)), "other")
	}
	if kind == string(dify.Canceled) {
		return // by us: it says nothing of Dify
	}
	l.is.Store(&kind)
}

func (l *lastDifyError) kind() string {
	if kind := l.is.Load(); kind != nil {
		return *kind
	}
	return ""
}
