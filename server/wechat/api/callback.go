package api

import (
	"context"
	"encoding/json"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

const (
	callbackAddressesAPI = "/cgi-bin/getcallbackip"
	callbackCheckAPI     = "/cgi-bin/callback/check"
	quotaAPI             = "/cgi-bin/openapi/quota/get"
)

// CallbackAddresses gives the addresses that WeChat pushes from. They change: to be asked at least once a day (callback).
func (c *Client) CallbackAddresses(ctx context.Context) ([]netip.Prefix, error) {
	answer, err := c.call(ctx, &request{api: callbackAddressesAPI, method: http.MethodGet, tries: idempotentTries})
	if err != nil {
		return nil, err
	}
	var read struct {
		List []string `json:"ip_list"`
	}
	if json.Unmarshal(answer, &read) != nil || len(read.List) == 0 {
		return nil, &Error{API: callbackAddressesAPI, Kind: BadAnswer, cause: reasonError("there are no addresses in it")}
	}
	prefixes := make([]netip.Prefix, 0, len(read.List))
	for _, text := range read.List {
		prefix, ok := parsePrefix(strings.TrimSpace(text))
		if !ok {
			return nil, &Error{API: callbackAddressesAPI, Kind: BadAnswer, cause: reasonError("an address in it cannot be read")}
		}
		prefixes = append(prefixes, prefix)
	}
	return prefixes, nil
}

// parsePrefix reads an address, a CIDR, or the a.b.c.* of older lists.
func parsePrefix(s string) (netip.Prefix, bool) {
	if start, ok := strings.CutSuffix(s, ".*"); ok {
		s = start + ".0/24"
	}
	if prefix, err := netip.ParsePrefix(s); err == nil {
		return prefix.Masked(), true
	}
	address, err := netip.ParseAddr(s)
	if err != nil || address.Zone() != "" {
		return netip.Prefix{}, false
	}
	return netip.PrefixFrom(address, address.BitLen()), true
}

// CallbackCheck is what WeChat finds when it looks for the URL that the console has for pushes.
type CallbackCheck struct {
	// Resolved are the addresses of the URL's host, as WeChat's resolvers give them.
	Resolved []netip.Addr
	// Pings are the attempts to reach them.
	Pings []Ping
}

// Ping is WeChat's attempt to reach an address from one operator's network, such as UNICOM.
type Ping struct {
	Address  netip.Addr
	Operator string
	// Loss is the share of packets that were lost, 0 to 1.
	Loss float64
	// Took is the time of a round trip; 0 if there was none.
	Took time.Duration
}

// CheckCallback makes WeChat look for the console's URL, by name and by ping, from the network that it would push from. It takes some
// seconds. NoCallback means that the console has none.
func (c *Client) CheckCallback(ctx context.Context) (CallbackCheck, error) {
	body := []byte(`{"action":"all","check_operator":"DEFAULT"}`)
	answer, err := c.call(ctx, &request{
		api: callbackCheckAPI, method: http.MethodPost, body: jsonBody(body), tries: idempotentTries, timeout: c.mediaTimeout,
	})
	if err != nil {
		return CallbackCheck{}, err
	}
	var read struct {
		DNS []struct {
			IP string `json:"ip"`
		} `json:"dns"`
		Ping []struct {
			IP       string `json:"ip"`
			Operator string `json:"from_operator"`
			Loss     string `json:"package_loss"` // "0%"
			Time     string `json:"time"`         // "23.079ms", or empty
		} `json:"ping"`
	}
	if json.Unmarshal(answer, &read) != nil {
		return CallbackCheck{}, &Error{API: callbackCheckAPI, Kind: BadAnswer, cause: reasonError("there is no finding in it")}
	}
	var check CallbackCheck
	for _, d := range read.DNS {
		if address, err := netip.ParseAddr(d.IP); err == nil {
			check.Resolved = append(check.Resolved, address)
		}
	}
	for _, p := range read.Ping {
		address, err := netip.ParseAddr(p.IP)
		if err != nil {
			continue
		}
		check.Pings = append(check.Pings, Ping{address, p.Operator, parseLoss(p.Loss), parseTime(p.Time)})
	}
	return check, nil
}

// parseLoss takes what it cannot read for a total loss.
func parseLoss(s string) float64 {
	percent, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(s), "%"), 64)
	if err != nil || !(percent >= 0 && percent <= 100) {
		return 1
	}
	return percent / 100
}

func parseTime(s string) time.Duration {
	d, err := time.ParseDuration(strings.TrimSpace(s))
	if err != nil {
		return 0
	}
	return max(0, d)
}

// Quota is how often a call may be made, and was.
type Quota struct {
	// Daily is the calls of a day, which begins at 00:00 in Beijing; Used and Left are today's.
	Daily, Used, Left int64
}

// Quota gives the quota of a call by its path, such as SendPath. Asking costs nothing that matters
// (quota).
func (c *Client) Quota(ctx context.Context, path string) (Quota, error) {
	body := encode(struct {
		Path string `json:"cgi_path"`
	}{path})
	answer, err := c.call(ctx, &request{api: quotaAPI, method: http.MethodPost, body: jsonBody(body), tries: idempotentTries})
	if err != nil {
		return Quota{}, err
	}
	var read struct {
		Quota *struct {
			Daily int64 `json:"daily_limit"`
			Used  int64 `json:"used"`
			Left  int64 `json:"remain"`
		} `json:"quota"`
	}
	if json.Unmarshal(answer, &read) != nil || read.Quota == nil {
		return Quota{}, &Error{API: quotaAPI, Kind: BadAnswer, cause: reasonError("there is no quota in it")}
	}
	return Quota{read.Quota.Daily, read.Quota.Used, read.Quota.Left}, nil
}
