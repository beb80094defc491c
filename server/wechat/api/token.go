package api

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"
)

// tokenAPI gives the same token to whoever asks while it is valid, so that replicas need not share one. It must be asked in its normal
// mode: forcing a refresh would take the others' token away, and is allowed 20 times a day (token).
const tokenAPI = "/cgi-bin/stable_token"

// WeChat makes a new token five minutes before the old one ends, and takes both until then (token). It is fetched within these five
// minutes, and not by all replicas at once.
const (
	renewBefore = 4*time.Minute + 30*time.Second
	renewSpread = 2 * time.Minute
)

// Bounds of a token's life, whatever the answer says. WeChat's is 300 s to 7200 s (token).
const (
	minTokenLife = time.Minute
	maxTokenLife = 2 * time.Hour
)

// How long a failure to get a token is given to other callers too. What a person has to mend is looked at again once a minute.
const (
	configurationHold = time.Minute
	refusalHold       = 10 * time.Second
	renewalHold       = 10 * time.Second
)

// maxTokenBytes is far above the 512 that WeChat advises to have room for (token).
const maxTokenBytes = 4096

type credentials struct{ appID, secret string }

// token is an access token and whose it is.
type token struct {
	value   string
	of      credentials
	expires time.Time
	renew   time.Time // when to fetch the next one, which is before this one expires
}

// tokens holds the one token in use.
type tokens struct {
	credentials func() credentials

	mu      sync.Mutex
	current token
	flight  *flight // nil if none is fetched
	failure failure
	closed  bool
}

// failure is one that callers are told without asking WeChat.
type failure struct {
	err   *Error
	of    credentials
	until time.Time
}

// flight is one fetching of a token, for everyone who needs it.
type flight struct {
	of    credentials
	done  chan struct{} // closed after value and err are set
	value string
	err   error
}

// token gives the access token to use now. The error is that of fetching one.
func (c *Client) token(ctx context.Context) (string, error) {
	t := &c.tokens
	of := t.credentials()
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		return "", &Error{API: tokenAPI, Kind: Canceled, cause: context.Canceled}
	}
	now := time.Now()
	if t.current.of == of && now.Before(t.current.expires) {
		value := t.current.value
		if !now.Before(t.current.renew) && t.flight == nil {
			t.flight = c.fetch(of)
		}
		t.mu.Unlock()
		return value, nil
	}
	if t.failure.err != nil && t.failure.of == of && now.Before(t.failure.until) {
		err := t.failure.err
		t.mu.Unlock()
		return "", err
	}
	if t.flight == nil || t.flight.of != of {
		t.flight = c.fetch(of)
	}
	f := t.flight
	t.mu.Unlock()
	select {
	case <-f.done:
		return f.value, f.err
	case <-ctx.Done():
		return "", &Error{API: tokenAPI, Kind: Canceled, cause: context.Cause(ctx)}
	}
}

// dropToken forgets the token that WeChat has refused, unless it is no longer the one in use.
func (c *Client) dropToken(refused string) {
	t := &c.tokens
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.current.value == refused {
		t.current = token{}
	}
}

// holdToken is dropToken for a token that was fetched since one was refused: nobody fetches a next one for a moment.
func (c *Client) holdToken(refused string, err *Error) {
	t := &c.tokens
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.current.value == refused {
		t.failure = failure{err, t.current.of, time.Now().Add(refusalHold)}
		t.current = token{}
	}
}

// fetch starts a flight. The lock of tokens is held.
func (c *Client) fetch(of credentials) *flight {
	f := &flight{of: of, done: make(chan struct{})}
	c.fetching.Go(func() {
		fetched, err := c.fetchToken(c.life, of)
		c.land(f, fetched, err)
	})
	return f
}

// land ends a flight. What came of credentials that have since changed is kept for those who wait for it alone.
func (c *Client) land(f *flight, fetched token, err error) {
	t := &c.tokens
	t.mu.Lock()
	defer t.mu.Unlock()
	defer close(f.done)
	f.value, f.err = fetched.value, err
	if t.flight != f {
		return
	}
	t.flight = nil
	if err == nil {
		t.current, t.failure = fetched, failure{}
		return
	}
	now := time.Now()
	if t.current.of == f.of {
		t.current.renew = now.Add(renewalHold) // it serves on
	}
	if e, ok := errors.AsType[*Error](err); ok && heldFor(e.Kind) > 0 {
		t.failure = failure{e, f.of, now.Add(heldFor(e.Kind))}
	}
}

// heldFor is how long a failure to get a token is not tried again.
func heldFor(k Kind) time.Duration {
	switch k {
	case AppIDRejected, SecretRejected, SecretFrozen, IPNotListed, NotEntitled, AccountBlocked, QuotaExhausted:
		return configurationHold
	case TooOften:
		return refusalHold
	default:
		return 0
	}
}

// fetchToken asks WeChat for the token that is valid now (token).
func (c *Client) fetchToken(ctx context.Context, of credentials) (token, error) {
	switch {
	case of.appID == "":
		return token{}, &Error{API: tokenAPI, Kind: AppIDRejected, cause: reasonError("there is no AppID")}
	case of.secret == "":
		return token{}, &Error{API: tokenAPI, Kind: SecretRejected, cause: reasonError("there is no AppSecret")}
	}
	body := encode(struct {
		GrantType string `json:"grant_type"`
		AppID     string `json:"appid"`
		Secret    string `json:"secret"`
	}{"client_credential", of.appID, of.secret})
	asked := time.Now()
	answer, err := c.callWith(ctx, &request{api: tokenAPI, method: http.MethodPost, body: jsonBody(body), tries: idempotentTries}, "")
	if err != nil {
		return token{}, err
	}
	var read struct {
		Token     string `json:"access_token"`
		ExpiresIn int64  `json:"expires_in"`
	}
	if json.Unmarshal(answer, &read) != nil || read.Token == "" || len(read.Token) > maxTokenBytes {
		return token{}, &Error{API: tokenAPI, Kind: BadAnswer, cause: reasonError("there is no token in it")}
	}
	life := min(max(time.Duration(min(read.ExpiresIn, int64(maxTokenLife/time.Second)))*time.Second, minTokenLife), maxTokenLife)
	margin := min(renewBefore-rand.N(renewSpread), life/2) //nolint:gosec // it only spreads replicas
	expires := asked.Add(life)
	return token{value: read.Token, of: of, expires: expires, renew: expires.Add(-margin)}, nil
}

// CheckToken gets an access token, from the memory of the last two hours if it can: the AppSecret is right and our address is on the
// account's IP list. Of a failure that a person has to mend WeChat is asked once a minute, or when the credentials have changed.
func (c *Client) CheckToken(ctx context.Context) error {
	_, err := c.token(ctx)
	return err
}
