package wechatsim

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Paths of the calls about the account itself, for Order and Calls.
const (
	CallbackIPPath = "/cgi-bin/getcallbackip"
	CheckPath      = "/cgi-bin/callback/check"
	QuotaPath      = "/cgi-bin/openapi/quota/get"
)

// SetCallbackAddresses sets the addresses that pushes are said to come from: addresses, CIDR, or a.b.c.* as of old.
func (p *Platform) SetCallbackAddresses(list []string) {
	p.server.mu.Lock()
	defer p.server.mu.Unlock()
	p.server.addresses = list
}

func (s *server) callbackAddresses(*call) apiAnswer {
	return apiAnswer{value: map[string]any{"ip_list": slices.Clone(s.addresses)}}
}

// checkCallback finds the account's URL where it is: a host that is no address is said to be at one for documentation.
func (s *server) checkCallback(c *call) apiAnswer {
	var ask struct {
		Action   string `json:"action"`
		Operator string `json:"check_operator"`
	}
	switch err := json.Unmarshal(c.body, &ask); {
	case err != nil || !slices.Contains([]string{"all", "dns", "ping"}, ask.Action):
		s.broke(BadBody)
		return refuse(40202)
	case !slices.Contains([]string{"DEFAULT", "CHINANET", "UNICOM", "CAP"}, ask.Operator):
		s.broke(BadBody)
		return refuse(40203)
	}
	host := s.platform.url.Hostname()
	if _, err := netip.ParseAddr(host); err != nil {
		host = "192.0.2.80"
	}
	answer := make(map[string]any)
	if ask.Action != "ping" {
		answer["dns"] = []map[string]any{{"ip": host, "real_operator": ask.Operator}}
	}
	if ask.Action != "dns" {
		answer["ping"] = []map[string]any{{"ip": host, "from_operator": ask.Operator, "package_loss": "0%", "time": "23.079ms"}}
	}
	return apiAnswer{value: answer}
}

// dailyCalls are the calls of a day of a verified account that is new; a test account has fewer.
var dailyCalls = map[string]int{
	TokenPath: 500_000, SendPath: 500_000, UploadPath: 100_000, DownloadPath: 200_000, CreateMenuPath: 1000, getMenuPath: 10_000, deleteMenuPath: 1000,
}

var testAccountCalls = map[string]int{SendPath: 50_000, UploadPath: 500, DownloadPath: 1000}

// otherCalls is for all that have no published number.
const otherCalls = 100_000

// SetQuota sets how often an API may be called in a day, which begins at 00:00 in Beijing.
func (p *Platform) SetQuota(api string, daily int) {
	p.server.mu.Lock()
	defer p.server.mu.Unlock()
	p.server.limits[api] = daily
}

// daily is an API's quota. The lock is held.
func (s *server) daily(api string) int {
	if n, ok := s.limits[api]; ok {
		return n
	}
	if n, ok := testAccountCalls[api]; ok && s.kind == TestAccount {
		return n
	}
	if n, ok := dailyCalls[api]; ok {
		return n
	}
	return otherCalls
}

// beijing is UTC+8, without daylight saving.
var beijing = time.FixedZone("CST", 8*60*60)

// spend counts a call, and says whether the day's quota has it. The lock is held.
func (s *server) spend(api string) bool {
	if day := time.Now().In(beijing).Format(time.DateOnly); day != s.day {
		s.day = day
		clear(s.used)
	}
	if s.used[api] >= s.daily(api) {
		return false
	}
	s.used[api]++
	return true
}

func (s *server) quota(c *call) apiAnswer {
	var ask struct {
		Path string `json:"cgi_path"`
	}
	if json.Unmarshal(c.body, &ask) != nil || !strings.HasPrefix(ask.Path, "/") || s.endpoints[ask.Path].method == "" {
		s.broke(BadBody)
		return refuse(76003)
	}
	daily := s.daily(ask.Path)
	used := s.used[ask.Path]
	return apiAnswer{value: map[string]any{
		"errcode": 0, "errmsg": "ok",
		"quota":      map[string]any{"daily_limit": daily, "used": used, "remain": max(0, daily-used)},
		"rate_limit": map[string]any{"call_count": 100_000, "refresh_second": 60},
	}}
}
