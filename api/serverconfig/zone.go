package serverconfig

import (
	"sync"
	"time"
)

// zones are the time zones that were asked for, by name: a zone is a file to read. There are some six hundred.
var zones sync.Map

// zoneOf finds a time zone by its IANA name.
func zoneOf(name string) (zone *time.Location, ok bool) {
	if name == "" || name == "Local" { // as LoadLocation has it, UTC and the machine's own
		return nil, false
	}
	if known, found := zones.Load(name); found {
		zone, ok = known.(*time.Location)
		return zone, ok
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return nil, false
	}
	zones.Store(name, zone)
	return zone, true
}
