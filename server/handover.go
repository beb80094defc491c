package server

import (
	"context"
	"errors"
	"slices"

	"github.com/wechatbot/wechatbot-operator/api/serverstatus"
	"github.com/wechatbot/wechatbot-operator/server/account"
	"github.com/wechatbot/wechatbot-operator/server/turn"
	"github.com/wechatbot/wechatbot-operator/server/wechat/api"
)

// agents are the people of the account's customer service: it is what turn.Options need.
type agents struct{ account *account.Account }

var _ turn.Agents = agents{}

var errNoCustomerService = errors.New("the account has no customer service that this server may use")

// client gives who asks WeChat, unless it is known that the account may not ask.
func (a agents) client() (*api.Client, error) {
	client := a.account.Client()
	if client == nil || a.account.Can(account.Handover) == serverstatus.No {
		return nil, errNoCustomerService
	}
	return client, nil
}

// Online tells whether an agent is online.
func (a agents) Online(ctx context.Context) (bool, error) {
	client, err := a.client()
	if err != nil {
		return false, err
	}
	online, err := client.OnlineAgents(ctx)
	return len(online) > 0, err //nolint:wrapcheck // its text says all
}

// Standing tells whether an agent serves the follower, or the follower waits for one.
func (a agents) Standing(ctx context.Context, follower string) (turn.Standing, error) {
	client, err := a.client()
	if err != nil {
		return turn.Alone, nil //nolint:nilerr // without customer service nobody is served
	}
	agent, _, err := client.AgentSession(ctx, follower)
	if err == nil && agent != "" {
		return turn.WithHuman, nil
	}
	var first []api.Waiting
	var count int
	if err == nil {
		first, count, err = client.WaitingFollowers(ctx)
	}
	switch {
	case api.KindOf(err) == api.AgentsUnavailable, api.KindOf(err) == api.NotEntitled:
		return turn.Alone, nil
	case err != nil:
		return turn.Alone, err //nolint:wrapcheck // its text says all
	case count > len(first), slices.ContainsFunc(first, func(w api.Waiting) bool { return w.OpenID == follower }):
		return turn.Queued, nil
	}
	return turn.Alone, nil
}
