package api

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"time"
)

const (
	onlineAgentsAPI = "/cgi-bin/customservice/getonlinekflist"
	// The sessions' calls have no /cgi-bin (seen).
	sessionAPI = "/customservice/kfsession/getsession"
	waitingAPI = "/customservice/kfsession/getwaitcase"
)

// Agent is a person who serves followers in the account's name (客服), and is online.
type Agent struct {
	// Account is prefix@the account's WeChat id.
	Account string
	// Serving is the number of followers who are being served.
	Serving int
}

// OnlineAgents gives the agents who are online. A follower who is handed over while there is none waits, and nobody is told (kf).
// AgentsUnavailable means that the account has no customer service at all.
func (c *Client) OnlineAgents(ctx context.Context) ([]Agent, error) {
	answer, err := c.call(ctx, &request{api: onlineAgentsAPI, method: http.MethodGet, tries: idempotentTries})
	if err != nil {
		return nil, err
	}
	var read struct {
		List []struct {
			Account string `json:"kf_account"`
			Status  int    `json:"status"`
			Serving int    `json:"accepted_case"`
		} `json:"kf_online_list"`
	}
	if json.Unmarshal(answer, &read) != nil {
		return nil, &Error{API: onlineAgentsAPI, Kind: BadAnswer, cause: reasonError("there is no list of agents in it")}
	}
	var online []Agent
	for _, a := range read.List {
		if a.Status != 0 {
			online = append(online, Agent{a.Account, a.Serving})
		}
	}
	return online, nil
}

// AgentSession gives the agent who serves the follower, and since when; an empty agent means that nobody does.
func (c *Client) AgentSession(ctx context.Context, openid string) (agent string, since time.Time, err error) {
	answer, err := c.call(ctx, &request{
		api: sessionAPI, method: http.MethodGet, query: url.Values{"openid": {openid}}, tries: idempotentTries,
	})
	if err != nil {
		return "", time.Time{}, err
	}
	var read struct {
		Agent   string `json:"kf_account"`
		Created int64  `json:"createtime"`
	}
	if json.Unmarshal(answer, &read) != nil {
		return "", time.Time{}, &Error{API: sessionAPI, Kind: BadAnswer, cause: reasonError("there is no session in it")}
	}
	if read.Agent == "" {
		return "", time.Time{}, nil
	}
	return read.Agent, time.Unix(read.Created, 0), nil
}

// Waiting is a follower in the queue, whom no agent serves yet.
type Waiting struct {
	OpenID string
	// Since is when the follower wrote last.
	Since time.Time
}

// WaitingFollowers gives the queue's length and its first followers, at most 100. Their messages go on being pushed (kf).
func (c *Client) WaitingFollowers(ctx context.Context) (first []Waiting, count int, err error) {
	answer, err := c.call(ctx, &request{api: waitingAPI, method: http.MethodGet, tries: idempotentTries})
	if err != nil {
		return nil, 0, err
	}
	var read struct {
		Count int `json:"count"`
		List  []struct {
			OpenID  string `json:"openid"`
			Latest  int64  `json:"latest_time"`
			Created int64  `json:"createtime"` // in place of latest_time in older answers (seen)
		} `json:"waitcaselist"`
	}
	if json.Unmarshal(answer, &read) != nil {
		return nil, 0, &Error{API: waitingAPI, Kind: BadAnswer, cause: reasonError("there is no queue in it")}
	}
	for _, w := range read.List {
		first = append(first, Waiting{w.OpenID, time.Unix(max(w.Latest, w.Created), 0)})
	}
	return first, max(read.Count, len(first)), nil
}
