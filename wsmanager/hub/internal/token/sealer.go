package token

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"slices"
	"time"

	"github.com/speakingtube/speakingtube/internal/httpx"
)

// Token is what a node knows about a negotiation.
type Token struct {
	ID       ID
	Sealed   time.Time // without a monotonic clock reading
	Stateful bool
	Version0 bool     // of the negotiation, where the token is the id of the connection
	user     userHash // users have names of any length, tokens have one length
}

// ID identifies a token and the connection that it begins. It is random, and no secret.
type ID [16]byte

// String returns the text of the ID, which needs no escaping in a URL.
func (id ID) String() string { return base64.RawURLEncoding.EncodeToString(id[:]) }

type userHash [16]byte

func hashUser(user string) (h userHash) {
	sum := sha256.Sum256([]byte(user))
	copy(h[:], sum[:])
	return h
}

// IsFor reports whether the token was made for a user.
func (t *Token) IsFor(user string) bool { return t.user == hashUser(user) }

// New makes a token for a user.
func New(user string, now time.Time) *Token {
	t := &Token{Sealed: now.Round(0), user: hashUser(user)}
	_, _ = rand.Read(t.ID[:]) // never fails, see its documentation
	return t
}

// ValidKey reports whether a key has a length of AES.
func ValidKey(key []byte) bool { return slices.Contains([]int{16, 24, 32}, len(key)) }

// Sealer seals and opens tokens. It is safe for concurrent use.
type Sealer struct{ keys [][]byte }

// NewSealer makes a Sealer that seals with the first of the valid keys and opens with all of them. Without keys it makes a
// random one.
func NewSealer(keys [][]byte) *Sealer {
	s := &Sealer{}
	for _, key := range keys {
		s.keys = append(s.keys, slices.Clone(key))
	}
	if len(s.keys) == 0 {
		key := make([]byte, 32)
		_, _ = rand.Read(key) // never fails, see its documentation
		s.keys = [][]byte{key}
	}
	return s
}

// The format of a token: the prefix and, in base64, a salt and the sealed content. Each token has an AES key of its own,
// derived from the salt: so many tokens can be sealed with one key that its random nonces would repeat.
const (
	saltSize    = 16
	contentSize = 1 + 8 + 16 + 16 // flags, time, ID, hash of the user
	overhead    = 12 + 16         // nonce and tag of AES-GCM
	sealedSize  = saltSize + overhead + contentSize

	stateful = 1 << 0
	version0 = 1 << 1

	derivation = "speakingtube connection token 1"
)

var (
	encoding = base64.RawURLEncoding.Strict()

	textSize = len(httpx.ConnectionTokenPrefix) + encoding.EncodedLen(sealedSize)
)

// Seal returns the text of a token. It needs no escaping in a URL.
func (s *Sealer) Seal(t *Token) string {
	content := make([]byte, 1, contentSize)
	if t.Stateful {
		content[0] |= stateful
	}
	if t.Version0 {
		content[0] |= version0
	}
	content = binary.BigEndian.AppendUint64(content, uint64(t.Sealed.UnixNano()))
	content = append(append(content, t.ID[:]...), t.user[:]...)
	sealed := make([]byte, saltSize, sealedSize)
	_, _ = rand.Read(sealed) // never fails, see its documentation
	sealed = aead(s.keys[0], sealed).Seal(sealed, nil, content, nil)
	return httpx.ConnectionTokenPrefix + encoding.EncodeToString(sealed)
}

// Open returns the token with this text, or nil if no key of the Sealer has sealed it. It does not look at the time.
func (s *Sealer) Open(text string) *Token {
	if len(text) != textSize || text[:len(httpx.ConnectionTokenPrefix)] != httpx.ConnectionTokenPrefix {
		return nil
	}
	sealed, err := encoding.DecodeString(text[len(httpx.ConnectionTokenPrefix):])
	if err != nil || len(sealed) != sealedSize { // the decoder skips line breaks
		return nil
	}
	salt, sealed := sealed[:saltSize], sealed[saltSize:]
	for _, key := range s.keys {
		content, err := aead(key, salt).Open(nil, nil, sealed, nil)
		if err != nil {
			continue
		}
		t := &Token{Stateful: content[0]&stateful != 0, Version0: content[0]&version0 != 0}
		t.Sealed = time.Unix(0, int64(binary.BigEndian.Uint64(content[1:])))
		copy(t.ID[:], content[9:])
		copy(t.user[:], content[9+len(t.ID):])
		return t
	}
	return nil
}

// aead returns the cipher of one token. It puts its nonce in front of the sealed content.
func aead(key, salt []byte) cipher.AEAD {
	derived, err := hkdf.Key(sha256.New, key, salt, derivation, len(key))
	if err != nil {
		panic(err) // only for lengths above 8160 bytes
	}
	block, err := aes.NewCipher(derived)
	if err != nil {
		panic(err) // the key is invalid
	}
	a, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err) // only for other ciphers than AES
	}
	return a
}
