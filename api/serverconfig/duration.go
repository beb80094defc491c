package serverconfig

import (
	"strconv"
	"time"
)

// Duration is a time.Duration that is written as a number and one unit: 4500ms, 60s, 5m, 24h.
type Duration time.Duration

// String writes d in the largest unit that leaves a whole number, so that one duration has one spelling.
func (d Duration) String() string {
	if d == 0 {
		return "0s"
	}
	for _, unit := range [...]struct {
		size time.Duration
		name string
	}{{time.Hour, "h"}, {time.Minute, "m"}, {time.Second, "s"}, {time.Millisecond, "ms"}, {time.Microsecond, "us"}} {
		if time.Duration(d)%unit.size == 0 {
			return strconv.FormatInt(int64(time.Duration(d)/unit.size), 10) + unit.name
		}
	}
	return strconv.FormatInt(int64(d), 10) + "ns"
}

// MarshalText writes what String does.
func (d Duration) MarshalText() ([]byte, error) {
	return []byte(d.String()), nil
}
