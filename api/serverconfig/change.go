package serverconfig

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
)

// boundAtStart are the fields (with all below them) that a running server cannot take from a changed file: addresses
// it listens on, names under which things are already stored, and the store itself. Everything else is applied in place.
var boundAtStart = []string{"bot", "listen", "adminListen", "path", "secretsDir", "session"}

// Diff names the fields in which c differs from old, in the file's order. A mapping or list that a person writes counts
// as one.
func (c *Config) Diff(old *Config) []string {
	now, before := leaves(c), leaves(old)
	is, was := values(now), values(before)
	var changed []string
	for _, l := range slices.Concat(now, before) {
		if differ(is[l.field], was[l.field]) && !slices.Contains(changed, l.field) {
			changed = append(changed, l.field)
		}
	}
	return changed
}

// RestartNeeded names those of Diff's fields that take effect at the next start only.
func (c *Config) RestartNeeded(old *Config) []string {
	return slices.DeleteFunc(c.Diff(old), func(field string) bool {
		root, _, _ := strings.Cut(field, ".")
		return !slices.Contains(boundAtStart, root)
	})
}

// StartHash is the same for two configurations if and only if a server can go from one to the other without a restart:
// the operator puts it on the pods. A field at its default does not count, so a field that a later version adds leaves
// the hash of existing bots as it was.
func (c *Config) StartHash() string {
	h := sha256.New()
	defaults, value := Default(), values(leaves(c))
	for _, field := range c.RestartNeeded(&defaults) {
		h.Write([]byte(field + "=" + value[field] + "\n"))
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}
