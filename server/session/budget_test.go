package session_test

import (
	"testing"
	"time"
	_ "time/tzdata"

	"github.com/wechatbot/wechatbot-operator/server/session"
)

func TestDayEnd(t *testing.T) {
	for _, c := range []struct{ name, zone, now, want string }{
		{"in the middle of the day", "Asia/Shanghai", "2026-11-28T12:00:00+08:00", "2026-11-29T00:00:00+08:00"},
		{"the day there is another than here", "Asia/Shanghai", "2026-11-28T17:00:00Z", "2026-11-30T00:00:00+08:00"},
		{"at midnight a day begins", "Asia/Shanghai", "2026-11-28T00:00:00+08:00", "2026-11-29T00:00:00+08:00"},
		{"a day of 23 hours", "Europe/Berlin", "2026-03-29T01:00:00+01:00", "2026-03-30T00:00:00+02:00"},
		{"a day of 25 hours", "Europe/Berlin", "2026-10-25T01:00:00+02:00", "2026-10-26T00:00:00+01:00"},
		{"clocks are set forward over midnight", "Africa/Cairo", "2026-04-23T20:00:00+02:00", "2026-04-24T01:00:00+03:00"},
		{"midnight comes twice, and this is between", "America/Havana", "2026-11-01T00:30:00-04:00", "2026-11-02T00:00:00-05:00"},
		{"of no zone", "", "2026-11-28T23:59:59Z", "2026-11-29T00:00:00Z"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var zone *time.Location
			if c.zone != "" {
				var err error
				if zone, err = time.LoadLocation(c.zone); err != nil {
					t.Fatal(err)
				}
			}
			if got := session.DayEnd(at(t, c.now), zone); !got.Equal(at(t, c.want)) {
				t.Errorf("%v, want %s", got, c.want)
			}
		})
	}
}

// However a zone sets its clocks, the ends of days are 26 hours apart at most, and always ahead.
func TestDayEnd_Always(t *testing.T) {
	for _, name := range []string{"Asia/Shanghai", "Africa/Cairo", "America/Havana", "Australia/Lord_Howe", "Asia/Beirut", "America/Sao_Paulo", "Asia/Kathmandu"} {
		zone, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		for now := at(t, "2015-01-01T00:00:00Z"); now.Year() < 2017; now = now.Add(29 * time.Minute) {
			if left := session.DayEnd(now, zone).Sub(now); left <= 0 || left > 26*time.Hour {
				t.Fatalf("%s: at %v the day lasts %v more", name, now, left)
			}
		}
	}
}

func at(t *testing.T, s string) time.Time {
	t.Helper()
	when, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t.Fatal(err)
	}
	return when
}
