package demo

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/wechatbot/wechatbot-operator/test/wechatsim"
)

// What a demo keeps and does at most.
const (
	maxSessions   = 32
	maxStreams    = 4    // of one session: the same tab, reconnecting
	maxEvents     = 2000 // of one session; older ones go first
	maxMessages   = 200  // of one session, whose links can be tapped
	maxUnderWay   = 5    // messages of one session
	droppedEvents = maxEvents / 10
)

var (
	errTooManySessions = errors.New("too many pages are open")
	errTooManyUnderWay = errors.New("too many messages are under way: wait for a reply")
)

// session is one browser tab: a follower, and all that its page is to show.
type session struct {
	id, openid string

	mu        sync.Mutex
	used      time.Time
	streams   int
	underWay  int
	following bool
	behaviour difyBehaviour
	fault     weChatFault
	orderID   int // of the fault, at WeChat's stand-in
	lastID    int // of messages
	messages  []*message
	events    []event
	dropped   int           // events that are no longer there
	more      chan struct{} // closed when there are more events
}

// event is one of what a page is told, in the order in which it happened.
type event struct {
	name string
	data []byte
}

// message is one message or event of a follower, as the page refers to it.
type message struct {
	id       int
	start    time.Time
	question bool // it begins a turn, as far as is known
	turned   bool // its turn is over
	links    []wechatsim.Link
}

// sessions are the demo's, by the id that a tab has given itself.
type sessions struct {
	mu   sync.Mutex
	byID map[string]*session
}

func newSessions() *sessions { return &sessions{byID: make(map[string]*session)} }

// get gives the session of that id and makes it if it is new, in place of the one that was not used for the longest time:
// evicted, else nil.
func (ss *sessions) get(id string) (_, evicted *session, _ error) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	s, ok := ss.byID[id]
	if !ok {
		if len(ss.byID) >= maxSessions {
			if evicted = ss.evict(); evicted == nil {
				return nil, nil, errTooManySessions
			}
		}
		s = &session{id: id, openid: "oDemo" + rand.Text()[:23], behaviour: defaultBehaviour, fault: "none", more: make(chan struct{})}
		ss.byID[id] = s
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used = time.Now()
	return s, evicted, nil
}

// evict drops the idle session that was used least recently; nil if there is none.
func (ss *sessions) evict() *session {
	var oldest *session
	var since time.Time
	for _, s := range ss.byID {
		s.mu.Lock()
		idle, used := s.streams == 0 && s.underWay == 0, s.used
		s.mu.Unlock()
		if idle && (oldest == nil || used.Before(since)) {
			oldest, since = s, used
		}
	}
	if oldest != nil {
		delete(ss.byID, oldest.id)
	}
	return oldest
}

func (ss *sessions) all() []*session {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	list := make([]*session, 0, len(ss.byID))
	for _, s := range ss.byID {
		list = append(list, s)
	}
	return list
}

// byOpenID gives the session of a follower; nil if there is none.
func (ss *sessions) byOpenID(openid string) *session {
	for _, s := range ss.all() {
		if s.openid == openid {
			return s
		}
	}
	return nil
}

// tell appends an event for the session's page.
func (s *session) tell(name string, data any) {
	body, err := json.Marshal(data)
	if err != nil {
		panic("demo: " + err.Error()) // only values of this package come here
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.events) == maxEvents {
		s.events = slices.Delete(s.events, 0, droppedEvents)
		s.dropped += droppedEvents
	}
	s.events = append(s.events, event{name, body})
	close(s.more)
	s.more = make(chan struct{})
}

// after gives the events behind the first n that ever were, how many there have been in all, and what is closed when there are more.
func (s *session) after(n int) (events []event, total int, more <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	from := min(max(n-s.dropped, 0), len(s.events))
	return slices.Clone(s.events[from:]), s.dropped + len(s.events), s.more
}

// open counts a stream, if there may be one more.
func (s *session) open() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.streams == maxStreams {
		return false
	}
	s.streams++
	return true
}

func (s *session) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.streams--
	s.used = time.Now()
}

// begin makes a message, if there may be one more under way.
func (s *session) begin(question bool) (*message, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.underWay == maxUnderWay {
		return nil, errTooManyUnderWay
	}
	s.underWay++
	return s.add(question), nil
}

// add makes a message. The lock is held.
func (s *session) add(question bool) *message {
	s.lastID++
	m := &message{id: s.lastID, start: time.Now(), question: question}
	if len(s.messages) == maxMessages {
		s.messages = slices.Delete(s.messages, 0, 1)
	}
	s.messages = append(s.messages, m)
	return m
}

// pushed makes a message of one that came by itself, and gives its id: its links can be tapped.
func (s *session) pushed(links []wechatsim.Link) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.add(false)
	m.links = links
	return m.id
}

// end is the end of a message's exchange. Asked says whether it has a turn.
func (s *session) end(m *message, links []wechatsim.Link, asked bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.underWay--
	m.links, m.question = links, asked
}

// link gives a link of the reply to a message.
func (s *session) link(id, index int) (wechatsim.Link, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.messages {
		if m.id == id && index >= 0 && index < len(m.links) {
			return m.links[index], true
		}
	}
	return wechatsim.Link{}, false
}

// asked finds the question whose turn was accepted at that time: the nearest that has no turn yet. The log that turns are
// known from names no question.
func (s *session) asked(accepted time.Time) *message {
	s.mu.Lock()
	defer s.mu.Unlock()
	var nearest *message
	for _, m := range s.messages {
		if m.question && !m.turned &&
			(nearest == nil || accepted.Sub(m.start).Abs() < accepted.Sub(nearest.start).Abs()) {
			nearest = m
		}
	}
	if nearest != nil {
		nearest.turned = true
	}
	return nearest
}

func (s *session) dify() difyBehaviour {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.behaviour
}

func (s *session) order(b difyBehaviour) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.behaviour = b
}

// ordered sets the fault in force, and gives the order of the one before, 0 if it had none.
func (s *session) ordered(f weChatFault, id int) (before int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before, s.fault, s.orderID = s.orderID, f, id
	return before
}

func (s *session) weChatFault() weChatFault {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fault
}

// follows says whether the follower follows the account.
func (s *session) follows() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.following
}

func (s *session) follow(following bool) {
	s.mu.Lock()
	s.following = following
	s.mu.Unlock()
	s.tell("following", following)
}
