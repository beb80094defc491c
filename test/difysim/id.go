package difysim

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// newID gives a random UUID (version 4), as Dify names tasks, messages and conversations.
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // documented never to fail
	return formatID(b)
}

// endUserID gives the id that stands for a caller's user string: always the same for the same app and user.
func endUserID(app, user string) string {
	sum := sha256.Sum256([]byte(app + "\x00" + user))
	return formatID([16]byte(sum[:16]))
}

func formatID(b [16]byte) string {
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	var text [36]byte
	hex.Encode(text[0:8], b[0:4])
	hex.Encode(text[9:13], b[4:6])
	hex.Encode(text[14:18], b[6:8])
	hex.Encode(text[19:23], b[8:10])
	hex.Encode(text[24:36], b[10:16])
	text[8], text[13], text[18], text[23] = '-', '-', '-', '-'
	return string(text[:])
}

// isID tells whether Dify takes the text for a UUID: 32 hexadecimal digits, hyphens wherever they are.
func isID(text string) bool {
	digits, err := hex.DecodeString(strings.ReplaceAll(text, "-", ""))
	return err == nil && len(digits) == 16
}
