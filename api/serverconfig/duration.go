package serverconfig

import (
	"encoding/json"
	"reflect"
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

// UnmarshalJSON reads what String writes, and every other spelling that time.ParseDuration knows. Its error is a wrong
// type, so that the decoder tells the field.
func (d *Duration) UnmarshalJSON(text []byte) error {
	var s string
	if string(text) == "null" {
		return nil
	}
	value := "number"
	if json.Unmarshal(text, &s) == nil {
		parsed, err := time.ParseDuration(s)
		if err == nil {
			*d = Duration(parsed)
			return nil
		}
		value = "number " + strconv.Quote(shorten(s))
	}
	return &json.UnmarshalTypeError{Value: value, Type: reflect.TypeFor[Duration]()}
}
