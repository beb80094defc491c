//go:build redis

package redis

import (
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/wechatbot/wechatbot-operator/server/session"
)

// dump returns all that is in Redis of a bot, as text, and how long each key is still kept.
func dump(t *testing.T, c *goredis.Client, s *Store) (text string, kept map[string]time.Duration) {
	t.Helper()
	keys, err := c.Keys(t.Context(), "*").Result()
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	kept = map[string]time.Duration{}
	for _, k := range keys {
		if !strings.HasPrefix(k, s.port.keys.prefix) {
			continue
		}
		b.WriteString(k)
		switch c.Type(t.Context(), k).Val() {
		case "hash":
			for f, v := range c.HGetAll(t.Context(), k).Val() {
				b.WriteString("\n" + f + "=" + v)
			}
		case "string":
			b.WriteString("\n" + c.Get(t.Context(), k).Val())
		case "zset":
			b.WriteString("\n" + strings.Join(c.ZRange(t.Context(), k, 0, -1).Val(), " "))
		}
		b.WriteString("\n")
		kept[strings.TrimPrefix(k, s.port.keys.prefix)] = c.PTTL(t.Context(), k).Val()
	}
	return b.String(), kept
}

// lifeOf does everything once that a follower can do.
func lifeOf(t *testing.T, s *Store, follower string) {
	t.Helper()
	key := func(id string) session.Key { return session.Key{Follower: follower, ID: id} }
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	l := limits
	l.Questions, l.Window = 100, time.Minute
	begin := func(id string, claim bool) *session.Lease {
		t.Helper()
		b, err := s.Begin(t.Context(), session.Question{Key: key(id), Text: "a private question"}, claim, l)
		must(err)
		return b.Lease
	}
	_, err := s.Open(t.Context(), key("m1"))
	must(err)
	lease := begin("m2", true)
	must(s.Progress(t.Context(), lease, session.Progress{Markdown: "a private", ConversationID: "conversation"}))
	must(s.Finish(t.Context(), lease, session.Outcome{State: session.Answered, Use: session.Use{Tokens: 7, Each: true}, Answer: session.Answer{Markdown: "a private answer"}, ConversationID: "conversation"}))
	must(s.Show(t.Context(), follower, session.Receipt{Message: "m2", Turn: "m2", To: session.Cursor{At: 3, Sum: 7}}))
	must(s.Release(t.Context(), begin("m3", true)))
	begin("m4", false)
	_, _, err = s.Cancel(t.Context(), key("m5"))
	must(err)
	_, err = s.TakeHold(t.Context(), 10)
	must(err)
	_, err = s.Next(t.Context(), l)
	must(err)
	must(s.Ping(t.Context()))
}

func TestEverythingExpires(t *testing.T) {
	t.Parallel()
	srv := startServer(t)
	s := openStore(t, newBot(), srv.standalone(), options())
	check := func(most time.Duration) {
		t.Helper()
		_, kept := dump(t, srv.client(), s)
		if len(kept) == 0 {
			t.Error("there is nothing")
		}
		for k, left := range kept {
			if left <= 0 || left > most {
				t.Errorf("%s is kept for %v", k, left)
			}
		}
	}
	_, err := s.Open(t.Context(), session.Key{Follower: "bob", ID: "1"})
	if err != nil {
		t.Fatal(err)
	}
	check(botKeep)
	lifeOf(t, s, "alice")
	check(botKeep)
	for _, f := range []string{"bob", "alice"} {
		_, kept := dump(t, srv.client(), s)
		if k := kept["f:"+memberOf(f)]; (k > options().IdleTimeout+session.Dedupe) != (f == "alice") {
			t.Errorf("%s is kept for %v; one with an open turn is kept for longer", f, k)
		}
	}
	if _, err := s.Clear(t.Context(), session.Key{Follower: "alice", ID: "clear"}); err != nil {
		t.Fatal(err)
	}
	if _, kept := dump(t, srv.client(), s); kept["f:"+memberOf("alice")] > options().IdleTimeout+session.Dedupe {
		t.Errorf("kept for %v after clearing", kept["f:"+memberOf("alice")])
	}
	if _, err := s.Forget(t.Context(), "alice"); err != nil {
		t.Fatal(err)
	}
	if _, kept := dump(t, srv.client(), s); kept["f:"+memberOf("alice")] > session.Dedupe {
		t.Errorf("a tombstone is kept for %v after forgetting", kept["f:"+memberOf("alice")])
	}
}

func TestForgettingLeavesNothingReadable(t *testing.T) {
	t.Parallel()
	srv := startServer(t)
	s := openStore(t, newBot(), srv.standalone(), options())
	const openid = "o6_bmjrPTlm6_2sgVt7hMZOPfL2M"
	lifeOf(t, s, openid)
	private := []string{openid, "private", "conversation"}
	before, _ := dump(t, srv.client(), s)
	for _, p := range private {
		if !strings.Contains(before, p) {
			t.Errorf("%q is not there before: the test sees nothing", p)
		}
	}
	for line := range strings.SplitSeq(before, "\n") {
		if strings.HasPrefix(line, s.port.keys.prefix) && strings.Contains(line, openid) {
			t.Errorf("the openid is part of the key %s", line)
		}
	}
	if _, err := s.Forget(t.Context(), openid); err != nil {
		t.Fatal(err)
	}
	after, kept := dump(t, srv.client(), s)
	for _, p := range private {
		if strings.Contains(after, p) {
			t.Errorf("%q is still there", p)
		}
	}
	for k := range kept {
		if strings.Contains(k, memberOf(openid)) && !strings.HasPrefix(k, "f:") && !strings.HasPrefix(k, "u:") {
			t.Errorf("%s is still there", k)
		}
	}
	if left := kept["u:"+memberOf(openid)]; left <= 0 || left > 24*time.Hour {
		t.Errorf("what was used is kept for %v, want until the day ends", left)
	}
}

// What an eviction or a very long standstill leaves in the bot's own keys heals by itself.
func TestLostFollowerLeavesNoTrace(t *testing.T) {
	t.Parallel()
	srv := startServer(t)
	o := options()
	o.LeaseTTL = 300 * time.Millisecond
	s := openStore(t, newBot(), srv.standalone(), o)
	l := session.Limits{Concurrency: 1, Queue: 2, Open: 2}
	begin := func(f string, want session.Verdict) session.Begun {
		t.Helper()
		b, err := s.Begin(t.Context(), session.Question{Key: session.Key{Follower: f, ID: "1"}}, true, l)
		if err != nil || b.Verdict != want {
			t.Fatalf("begun %+v, %v; want verdict %d", b, err, want)
		}
		return b
	}
	begin("alice", session.Started)
	begin("bob", session.Started)
	begin("carol", session.Started)
	begin("dave", session.Busy)
	c := srv.client()
	for _, f := range []string{"alice", "bob"} {
		if err := c.Del(t.Context(), s.port.keys.record(memberOf(f)), s.port.keys.texts(memberOf(f))).Err(); err != nil {
			t.Fatal(err)
		}
	}
	claimed, err := s.Next(t.Context(), l)
	if err != nil || claimed.Lease == nil || claimed.Lease.Turn.Key.Follower != "carol" {
		t.Fatalf("Next: %+v, %v", claimed, err)
	}
	if err := s.Finish(t.Context(), claimed.Lease, session.Outcome{State: session.Answered}); err != nil {
		t.Fatal(err)
	}
	if b := begin("dave", session.Started); b.Lease == nil {
		t.Errorf("begun %+v, want a lease", b)
	}
	begin("erin", session.Started)
	begin("frank", session.Started) // what was lost does not count any more
	begin("grace", session.Busy)
}
