package wechatsim

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"time"
)

// maxControl bounds an order from outside, in bytes.
const maxControl = 64 << 10

// State is what GET /-/state gives: the account as it is, and how its server has done.
type State struct {
	Kind       AccountKind            `json:"kind"`
	Orders     []Order                `json:"orders"`
	Violations map[Violation]int      `json:"violations"`
	Calls      map[string]map[int]int `json:"calls"` // by path and errcode
	Agents     []Agent                `json:"agents"`
	Stats      Stats                  `json:"stats"`
}

// State gives the state of this moment.
func (p *Platform) State() State {
	state := State{Kind: p.Kind(), Orders: p.Orders(), Violations: p.Violations(), Calls: map[string]map[int]int{}, Stats: p.Stats()}
	s := p.server
	s.mu.Lock()
	defer s.mu.Unlock()
	for api, c := range s.calls {
		state.Calls[api] = maps.Clone(c.codes)
	}
	state.Agents = slices.Clone(s.agents.agents)
	return state
}

// setting is the body of POST /-/account: what is in it changes.
type setting struct {
	Kind      *AccountKind    `json:"kind"`
	Secret    *string         `json:"secret"`
	Frozen    *bool           `json:"frozen"`
	KillToken bool            `json:"killToken"`
	IPList    *[]netip.Prefix `json:"ipList"`
	SeenFrom  *netip.Addr     `json:"seenFrom"`
	Agents    *[]Agent        `json:"agents"`
	Menu      *[]Button       `json:"menu"` // made by hand in the console
}

// word is the body of the orders about one follower.
type word struct {
	OpenID string `json:"openid"`
	Agent  string `json:"agent"`
	Text   string `json:"text"`
}

// Control serves orders from outside the process, to peers on the loopback interface only:
//   - POST /-/orders takes an Order as JSON and gives its id, DELETE /-/orders and /-/orders/ID cancel them;
//   - POST /-/account changes the account: {"kind": "personal", "secret": …, "frozen": …, "killToken": …, "ipList": …, "seenFrom": …,
//     "agents": […], "menu": […]};
//   - POST /-/agent/accept, /say and /close let an agent act: {"openid": …, "agent": …, "text": …};
//   - GET /-/state gives a State, GET /-/transcript?openid= what a follower sees.
func (p *Platform) Control() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /-/orders", control(func(o Order) (any, error) {
		if err := o.check(); err != nil {
			return nil, err
		}
		return map[string]int{"id": p.Order(o)}, nil
	}))
	mux.HandleFunc("DELETE /-/orders", func(w http.ResponseWriter, _ *http.Request) { p.CancelOrder(0); w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("DELETE /-/orders/{id}", func(w http.ResponseWriter, r *http.Request) {
		if id, err := strconv.Atoi(r.PathValue("id")); err == nil && id > 0 {
			p.CancelOrder(id)
		}
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("POST /-/account", control(p.set))
	mux.HandleFunc("POST /-/agent/accept", control(func(a word) (any, error) { return did(p.Accept(a.OpenID, a.Agent)) }))
	mux.HandleFunc("POST /-/agent/say", control(func(a word) (any, error) { return did(p.AgentSays(a.OpenID, a.Text)) }))
	mux.HandleFunc("POST /-/agent/close", control(func(a word) (any, error) { return did(p.CloseSession(a.OpenID)) }))
	mux.HandleFunc("GET /-/state", func(w http.ResponseWriter, _ *http.Request) { writeControl(w, p.State()) })
	mux.HandleFunc("GET /-/transcript", func(w http.ResponseWriter, r *http.Request) {
		f := p.known(r.URL.Query().Get("openid"))
		if f == nil {
			http.Error(w, "wechatsim: there is no such follower", http.StatusNotFound)
			return
		}
		writeControl(w, f.Transcript())
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !fromLoopback(r.RemoteAddr) {
			http.Error(w, "wechatsim: orders are taken from loopback only", http.StatusForbidden)
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

// control reads an order of one type and does it.
func control[T any](do func(T) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var order T
		decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxControl))
		decoder.DisallowUnknownFields()
		err := decoder.Decode(&order)
		if err == nil && !errors.Is(decoder.Decode(new(any)), io.EOF) {
			err = errors.New("there is more than one order")
		}
		var result any
		if err == nil {
			result, err = do(order)
		}
		if err != nil {
			http.Error(w, fmt.Sprintf("wechatsim: %v", err), http.StatusBadRequest)
			return
		}
		writeControl(w, result)
	}
}

var errNotNow = errors.New("that cannot be done now")

func did(ok bool) (any, error) {
	if !ok {
		return nil, errNotNow
	}
	return struct{}{}, nil
}

// set changes the account.
func (p *Platform) set(o setting) (any, error) {
	if o.Kind != nil {
		p.SetKind(*o.Kind)
	}
	if o.Secret != nil {
		p.SetSecret(*o.Secret)
	}
	if o.Frozen != nil {
		p.FreezeSecret(*o.Frozen)
	}
	if o.KillToken {
		p.KillToken()
	}
	if o.IPList != nil {
		p.SetIPList(*o.IPList)
	}
	if o.SeenFrom != nil {
		p.SeeFrom(*o.SeenFrom)
	}
	if o.Agents != nil {
		p.SetAgents(*o.Agents)
	}
	if o.Menu != nil {
		p.SetConsoleMenu(*o.Menu)
	}
	return struct{}{}, nil
}

func writeControl(w http.ResponseWriter, value any) {
	body, err := json.Marshal(value)
	if err != nil {
		http.Error(w, "wechatsim: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(body)
}

// textDuration is a duration as "1.5s" in JSON.
type textDuration time.Duration

func (d textDuration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

func (d *textDuration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	*d = textDuration(parsed)
	return err //nolint:wrapcheck // the decoder does
}

// MarshalJSON gives the delay as "1.5s".
func (o Order) MarshalJSON() ([]byte, error) {
	type plain Order
	return json.Marshal(struct {
		plain

		Delay textDuration `json:"delay,omitzero"`
	}{plain(o), textDuration(o.Delay)})
}

// UnmarshalJSON reads what MarshalJSON writes; unknown members are errors.
func (o *Order) UnmarshalJSON(data []byte) error {
	type plain Order
	read := struct {
		*plain

		Delay textDuration `json:"delay"`
	}{plain: (*plain)(o)}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&read); err != nil {
		return fmt.Errorf("reading an order: %w", err)
	}
	o.Delay = time.Duration(read.Delay)
	return nil
}
