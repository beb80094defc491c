package wechatsim

import (
	"context"
	"slices"
	"time"
)

// Paths of the calls about agents, for Order and Calls. Those about sessions have no /cgi-bin.
const (
	OnlinePath  = "/cgi-bin/customservice/getonlinekflist"
	sessionPath = "/customservice/kfsession/getsession"
	waitingPath = "/customservice/kfsession/getwaitcase"
)

// Agent is a person who serves followers in the account's name (客服).
type Agent struct {
	// Account is prefix@the account's WeChat id.
	Account string `json:"account"`
	Online  bool   `json:"online"`
	// AutoAccept is how many followers the agent takes without being asked.
	AutoAccept int `json:"autoAccept"`
}

// agentDesk is the account's customer service. The server's lock guards it.
type agentDesk struct {
	agents   []Agent // nil: it is switched off in the console
	sessions map[string]*agentSession
	queue    []waiting
}

// agentSession is one that is open.
type agentSession struct {
	agent   string
	created time.Time
	ends    *time.Timer // 30 minutes after the last sign
}

// waiting is a follower in the queue.
type waiting struct {
	openid string
	agent  string // the one who was named; empty: any
	since  time.Time
}

// sessionIdle is when WeChat ends a session of which nobody says a word.
const sessionIdle = 30 * time.Minute

// SetAgents sets who works in the account's customer service; nil switches it off in the console. Whoever waits is served if somebody is
// there now.
func (p *Platform) SetAgents(agents []Agent) {
	s := p.server
	s.mu.Lock()
	s.agents.agents = slices.Clone(agents)
	var accepted []waiting
	s.agents.queue = slices.DeleteFunc(s.agents.queue, func(w waiting) bool {
		agent := s.agents.free(w.agent)
		if agent == "" {
			return false
		}
		s.begin(w.openid, agent)
		accepted = append(accepted, waiting{openid: w.openid, agent: agent})
		return true
	})
	s.mu.Unlock()
	for _, w := range accepted {
		s.announce(w.openid, "kf_create_session", w.agent)
	}
}

// free gives an agent who is online and takes followers unasked, the named one or any; empty if there is none.
func (d *agentDesk) free(named string) string {
	for _, a := range d.agents {
		if a.Online && (named == "" || a.Account == named) && d.count(a.Account) < a.AutoAccept {
			return a.Account
		}
	}
	return ""
}

func (d *agentDesk) count(agent string) int {
	n := 0
	for _, s := range d.sessions {
		if s.agent == agent {
			n++
		}
	}
	return n
}

// serving says whether an agent serves a follower.
func (d *agentDesk) serving(openid string) bool { return d.sessions[openid] != nil }

// leave ends what there is of a follower who has left the account. No event tells of it.
func (d *agentDesk) leave(openid string) {
	if s := d.sessions[openid]; s != nil {
		s.ends.Stop()
		delete(d.sessions, openid)
	}
	d.queue = slices.DeleteFunc(d.queue, func(w waiting) bool { return w.openid == openid })
}

// begin opens a session. The lock is held.
func (s *server) begin(openid, agent string) {
	s.agents.sessions[openid] = &agentSession{agent, time.Now(), time.AfterFunc(sessionIdle, func() { s.close(openid) })}
}

// transfer hands a follower over, as the reply transfer_customer_service asks: to the named agent alone, if one is named, online or not.
func (s *server) transfer(f *Follower, named string) {
	s.mu.Lock()
	if !s.kind.verified() || s.agents.agents == nil {
		s.broke(TransferredNobody)
		s.mu.Unlock()
		return
	}
	if s.agents.serving(f.openid) {
		s.mu.Unlock()
		return
	}
	agent := s.agents.free(named)
	if agent == "" {
		if !slices.ContainsFunc(s.agents.queue, func(w waiting) bool { return w.openid == f.openid }) {
			s.agents.queue = append(s.agents.queue, waiting{f.openid, named, time.Now()})
		}
		s.mu.Unlock()
		return
	}
	s.begin(f.openid, agent)
	s.mu.Unlock()
	s.announce(f.openid, "kf_create_session", agent)
}

// Accept lets an agent take a follower from the queue, or any other follower; it says whether there is such an agent, who is online.
func (p *Platform) Accept(openid, agent string) bool {
	s := p.server
	s.mu.Lock()
	ok := slices.ContainsFunc(s.agents.agents, func(a Agent) bool { return a.Account == agent && a.Online }) && !s.agents.serving(openid)
	if ok {
		s.agents.queue = slices.DeleteFunc(s.agents.queue, func(w waiting) bool { return w.openid == openid })
		s.begin(openid, agent)
	}
	s.mu.Unlock()
	if ok {
		s.announce(openid, "kf_create_session", agent)
	}
	return ok
}

// AgentSays shows the follower a text of the agent who serves, and says whether one does.
func (p *Platform) AgentSays(openid, text string) bool {
	s, f := p.server, p.Follower(openid)
	s.mu.Lock()
	session := s.agents.sessions[openid]
	var b Bubble
	if session != nil {
		session.ends.Reset(sessionIdle)
		b = Bubble{At: time.Now(), From: FromAgent, Type: "text", Text: text, Agent: session.agent}
		f.see(b)
	}
	s.mu.Unlock()
	if session != nil {
		p.observe(context.Background(), Event{Type: BubbleShown, OpenID: openid, Bubble: b})
	}
	return session != nil
}

// CloseSession ends an agent's session with the follower, as the agent does, and says whether there was one.
func (p *Platform) CloseSession(openid string) bool { return p.server.close(openid) }

func (s *server) close(openid string) bool {
	s.mu.Lock()
	session := s.agents.sessions[openid]
	if session != nil {
		session.ends.Stop()
		delete(s.agents.sessions, openid)
	}
	s.mu.Unlock()
	if session == nil {
		return false
	}
	s.announce(openid, "kf_close_session", session.agent)
	return true
}

// Serving gives the agent who serves the follower, empty if none does, and whether the follower waits for one.
func (p *Platform) Serving(openid string) (agent string, queued bool) {
	p.server.mu.Lock()
	defer p.server.mu.Unlock()
	if s := p.server.agents.sessions[openid]; s != nil {
		return s.agent, false
	}
	return "", slices.ContainsFunc(p.server.agents.queue, func(w waiting) bool { return w.openid == openid })
}

// toAgent takes a message that goes to the agent who serves, in place of the account's server, and says whether it does.
func (s *server) toAgent(openid string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	session := s.agents.sessions[openid]
	if session != nil {
		session.ends.Reset(sessionIdle)
	}
	return session != nil
}

// announce pushes an event about a session, beside everything else.
func (s *server) announce(openid, event, agent string) {
	f := s.platform.Follower(openid)
	fields := []field{{name: "KfAccount", value: agent}}
	if event == "kf_close_session" {
		fields = append(fields, field{name: "CloseType", value: "KF"})
	}
	s.platform.observe(context.Background(), Event{Type: SessionChanged, OpenID: openid, Agent: agent, Open: event == "kf_create_session"})
	s.background.Go(func() { _, _ = f.exchange(context.Background(), f.event(event, fields...)) }) // how it ends is in the statistics
}

func (s *server) onlineAgents(*call) apiAnswer {
	if s.agents.agents == nil {
		return refuse(65400)
	}
	list := []map[string]any{}
	for i, a := range s.agents.agents {
		if a.Online {
			list = append(list, map[string]any{
				"kf_account": a.Account, "status": 1, "kf_id": 1001 + i, "auto_accept": a.AutoAccept, "accepted_case": s.agents.count(a.Account),
			})
		}
	}
	return apiAnswer{value: map[string]any{"kf_online_list": list}}
}

func (s *server) agentSession(c *call) apiAnswer {
	if s.agents.agents == nil {
		return refuse(65400)
	}
	openid := c.URL.Query().Get("openid")
	if s.platform.known(openid) == nil {
		return refuse(40003)
	}
	answer := map[string]any{"errcode": 0, "errmsg": "ok", "kf_account": "", "createtime": 0}
	if session := s.agents.sessions[openid]; session != nil {
		answer["kf_account"], answer["createtime"] = session.agent, session.created.Unix()
	}
	return apiAnswer{value: answer}
}

func (s *server) waitingFollowers(*call) apiAnswer {
	if s.agents.agents == nil {
		return refuse(65400)
	}
	list := []map[string]any{}
	for _, w := range s.agents.queue[:min(100, len(s.agents.queue))] {
		list = append(list, map[string]any{"latest_time": w.since.Unix(), "openid": w.openid, "kf_account": w.agent})
	}
	return apiAnswer{value: map[string]any{"count": len(s.agents.queue), "waitcaselist": list}}
}
