package wechat

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
)

const (
	encodingAESKeyLen = 43
	randomLen         = 16
	headLen           = randomLen + 4 // random, then the message's length as big-endian uint32
	padBlock          = 32            // PKCS#7 over 32 bytes, not AES's 16: pad bytes run from 1 to 32
)

var (
	errCipher = errors.New("wechat: ciphertext does not open")

	// Tencent's encoders write canonical base64, so that anything else has been tampered with.
	sealedEncoding = base64.StdEncoding.Strict()
)

// Cipher encrypts and decrypts messages as WeChat does: AES-256-CBC under an EncodingAESKey, bound to an AppID
// (the protocol's receive id). It is immutable and safe for concurrent use. CBC gives no integrity: what Open returns
// is only as trustworthy as the msg_signature that was checked before.
type Cipher struct {
	block cipher.Block
	iv    [aes.BlockSize]byte
	appID string
}

// NewCipher makes the cipher of an EncodingAESKey (43 characters of base64) and an AppID.
// The error says what is wrong with the key without showing it.
func NewCipher(encodingAESKey, appID string) (*Cipher, error) {
	if len(encodingAESKey) != encodingAESKeyLen {
		return nil, fmt.Errorf("EncodingAESKey has %d characters instead of %d", len(encodingAESKey), encodingAESKeyLen)
	}
	if strings.ContainsFunc(encodingAESKey, func(r rune) bool { return !isBase64(r) }) {
		return nil, errors.New("EncodingAESKey has a character that is not of the base64 alphabet")
	}
	if !isID(appID) {
		return nil, errors.New("AppID is empty or malformed")
	}
	// Not strict: the last character has two spare bits, which are set in most keys.
	key, err := base64.StdEncoding.DecodeString(encodingAESKey + "=")
	if err != nil {
		return nil, errors.New("EncodingAESKey is not base64") // err could show a part of it
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("prepare AES: %w", err)
	}
	c := &Cipher{block: block, appID: appID}
	copy(c.iv[:], key)
	return c, nil
}

// String keeps the key schedule out of logs.
func (*Cipher) String() string { return "wechat.Cipher" }

// GoString does the same for %#v.
func (c *Cipher) GoString() string { return c.String() }

// Seal encrypts msg and returns the text for <Encrypt>. Random must be fresh: the IV is fixed by the protocol.
func (c *Cipher) Seal(random [16]byte, msg []byte) string {
	plain := make([]byte, headLen, headLen+len(msg)+c.tailLen())
	return base64.StdEncoding.EncodeToString(c.seal(random, append(plain, msg...)))
}

// tailLen is the most that seal appends to a message.
func (c *Cipher) tailLen() int { return len(c.appID) + padBlock }

// seal encrypts plain in place: headLen free bytes and the message behind them.
func (c *Cipher) seal(random [randomLen]byte, plain []byte) []byte {
	copy(plain, random[:])
	binary.BigEndian.PutUint32(plain[randomLen:], uint32(len(plain)-headLen)) //nolint:gosec // a message is far below 4 GiB
	plain = append(plain, c.appID...)
	pad := padBlock - len(plain)%padBlock
	for range pad {
		plain = append(plain, byte(pad))
	}
	cipher.NewCBCEncrypter(c.block, c.iv[:]).CryptBlocks(plain, plain)
	return plain
}

// Open decrypts the text of <Encrypt>. It demands canonical base64, whole padding blocks, intact padding, an exact
// length and exactly this cipher's AppID, and gives one identical error for every failure.
func (c *Cipher) Open(encrypted string) ([]byte, error) { return c.open([]byte(encrypted)) }

func (c *Cipher) open(encrypted []byte) ([]byte, error) {
	if bytes.ContainsAny(encrypted, "\r\n") { // the decoder would skip them
		return nil, errCipher
	}
	sealed := make([]byte, sealedEncoding.DecodedLen(len(encrypted)))
	n, err := sealedEncoding.Decode(sealed, encrypted)
	if err != nil || n == 0 || n%padBlock != 0 {
		return nil, errCipher
	}
	plain := sealed[:n]
	cipher.NewCBCDecrypter(c.block, c.iv[:]).CryptBlocks(plain, plain)
	return c.unframe(plain)
}

// unframe takes the message out of random, length, message, AppID, padding.
func (c *Cipher) unframe(plain []byte) ([]byte, error) {
	pad := int(plain[len(plain)-1])
	if pad < 1 || pad > padBlock {
		return nil, errCipher
	}
	end := len(plain) - pad
	var differing byte
	for _, b := range plain[end:] {
		differing |= b ^ byte(pad)
	}
	length := end - headLen - len(c.appID) // the only one that leaves exactly the AppID behind the message
	if differing != 0 || length < 0 || uint64(binary.BigEndian.Uint32(plain[randomLen:])) != uint64(length) {
		return nil, errCipher
	}
	msg, appID := plain[headLen:headLen+length], plain[headLen+length:end]
	if subtle.ConstantTimeCompare(appID, []byte(c.appID)) != 1 {
		return nil, errCipher
	}
	return msg, nil
}

func isBase64(r rune) bool {
	return r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '+' || r == '/'
}

// isID tells whether s has the form of an openid, an original id or an AppID: ^[A-Za-z0-9_-]{1,64}$.
func isID(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' && c != '-' {
			return false
		}
	}
	return true
}
