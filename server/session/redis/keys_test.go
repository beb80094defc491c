//go:build redis

package redis

import (
	"slices"
	"strconv"
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
		if !strings.HasPrefix(k, s.prefix) {
			continue
		}
		b.WriteString(k)
		switch c.Type(t.Context(), k).Val() {
		case "hash":
			for f, v := range c.HGetAll(t.Context(), k).Val() {
				b.WriteString("\n" + f + "=" + v)
			}
		case "zset":
			b.WriteString("\n" + strings.Join(c.ZRange(t.Context(), k, 0, -1).Val(), " "))
		}
		b.WriteString("\n")
		kept[strings.TrimPrefix(k, s.prefix)] = c.PTTL(t.Context(), k).Val()
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
	begin := func(id, owner string) *session.Lease {
		t.Helper()
		b, err := s.Begin(t.Context(), session.Question{Key: key(id), Text: "a private question"}, owner, l)
		must(err)
		return b.Lease
	}
	_, err := s.Open(t.Context(), key("m1"))
	must(err)
	lease := begin("m2", "a")
	must(s.Progress(t.Context(), lease, session.Progress{Partial: "a private", ConversationID: "conversation"}))
	must(s.Finish(t.Context(), lease, session.Outcome{State: session.Answered, Answer: "a private answer", ConversationID: "conversation"}))
	must(s.Delivered(t.Context(), follower, session.Receipt{Message: "m2", Turn: "m2", To: 3, Sum: 7}))
	must(s.Release(t.Context(), begin("m3", "a")))
	begin("m4", "")
	_, _, err = s.Cancel(t.Context(), key("m5"))
	must(err)
	_, err = s.TakeHold(t.Context(), 10)
	must(err)
	_, err = s.Next(t.Context(), "a", l)
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
	check(options().IdleTimeout + openKeep)
	lifeOf(t, s, "alice")
	check(options().IdleTimeout + openKeep + session.Dedupe)
	for _, f := range []string{"bob", "alice"} {
		_, kept := dump(t, srv.client(), s)
		if k := kept["f:"+follower(f)]; (k > options().IdleTimeout) != (f == "alice") {
			t.Errorf("%s is kept for %v; one with an open turn is kept for longer", f, k)
		}
	}
	if _, err := s.Clear(t.Context(), session.Key{Follower: "alice", ID: "clear"}); err != nil {
		t.Fatal(err)
	}
	if _, kept := dump(t, srv.client(), s); kept["f:"+follower("alice")] > options().IdleTimeout {
		t.Errorf("kept for %v after clearing", kept["f:"+follower("alice")])
	}
	if _, err := s.Forget(t.Context(), "alice"); err != nil {
		t.Fatal(err)
	}
	if _, kept := dump(t, srv.client(), s); kept["m:"+follower("alice")] > session.Dedupe {
		t.Errorf("messages are kept for %v after forgetting", kept["m:"+follower("alice")])
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
		if strings.HasPrefix(line, s.prefix) && strings.Contains(line, openid) {
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
		if strings.Contains(k, follower(openid)) && !strings.HasPrefix(k, "m:") {
			t.Errorf("%s is still there", k)
		}
	}
}

// Messages are remembered for as long as they may be delivered again, and not more of them than is needed.
func TestMessagesAreBounded(t *testing.T) {
	t.Parallel()
	srv := startServer(t)
	s := openStore(t, newBot(), srv.standalone(), options())
	l := session.Limits{Concurrency: 1, Queue: 1, Open: 1}
	b, err := s.Begin(t.Context(), session.Question{Key: session.Key{Follower: "alice", ID: "kept"}}, "a", l)
	if err != nil || b.Lease == nil {
		t.Fatalf("Begin: %+v, %v", b, err)
	}
	for i := range 400 {
		if _, err := s.Open(t.Context(), session.Key{Follower: "alice", ID: strconv.Itoa(i)}); err != nil {
			t.Fatal(err)
		}
	}
	key := s.prefix + "m:" + follower("alice")
	c := srv.client()
	if n := c.HLen(t.Context(), key).Val(); n < 256 || n > 258 {
		t.Errorf("%d messages of a minute are kept, want 256 and the turn's", n)
	}
	// A minute later: as no test waits for so long, the records are made older.
	for id, v := range c.HGetAll(t.Context(), key).Val() {
		part := strings.Split(v, " ")
		part[2] = strconv.FormatInt(number(part[2])-61, 10)
		if err := c.HSet(t.Context(), key, id, strings.Join(part, " ")).Err(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Open(t.Context(), session.Key{Follower: "alice", ID: "young"}); err != nil {
		t.Fatal(err)
	}
	ids := c.HKeys(t.Context(), key).Val()
	if len(ids) != 33 || !slices.Contains(ids, "kept") || !slices.Contains(ids, "young") {
		t.Errorf("%d messages are kept after a minute: %v", len(ids), ids)
	}
	if b, err := s.Begin(t.Context(), session.Question{Key: session.Key{Follower: "alice", ID: "kept"}}, "a", l); err != nil || b.Verdict != session.Joined {
		t.Errorf("the turn's message: %+v, %v", b, err)
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
	begin := func(f, owner string) session.Begun {
		t.Helper()
		b, err := s.Begin(t.Context(), session.Question{Key: session.Key{Follower: f, ID: "1"}}, owner, l)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	begin("alice", "a")
	begin("bob", "a")
	begin("carol", "a")
	c := srv.client()
	for _, f := range []string{"alice", "bob"} {
		if err := c.Del(t.Context(), s.followerKey(follower(f))).Err(); err != nil {
			t.Fatal(err)
		}
	}
	lease, err := s.Next(t.Context(), "a", l)
	if err != nil || lease.Turn.Key.Follower != "carol" {
		t.Fatalf("Next: %+v, %v", lease, err)
	}
	if err := s.Finish(t.Context(), lease, session.Outcome{State: session.Answered}); err != nil {
		t.Fatal(err)
	}
	if p, err := s.Pending(t.Context()); err != nil || p.Open != 0 {
		t.Errorf("pending %+v, %v; want nothing open", p, err)
	}
	if b := begin("dave", "a"); b.Lease == nil {
		t.Errorf("begun %+v, want a lease", b)
	}
	if p, err := s.Pending(t.Context()); err != nil || p.Open != 1 {
		t.Errorf("pending %+v, %v; want one open", p, err)
	}
}
