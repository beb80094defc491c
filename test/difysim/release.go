package difysim

import (
	"fmt"
	"slices"
)

// Release is the Dify release that a Server imitates: the three that were recorded, and one more.
type Release int

// The recorded releases.
const (
	V1_13_3 Release = iota // chatflows run in a worker: ping first, message_end before workflow_finished
	V1_12_1                // chatflows run in process: workflow_finished before message_end; message_file deltas
	V0_6_5                 // escaped JSON with spaces, field errors without status
	V1_14_2                // as 1.13.3, with forms in the service API; from its source, not recorded
)

// Mode is the kind of the one app that a Server's key belongs to.
type Mode int

// The app modes, by the names that Dify's makers use.
const (
	Chat     Mode = iota // mode "chat"
	Agent                // mode "agent-chat"
	Chatflow             // mode "advanced-chat"
)

var (
	releaseNames = []string{V1_13_3: "1.13.3", V1_12_1: "1.12.1", V0_6_5: "0.6.5", V1_14_2: "1.14.2"}
	modeNames    = []string{Chat: "chat", Agent: "agent-chat", Chatflow: "advanced-chat"}
)

// String gives the release as the X-Version header says it.
func (r Release) String() string { return releaseNames[r] }

// MarshalText gives the release as String does.
func (r Release) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText accepts a version such as "1.13.3".
func (r *Release) UnmarshalText(text []byte) error {
	i := slices.Index(releaseNames, string(text))
	if i < 0 {
		return fmt.Errorf("release %q is none of %q", text, releaseNames)
	}
	*r = Release(i)
	return nil
}

// String gives the mode as GET /info says it.
func (m Mode) String() string { return modeNames[m] }

// MarshalText gives the mode as String does.
func (m Mode) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText accepts Dify's name of a mode, and "agent" and "chatflow" for those two.
func (m *Mode) UnmarshalText(text []byte) error {
	switch string(text) {
	case "agent":
		*m = Agent
		return nil
	case "chatflow":
		*m = Chatflow
		return nil
	}
	i := slices.Index(modeNames, string(text))
	if i < 0 {
		return fmt.Errorf("mode %q is none of %q", text, modeNames)
	}
	*m = Mode(i)
	return nil
}

// relayed tells whether a worker runs the app and the API process only relays its events (chatflow since 1.13).
// Such a run goes on when its client leaves, and fails in silence when it cannot start.
func relayed(release Release, mode Mode) bool {
	return (release == V1_13_3 || release == V1_14_2) && mode == Chatflow
}
