package serverconfig

import (
	"fmt"
	"io"
	"log/slog"
)

// Secret is a value that no print, log line or encoding shows. Only Reveal gives it.
type Secret string

const redacted = "[redacted]"

// Reveal gives the secret itself, for the one call that needs it.
func (s Secret) Reveal() string {
	return string(s)
}

// String is "[redacted]", or empty if the secret is: whether one is set is no secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return redacted
}

// GoString is String, for %#v.
func (s Secret) GoString() string {
	return s.String()
}

// Format prints String for every verb, %x and %d included.
func (s Secret) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, s.String()) // a fmt.State never fails
}

// LogValue is String, for slog.
func (s Secret) LogValue() slog.Value {
	return slog.StringValue(s.String())
}

// MarshalText is String, for every encoding of text.
func (s Secret) MarshalText() ([]byte, error) {
	return []byte(s.String()), nil
}

// MarshalJSON is String in quotes.
func (s Secret) MarshalJSON() ([]byte, error) {
	return []byte(`"` + s.String() + `"`), nil
}
