package wechatsim

import (
	"crypto/rand"
	"encoding/json"
	"time"
)

// TokenPath is the call for a token.
const TokenPath = "/cgi-bin/stable_token"

// A token's life. WeChat makes the next one five minutes before the end; both are good until then.
const (
	tokenLife    = 2 * time.Hour
	tokenOverlap = 5 * time.Minute
	forcePause   = 30 * time.Second
	forcesADay   = 20
)

// tokens are those that were given.
type tokens struct {
	secret  string
	frozen  bool
	current string
	given   map[string]time.Time // when each ends; zero: it was killed
	forced  time.Time
	forces  int
}

// SetSecret gives the account another AppSecret, as resetting it in the console does: the old one is worth nothing any more.
func (p *Platform) SetSecret(secret string) {
	p.server.mu.Lock()
	defer p.server.mu.Unlock()
	p.server.tokens.secret = secret
}

// FreezeSecret freezes the AppSecret in the console, or thaws it.
func (p *Platform) FreezeSecret(frozen bool) {
	p.server.mu.Lock()
	defer p.server.mu.Unlock()
	p.server.tokens.frozen = frozen
}

// KillToken makes the current token worthless, as somebody's forced refresh does.
func (p *Platform) KillToken() {
	p.server.mu.Lock()
	defer p.server.mu.Unlock()
	p.server.tokens.kill()
}

func (t *tokens) kill() {
	if t.current != "" {
		t.given[t.current] = time.Time{}
		t.current = ""
	}
}

// stableToken gives the token of the moment, the same to everybody.
func (s *server) stableToken(c *call) apiAnswer {
	var ask struct {
		GrantType string `json:"grant_type"`
		AppID     string `json:"appid"`
		Secret    string `json:"secret"`
		Force     bool   `json:"force_refresh"`
	}
	t := &s.tokens
	switch err := json.Unmarshal(c.body, &ask); {
	case err != nil || ask.GrantType != "client_credential":
		s.broke(BadBody)
		return refuse(40002)
	case ask.AppID != s.platform.account.AppID:
		return refuse(40013)
	case t.secret == "" || ask.Secret != t.secret:
		return refuse(40125)
	case t.frozen:
		return refuse(40243)
	}
	now := time.Now()
	if ask.Force {
		s.broke(ForcedToken)
		if now.Sub(t.forced) >= forcePause {
			t.forces++
			if t.forces > forcesADay {
				return refuse(45009)
			}
			t.forced = now
			t.kill()
		}
	}
	if end := t.given[t.current]; t.current == "" || end.Sub(now) < tokenOverlap {
		t.current = "92_" + rand.Text() + rand.Text() + rand.Text() + rand.Text() + rand.Text() // 133 characters, as seen
		if t.given == nil {
			t.given = make(map[string]time.Time)
		}
		t.given[t.current] = now.Add(tokenLife)
	}
	return apiAnswer{value: struct {
		Token     string `json:"access_token"`
		ExpiresIn int    `json:"expires_in"`
	}{t.current, int(t.given[t.current].Sub(now) / time.Second)}}
}

// staleAfter is how long after its end a token may still be used by a server that has yet to find out.
const staleAfter = time.Minute

// checkToken gives the errcode of a call's token. The lock is held.
func (s *server) checkToken(c *call) int {
	value := c.URL.Query().Get("access_token")
	if value == "" {
		s.broke(NoToken)
		return 41001
	}
	end, given := s.tokens.given[value]
	now := time.Now()
	switch {
	case !given:
		s.broke(UnknownToken)
		return 40001
	case end.IsZero():
		return 40001
	case now.After(end):
		if now.Sub(end) > staleAfter {
			s.broke(StaleToken)
		}
		return 42001
	}
	return 0
}
