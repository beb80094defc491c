package serverconfig

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"sync"
)

// startFields are the fields (with all below them) that a running server cannot take from a changed file: addresses it
// listens on, names under which things are already stored, and the store itself. Everything else is applied in place.
type startFields struct {
	Bot         string  `json:"bot"`
	Listen      string  `json:"listen"`
	AdminListen string  `json:"adminListen"`
	Path        string  `json:"path"`
	SecretsDir  string  `json:"secretsDir"`
	Session     Session `json:"session"`
}

func (c *Config) atStart() []leaf {
	return leaves(startFields{c.Bot, c.Listen, c.AdminListen, c.Path, c.SecretsDir, c.Session})
}

// defaultStart are the values of Default's. They are not to be changed.
var defaultStart = sync.OnceValue(func() map[string]string {
	defaults := Default()
	return values(defaults.atStart())
})

// Diff names the fields in which c differs from old, in the file's order. A mapping or list that a person writes counts
// as one.
func (c *Config) Diff(old *Config) []string { return diff(leaves(c), leaves(old)) }

// RestartNeeded names those of Diff's fields that take effect at the next start only.
func (c *Config) RestartNeeded(old *Config) []string { return diff(c.atStart(), old.atStart()) }

func diff(now, before []leaf) (changed []string) {
	is, was := values(now), values(before)
	for _, l := range slices.Concat(now, before) {
		if differ(is[l.field], was[l.field]) && !slices.Contains(changed, l.field) {
			changed = append(changed, l.field)
		}
	}
	return changed
}

// StartHash is the same for two configurations if and only if a server can go from one to the other without a restart:
// the operator puts it on the pods. A field at its default does not count, so a field that a later version adds leaves
// the hash of existing bots as it was.
func (c *Config) StartHash() string {
	h, usual := sha256.New(), defaultStart()
	for _, l := range c.atStart() {
		if differ(l.value, usual[l.field]) {
			h.Write([]byte(l.field + "=" + l.value + "\n"))
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}
