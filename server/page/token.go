package page

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"time"
)

// An address holds a name, sealed so that it tells nothing and cannot be made by anybody else: a MAC over the name, and the
// name, encrypted under a key of its own with the MAC as the nonce (RFC 5297 calls this a synthetic nonce). One name has one
// address, on every replica.
const (
	macBytes   = 16
	endBytes   = 4 // seconds since 1970
	maxSealed  = 256
	keyLabel   = "wechatbot page 1"
	lastSecond = 1<<32 - 1
)

// Key makes and opens addresses. Its zero value does neither.
type Key struct {
	mac   []byte
	block cipher.Block
}

// NewKey derives a key from secrets that all replicas have. Followers get what is made by it: one of the secrets has to be
// too random to be guessed.
func NewKey(secrets ...string) Key {
	var all []byte
	for _, s := range secrets {
		all = binary.BigEndian.AppendUint32(all, uint32(len(s))) //nolint:gosec // a secret has less than 4 GiB
		all = append(all, s...)
	}
	derived, err := hkdf.Key(sha256.New, all, nil, keyLabel, 64)
	if err != nil {
		return Key{} // of no length that HKDF has
	}
	block, err := aes.NewCipher(derived[32:])
	if err != nil {
		return Key{} // of no length that AES has
	}
	return Key{mac: derived[:32], block: block}
}

// seal makes the token of a name; "" if it is too long for one.
func (k Key) seal(n Name) string {
	end := n.Until.Unix()
	if k.block == nil || len(n.Follower) > 255 || end < 0 || end > lastSecond {
		return ""
	}
	name := binary.BigEndian.AppendUint32(nil, uint32(end))
	name = append(name, byte(len(n.Follower))) //nolint:gosec // at most 255
	name = append(name, n.Follower...)
	name = append(name, n.Turn...)
	sealed := append(k.sum(name), name...)
	if len(sealed) > maxSealed {
		return ""
	}
	k.crypt(sealed)
	return base64.RawURLEncoding.EncodeToString(sealed)
}

// open returns the name in a token; false if the token was made otherwise.
func (k Key) open(token string) (Name, bool) {
	if k.block == nil || len(token) > base64.RawURLEncoding.EncodedLen(maxSealed) {
		return Name{}, false
	}
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(sealed) < macBytes+endBytes+1 || base64.RawURLEncoding.EncodeToString(sealed) != token {
		return Name{}, false // the decoder passes over line ends
	}
	k.crypt(sealed)
	name := sealed[macBytes:]
	follower := int(name[endBytes])
	if !hmac.Equal(k.sum(name), sealed[:macBytes]) || len(name) < endBytes+1+follower {
		return Name{}, false
	}
	rest := name[endBytes+1:]
	return Name{
		Follower: string(rest[:follower]), Turn: string(rest[follower:]),
		Until: time.Unix(int64(binary.BigEndian.Uint32(name)), 0),
	}, true
}

func (k Key) sum(name []byte) []byte {
	h := hmac.New(sha256.New, k.mac)
	h.Write(name)
	return h.Sum(nil)[:macBytes:macBytes]
}

// crypt encrypts or decrypts, in place, what stands behind the MAC.
func (k Key) crypt(sealed []byte) {
	cipher.NewCTR(k.block, sealed[:macBytes]).XORKeyStream(sealed[macBytes:], sealed[macBytes:])
}
