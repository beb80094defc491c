package wechatsim

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// server is WeChat's server API of one account: what the account's server calls. Its mutex guards all of its state, that of followers
// included.
type server struct {
	platform *Platform

	mu         sync.Mutex
	kind       AccountKind
	tokens     tokens
	listed     []netip.Prefix // nil: every address is
	seen       netip.Addr     // where calls are said to come from; zero: where they do
	orders     []*standingOrder
	orderID    int
	media      mediaStore
	menu       menuState
	agents     agentDesk
	calls      map[string]*apiCount
	violations map[Violation]int
	sentAgain  []time.Time // see SentAgainSince
	day        string      // of the counts in quota
	used       map[string]int
	limits     map[string]int
	addresses  []string // that pushes come from

	endpoints  map[string]endpoint
	background sync.WaitGroup // pushes that no follower waits for
}

// apiCount is how an API was called.
type apiCount struct {
	calls int
	codes map[int]int // what was answered; 0 is a success, faults of the transport are not in it
}

// Violation is a rule of WeChat's that the account's server broke. A test of a server wants none.
type Violation string

// The rules.
const (
	NoSuchCall        Violation = "a call that does not exist, or by the wrong method"
	BadBody           Violation = "a body that is not what the call takes"
	Escaped           Violation = `\u escapes in JSON`
	NoToken           Violation = "a call without a token"
	UnknownToken      Violation = "a token that WeChat never gave"
	StaleToken        Violation = "a token long after its end"
	ForcedToken       Violation = "a token by force"
	SentOutside       Violation = "a send outside every window"
	SentTooMany       Violation = "a send beyond the count"
	SentToNobody      Violation = "a send to who is no follower"
	SentAgain         Violation = "a message again whose outcome was unknown"
	SentParallel      Violation = "two sends to one follower at a time"
	SentOverAgent     Violation = "a send while an agent serves"
	BlankText         Violation = "a text without content"
	LongText          Violation = "a text of more than 2,048 bytes"
	BadMedia          Violation = "a media id that is not there, or of another type"
	BadFile           Violation = "a file that WeChat does not take"
	BadMenu           Violation = "a menu that WeChat does not take"
	TypedOutside      Violation = "typing outside every window"
	TransferredNobody Violation = "a hand-over by an account without customer service"
)

func newServer(p *Platform) *server {
	s := &server{
		platform: p, kind: p.account.Kind,
		calls: make(map[string]*apiCount), violations: make(map[Violation]int), used: make(map[string]int), limits: make(map[string]int),
		addresses: []string{"101.226.103.0/25", "121.51.162.4"},
	}
	s.tokens.secret = p.account.AppSecret
	s.agents.sessions = make(map[string]*agentSession)
	s.endpoints = s.table()
	return s
}

// API is WeChat's server API of this account, as api.weixin.qq.com is it. It tells apart neither hosts nor schemes.
func (p *Platform) API() http.Handler { return http.HandlerFunc(p.server.serve) }

// Wait blocks until what the platform pushes by itself has ended: the beginning and end of agents' sessions.
func (p *Platform) Wait() { p.server.background.Wait() }

// SetKind makes the account one of another kind, as a verification or its end does.
func (p *Platform) SetKind(k AccountKind) {
	p.server.mu.Lock()
	defer p.server.mu.Unlock()
	p.server.kind = k
}

// Kind is what sort of account it is now.
func (p *Platform) Kind() AccountKind {
	p.server.mu.Lock()
	defer p.server.mu.Unlock()
	return p.server.kind
}

// SetIPList sets the addresses that may call; nil lifts the restriction, an empty list lets nobody call.
func (p *Platform) SetIPList(list []netip.Prefix) {
	p.server.mu.Lock()
	defer p.server.mu.Unlock()
	p.server.listed = list
}

// SeeFrom makes all calls look as if they came from an address, as behind a NAT; the zero Addr shows where they do come from.
func (p *Platform) SeeFrom(a netip.Addr) {
	p.server.mu.Lock()
	defer p.server.mu.Unlock()
	p.server.seen = a
}

// Violations are the rules that the account's server broke, and how often.
func (p *Platform) Violations() map[Violation]int {
	p.server.mu.Lock()
	defer p.server.mu.Unlock()
	return maps.Clone(p.server.violations)
}

// SentAgainSince are the times at which the messages came first that were a violation, SentAgain, when they came again.
func (p *Platform) SentAgainSince() []time.Time {
	p.server.mu.Lock()
	defer p.server.mu.Unlock()
	return slices.Clone(p.server.sentAgain)
}

// Calls is how often an API was called, and how often it answered with each errcode: 0 is a success.
func (p *Platform) Calls(api string) (calls int, codes map[int]int) {
	p.server.mu.Lock()
	defer p.server.mu.Unlock()
	c := p.server.calls[api]
	if c == nil {
		return 0, nil
	}
	return c.calls, maps.Clone(c.codes)
}

// call is one call of the API under way.
type call struct {
	*http.Request

	api    string
	body   []byte
	openid string // of whom it is about, if of one
}

// maxCall bounds the body of a call: the largest is a file of 10 MB.
const maxCall = 12 << 20

// serve takes a call: through an order, if there is one for it, and through the API.
func (s *server) serve(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	c := &call{Request: r, api: r.URL.Path}
	o := s.orderFor(c, matchBeforeBody)
	if o != nil {
		panic(http.ErrAbortHandler)
	}
	var err error
	if c.body, err = io.ReadAll(http.MaxBytesReader(w, r.Body, maxCall)); err != nil {
		panic(http.ErrAbortHandler)
	}
	c.openid = addressee(c.body)
	if c.api == SendPath {
		defer s.sending(c.openid)()
	}
	if o = s.orderFor(c, matchWithBody); o == nil {
		o = &Order{}
	}
	waits := sleepFor(r, s.platform.options.Latency+o.Delay)
	var answer apiAnswer
	if o.Applied || waits && !o.instead() {
		answer = s.take(c) //nolint:contextcheck // the call has it
	}
	switch {
	case !waits:
		s.doubt(c, o)
		s.called(c, start, lostAnswer) //nolint:contextcheck // the call has it
	case o.instead():
		s.doubt(c, o)
		s.misbehave(w, c, o, start) //nolint:contextcheck // the call has it
	default:
		s.write(w, c, answer)
		s.called(c, start, answer.code) //nolint:contextcheck // the call has it
	}
}

// sending notes a send under way until the function that it returns is called.
func (s *server) sending(openid string) (sent func()) {
	f := s.platform.known(openid)
	if f == nil {
		return func() {}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	f.contact.sending++
	if f.contact.sending > 1 {
		s.broke(SentParallel)
	}
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		f.contact.sending--
	}
}

// take does what a call asks for, and tells the observer of what the follower sees of it.
func (s *server) take(c *call) apiAnswer {
	answer := s.judge(c)
	if answer.shown != nil {
		s.platform.observe(c.Context(), *answer.shown)
	}
	return answer
}

// judge checks a call as WeChat does, and does what it asks for.
func (s *server) judge(c *call) apiAnswer {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, known := s.endpoints[c.api]
	if !known {
		s.broke(NoSuchCall)
		return refuse(40066)
	}
	if c.Method != e.method {
		s.broke(NoSuchCall)
		return refuse(map[string]int{http.MethodGet: 43001, http.MethodPost: 43002}[e.method])
	}
	if !s.isListed(c) {
		return refuse(40164)
	}
	if !e.open {
		if code := s.checkToken(c); code != 0 {
			return refuse(code)
		}
	}
	if e.verified && !s.kind.verified() {
		return refuse(48001)
	}
	if !s.spend(c.api) {
		return refuse(45009)
	}
	if e.json && !s.isJSON(c) {
		return refuse(s.bodyCode(c))
	}
	return e.do(c)
}

// endpoint is one call of the API.
type endpoint struct {
	method   string
	open     bool // takes no token
	verified bool // 仅认证
	json     bool // takes JSON
	do       func(*call) apiAnswer
}

func (s *server) table() map[string]endpoint {
	const get, post = http.MethodGet, http.MethodPost
	return map[string]endpoint{
		TokenPath:       {method: post, open: true, json: true, do: s.stableToken},
		SendPath:        {method: post, verified: true, json: true, do: s.customSend},
		TypingPath:      {method: post, verified: true, json: true, do: s.customTyping},
		UploadPath:      {method: post, verified: true, do: s.uploadMedia},
		DownloadPath:    {method: get, verified: true, do: s.downloadMedia},
		MaterialPath:    {method: post, do: s.addMaterial},
		delMaterialPath: {method: post, json: true, do: s.deleteMaterial},
		CreateMenuPath:  {method: post, verified: true, json: true, do: s.createMenu},
		getMenuPath:     {method: get, verified: true, do: s.getMenu},
		deleteMenuPath:  {method: get, verified: true, do: s.deleteMenu},
		SelfMenuPath:    {method: get, do: s.selfMenu},
		OnlinePath:      {method: get, verified: true, do: s.onlineAgents},
		sessionPath:     {method: get, verified: true, do: s.agentSession},
		waitingPath:     {method: get, verified: true, do: s.waitingFollowers},
		CallbackIPPath:  {method: get, do: s.callbackAddresses},
		CheckPath:       {method: post, json: true, do: s.checkCallback},
		QuotaPath:       {method: post, json: true, do: s.quota},
	}
}

// broke counts a violation. The lock is held.
func (s *server) broke(v Violation) { s.violations[v]++ }

// isJSON says whether a body is a JSON object without escapes that WeChat refuses. The lock is held.
func (s *server) isJSON(c *call) bool {
	if bytes.Contains(unescaped(c.body), []byte(`\u`)) {
		s.broke(Escaped)
		return false
	}
	var object map[string]json.RawMessage
	if json.Unmarshal(c.body, &object) != nil {
		s.broke(BadBody)
		return false
	}
	return true
}

// unescaped is JSON without its escaped backslashes, so that what looks like an escape is one.
func unescaped(body []byte) []byte { return bytes.ReplaceAll(body, []byte(`\\`), nil) }

// bodyCode is the errcode of a body that isJSON says no to.
func (s *server) bodyCode(c *call) int {
	switch {
	case len(c.body) == 0:
		return 44002
	case bytes.Contains(unescaped(c.body), []byte(`\u`)):
		return 40033
	default:
		return 47001
	}
}

// isListed says whether a call comes from an address of the list. The lock is held.
func (s *server) isListed(c *call) bool {
	if s.listed == nil {
		return true
	}
	a := s.caller(c)
	for _, p := range s.listed {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// caller is where a call is seen to come from.
func (s *server) caller(c *call) netip.Addr {
	if s.seen.IsValid() {
		return s.seen
	}
	host, _, err := net.SplitHostPort(c.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	a, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Addr{}
	}
	return a.Unmap()
}

// addressee gives the openid that a body is about.
func addressee(body []byte) string {
	var to struct {
		User string `json:"touser"`
	}
	if json.Unmarshal(body, &to) != nil {
		return ""
	}
	return to.User
}

// called counts a call that was answered, and tells the observer.
func (s *server) called(c *call, start time.Time, code int) {
	s.mu.Lock()
	n := s.calls[c.api]
	if n == nil {
		n = &apiCount{codes: make(map[int]int)}
		s.calls[c.api] = n
	}
	n.calls++
	n.codes[code]++
	s.mu.Unlock()
	seen := Call{API: c.api, Code: code, Start: start, Took: time.Since(start)}
	if code == lostAnswer {
		seen.Code, seen.Lost = 0, true
	}
	s.platform.observe(c.Context(), Event{Type: APICalled, OpenID: c.openid, Call: seen})
}

// sleepFor waits, and says whether the caller still does.
func sleepFor(r *http.Request, d time.Duration) bool {
	return sleepUntil(r.Context(), time.Now().Add(d)) == nil
}
