package wechat

import (
	"bytes"
	"crypto/sha1" //nolint:gosec // the protocol's choice
	"crypto/subtle"
	"encoding/hex"
)

const signatureLen = 2 * sha1.Size

// Sign is the lower-case hex SHA-1 over the byte-wise sorted parts, joined without a separator: without
// encrypt what WeChat calls signature, with the text of <Encrypt> what it calls msg_signature.
func Sign(token, timestamp, nonce string, encrypt ...string) string {
	parts := [][]byte{[]byte(token), []byte(timestamp), []byte(nonce)}
	for _, e := range encrypt {
		parts = append(parts, []byte(e))
	}
	sum := signature(parts...)
	return string(sum[:])
}

// signature reorders parts. It allocates only for parts that do not fit on the stack.
func signature(parts ...[]byte) (sum [signatureLen]byte) {
	for i := 1; i < len(parts); i++ {
		for j := i; j > 0 && bytes.Compare(parts[j], parts[j-1]) < 0; j-- {
			parts[j], parts[j-1] = parts[j-1], parts[j]
		}
	}
	joined := make([]byte, 0, 1024)
	for _, p := range parts {
		joined = append(joined, p...)
	}
	digest := sha1.Sum(joined) //nolint:gosec // the protocol's choice
	hex.Encode(sum[:], digest[:])
	return sum
}

// matches compares in constant time. WeChat writes lower case; upper case does not match.
func matches(want [signatureLen]byte, given string) bool {
	if len(given) != signatureLen {
		return false
	}
	var got [signatureLen]byte
	copy(got[:], given)
	return subtle.ConstantTimeCompare(want[:], got[:]) == 1
}
