package difysim

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// maxControl bounds an order, in bytes.
const maxControl = 64 << 10

// callJSON is a Call for the control endpoint. It has the question: this is test data.
type callJSON struct {
	Number       int       `json:"number"`
	Query        string    `json:"query"`
	User         string    `json:"user"`
	From         string    `json:"from,omitempty"`
	Sent         string    `json:"conversationSent,omitempty"`
	Conversation string    `json:"conversation,omitempty"`
	Message      string    `json:"message,omitempty"`
	Task         string    `json:"task,omitempty"`
	Started      time.Time `json:"started"`
	Ended        time.Time `json:"ended,omitzero"`
	Status       int       `json:"status,omitempty"`
	Deltas       int       `json:"deltas"`
	Outcome      Outcome   `json:"outcome"`
	ClientGone   bool      `json:"clientGone,omitempty"`
}

// callsJSON is what GET /-/calls gives.
type callsJSON struct {
	Total   int        `json:"total"`
	Running int        `json:"running"`
	Calls   []callJSON `json:"calls"`
}

// ReadCalls reads what GET /-/calls gave. Inputs and files of the calls are not in it.
func ReadCalls(body []byte) ([]Call, error) {
	var read callsJSON
	if err := json.Unmarshal(body, &read); err != nil {
		return nil, fmt.Errorf("reading calls: %w", err)
	}
	calls := make([]Call, len(read.Calls))
	for i, c := range read.Calls {
		calls[i] = Call{
			Request:      Request{Number: c.Number, Query: c.Query, User: c.User, From: c.From, ConversationID: c.Sent},
			Conversation: c.Conversation, Message: c.Message, Task: c.Task, Started: c.Started, Ended: c.Ended,
			Status: c.Status, Deltas: c.Deltas, Outcome: c.Outcome, ClientGone: c.ClientGone,
		}
	}
	return calls, nil
}

// Control serves orders from outside the process to peers on the loopback interface only:
// POST /-/behaviour takes a Behaviour as JSON, for SetBehaviour; GET gives the one in force;
// GET /-/calls gives {"total": CallCount, "running": RunningCount, "calls": Calls}, of one question with ?query=.
func (s *Server) Control() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /-/behaviour", s.orderBehaviour)
	mux.HandleFunc("GET /-/behaviour", func(w http.ResponseWriter, _ *http.Request) { writeControl(w, s.Behaviour()) })
	mux.HandleFunc("GET /-/calls", s.showCalls)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !fromLoopback(r.RemoteAddr) {
			http.Error(w, "difysim: orders are taken from loopback only", http.StatusForbidden)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

func fromLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

func (s *Server) orderBehaviour(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxControl))
	var b Behaviour
	if err == nil {
		err = json.Unmarshal(body, &b)
	}
	if err != nil {
		http.Error(w, fmt.Sprintf("difysim: %v", err), http.StatusBadRequest)
		return
	}
	s.SetBehaviour(b)
	writeControl(w, b)
}

func (s *Server) showCalls(w http.ResponseWriter, r *http.Request) {
	calls := s.Calls()
	if query := r.URL.Query().Get("query"); query != "" {
		calls = s.CallsFor(query)
	}
	shown := make([]callJSON, len(calls))
	for i := range calls {
		c := &calls[i]
		shown[i] = callJSON{
			c.Number, c.Query, c.User, c.From, c.ConversationID, c.Conversation, c.Message, c.Task, c.Started, c.Ended,
			c.Status, c.Deltas, c.Outcome, c.ClientGone,
		}
	}
	writeControl(w, callsJSON{s.CallCount(), s.RunningCount(), shown})
}

func writeControl(w http.ResponseWriter, value any) {
	body, err := json.Marshal(value)
	if err != nil {
		http.Error(w, "difysim: "+err.Error(), http.StatusInternalServerError)
		return
	}
	write(w, &response{status: http.StatusOK, contentType: "application/json", body: body})
}
