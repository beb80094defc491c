package configmap

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/session"
	"github.com/wechatbot/wechatbot-operator/server/session/configmap/kubeapi"
)

// spend has a follower use tokens.
func spend(t *testing.T, s *Store, follower, id string, tokens int64) {
	t.Helper()
	l := begin(t, s, true, follower, id)
	o := session.Outcome{State: session.Answered, Use: session.Use{Tokens: tokens, Each: true}}
	if err := s.Finish(t.Context(), l, o); err != nil {
		t.Fatal(err)
	}
}

func wantUsed(t *testing.T, s *Store, want int64) {
	t.Helper()
	if got, err := s.Used(t.Context()); err != nil || got.Tokens != want {
		t.Errorf("used %+v, %v; want %d tokens", got, err, want)
	}
}

func wantVerdict(t *testing.T, s *Store, follower, id string, b session.Budget, want session.Verdict) {
	t.Helper()
	l := limits
	l.Tokens = b
	q := session.Question{Key: session.Key{Follower: follower, ID: id}}
	if got, err := s.Begin(t.Context(), q, true, l); err != nil || got.Verdict != want {
		t.Errorf("%s: begun %+v, %v; want verdict %d", follower, got, err, want)
	}
}

func TestUsed_AfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAPI()
		s := on(t, a)
		for i, follower := range []string{"alice", "bob", "carol", "dave", "erin"} { // in several shards
			spend(t, s, follower, "1", int64(10+i))
		}
		if _, err := s.Forget(t.Context(), "dave"); err != nil {
			t.Fatal(err)
		}
		closeStore(t, s)

		s = on(t, a)
		wantUsed(t, s, 60)
		wantVerdict(t, s, "alice", "2", session.Budget{Follower: 11}, session.Started)
		wantVerdict(t, s, "bob", "2", session.Budget{Follower: 11}, session.FollowerSpent)
		wantVerdict(t, s, "frank", "1", session.Budget{Bot: 60}, session.BotSpent)
		for name, c := range a.copies() {
			if strings.Contains(c.Metadata.Annotations[usedAnnotation], "dave") {
				t.Errorf("%s names who is forgotten", name)
			}
		}
		closeStore(t, s)

		time.Sleep(24 * time.Hour)
		s = on(t, a)
		wantUsed(t, s, 0)
		wantVerdict(t, s, "bob", "2", session.Budget{Follower: 11, Bot: 60}, session.Started)
		closeStore(t, s)
	})
}

// What the followers have used the bot has used, also where somebody has removed the annotations.
func TestUsed_WithoutItsAnnotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAPI()
		s := on(t, a)
		spend(t, s, "alice", "1", 10)
		spend(t, s, "bob", "1", 20)
		closeStore(t, s)
		for _, name := range Names("s") {
			a.change(name, func(c *kubeapi.ConfigMap) { delete(c.Metadata.Annotations, usedAnnotation) })
		}
		s = on(t, a)
		wantUsed(t, s, 30)
		closeStore(t, s)
	})
}

func TestUsed_AnnotationThatMakesNoSense(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAPI()
		a.change(Names("s")[3], func(c *kubeapi.ConfigMap) { c.Metadata.Annotations = map[string]string{usedAnnotation: "many"} })
		s := on(t, a)
		if err := s.Ping(t.Context()); err == nil || !strings.Contains(err.Error(), usedAnnotation+" cannot be read, and may be removed") {
			t.Errorf("error %v", err)
		}
	})
}
