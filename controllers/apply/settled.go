package apply

import (
	"crypto/sha256"
	"encoding/json"
	"sync"

	"k8s.io/apimachinery/pkg/types"
)

// settled remembers differences that an apply did not change: where the API server puts a default into a structure
// that it takes as a whole (an env's fieldRef in a user's pod template, say), what we own of it is never what we want.
// Without a memory such a child would be applied in every pass. A restart forgets, which costs one apply.
type settled struct {
	mu    sync.Mutex
	known map[types.UID]remembered
}

// remembered is a difference, and what became of the last apply because of it: nil where the API server only added its
// defaults.
type remembered struct {
	difference [2]digest
	overridden error
}

type digest [sha256.Size]byte

// maxSettled bounds the memory; it is started anew when it is full of objects that are long gone.
const maxSettled = 16 << 10

func (s *settled) get(object types.UID, difference [2]digest) (ok bool, overridden error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	known, ok := s.known[object]
	if !ok || known.difference != difference {
		return false, nil
	}
	return true, known.overridden
}

func (s *settled) add(object types.UID, difference [2]digest, overridden error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known == nil || len(s.known) >= maxSettled {
		s.known = map[types.UID]remembered{}
	}
	s.known[object] = remembered{difference, overridden}
}

// digestOf sums up an apply configuration. One that cannot be encoded cannot be sent either.
func digestOf(configuration any) digest {
	encoded, err := json.Marshal(configuration)
	if err != nil {
		return digest{}
	}
	return sha256.Sum256(encoded)
}
