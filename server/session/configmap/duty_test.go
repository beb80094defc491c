package configmap

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/session"
)

// dutyLasts is as long as the server asks for it.
const dutyLasts = time.Minute

func holdDuty(t testing.TB, s *Store) session.Duty {
	t.Helper()
	d, err := s.HoldDuty(t.Context(), dutyLasts)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// whenDuty waits until a store has the duty.
func whenDuty(t testing.TB, s *Store) time.Time {
	t.Helper()
	for range 1000 {
		if d, err := s.HoldDuty(t.Context(), dutyLasts); err == nil && !d.Until.IsZero() {
			return time.Now()
		}
		time.Sleep(time.Second) // in a bubble
	}
	t.Fatal("nobody gave it the duty")
	return time.Time{}
}

func TestDutyGoesWithTheSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAPI()
		old := on(t, a)
		if d := holdDuty(t, old); d.Until.IsZero() || d.Note != "" {
			t.Fatalf("the first process has %+v", d)
		}
		if err := old.NoteDuty(t.Context(), "published"); err != nil {
			t.Fatal(err)
		}
		begin(t, old, false, "alice", "1") // the shards are written as before
		next := successor(t, a)
		standing(t, next)
		if d := holdDuty(t, next); !d.Until.IsZero() {
			t.Fatal("who stands by has the duty")
		}
		if err := next.NoteDuty(t.Context(), "early"); !errors.Is(err, session.ErrLeaseLost) {
			t.Fatalf("who stands by notes: %v", err)
		}
		holdDuty(t, old)
		if err := old.ReleaseDuty(t.Context()); err != nil {
			t.Fatal(err)
		}
		closeStore(t, old)
		closed := time.Now()
		if took := whenDuty(t, next).Sub(closed); took > 2*time.Second {
			t.Errorf("a duty that was given up is taken after %v", took)
		}
		if d := holdDuty(t, next); d.Note != "published" {
			t.Errorf("the note is %q", d.Note)
		}
		begin(t, next, false, "alice", "2")
	})
}

// Whatever keeps a holder from hearing of it, its time is over before another has the duty.
func TestDutyOfAHolderThatDoesNotEnd(t *testing.T) {
	for name, lose := range map[string]func(a *api, old *Store){
		"killed": func(_ *api, old *Store) { drop(old) },
		"hangs":  func(*api, *Store) {},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newAPI()
				old := on(t, a)
				whenDuty(t, old)
				began := time.Now()
				next := successor(t, a)
				standing(t, next)
				time.Sleep(time.Until(began.Add(standByFor - time.Second)))
				last := holdDuty(t, old)
				lose(a, old)
				got := whenDuty(t, next)
				if last.Held(got) {
					t.Errorf("two have the duty: the old one for %v more", last.Until.Sub(got))
				}
				if most := last.Until.Add(5 * time.Second); got.After(most) {
					t.Errorf("the duty is taken %v after it has ended", got.Sub(last.Until))
				}
				if d, err := old.HoldDuty(t.Context(), dutyLasts); !d.Until.IsZero() {
					t.Errorf("the old one has the duty again: %+v, %v", d, err)
				}
			})
		})
	}
}

// A container that starts again in its pod is the only one there.
func TestDutyOfTheSamePod(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAPI()
		old := on(t, a)
		whenDuty(t, old)
		drop(old)
		began := time.Now()
		if took := whenDuty(t, on(t, a)).Sub(began); took > 2*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

// Without the API server nobody knows whose the duty is.
func TestDutyWithoutTheAPIServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAPI()
		s := on(t, a)
		whenDuty(t, s)
		a.breaks(unreachable)
		if d, err := s.HoldDuty(t.Context(), dutyLasts); err == nil || !d.Until.IsZero() {
			t.Errorf("HoldDuty: %+v, %v", d, err)
		}
		if err := s.NoteDuty(t.Context(), "x"); err == nil {
			t.Error("noted without the API server")
		}
		a.breaks(nil)
		whenDuty(t, s)
		if err := s.NoteDuty(t.Context(), "y"); err != nil || holdDuty(t, s).Note != "y" {
			t.Errorf("noted: %v", err)
		}
		a.create("s-0") // somebody deletes it, and the operator makes it anew
		if d, err := s.HoldDuty(t.Context(), dutyLasts); !errors.Is(err, errMadeAnew) {
			t.Errorf("HoldDuty on a ConfigMap that was made anew: %+v, %v", d, err)
		}
		whenDuty(t, s)
	})
}
