package frame

import (
	crand "crypto/rand"
	"encoding/binary"
	"math/rand/v2"
	"sync"

	"github.com/gobwas/ws"
)

const (
	maskBit = 0x80

	// MaskSize is the number of bytes by which a mask lengthens a frame.
	MaskSize = 4
)

// MaskKeys makes the keys that a client masks its frames with. A mask keeps an
// application that chooses a payload from choosing the bytes on the wire, which a cache or
// proxy could take for another protocol, so keys must be unpredictable (RFC 6455,
// section 10.3). ChaCha8 with a seed from the system meets that in some nanoseconds; the
// system's own source would take a hundred times as long. It is safe for concurrent use.
type MaskKeys struct {
	mu     sync.Mutex // guards source
	source *rand.ChaCha8
}

// NewMaskKeys returns a source of keys with a seed of its own.
func NewMaskKeys() *MaskKeys {
	var seed [32]byte
	_, _ = crand.Read(seed[:]) // never fails: see its documentation
	return &MaskKeys{source: rand.NewChaCha8(seed)}
}

// next returns the key for one frame.
func (k *MaskKeys) next() (key [4]byte) {
	k.mu.Lock()
	defer k.mu.Unlock()
	binary.NativeEndian.PutUint32(key[:], uint32(k.source.Uint64()))
	return key
}

// Mask masks the frame of [Append] that begins at start and ends with buf, and returns
// buf, which grows by [MaskSize]. A nil MaskKeys, that of a server, returns buf as it is.
func (k *MaskKeys) Mask(buf []byte, start int) []byte {
	if k == nil { // inlined, so that a server does not pay for a call
		return buf
	}
	return k.mask(buf, start)
}

func (k *MaskKeys) mask(buf []byte, start int) []byte {
	key := k.next()
	at := len(buf) - PayloadSize(buf[start:])
	buf = append(buf, key[:]...)
	copy(buf[at+MaskSize:], buf[at:])
	copy(buf[at:], key[:])
	buf[start+1] |= maskBit
	ws.Cipher(buf[at+MaskSize:], key, 0)
	return buf
}

// Append appends a final frame to dst as [Append] does, and masks it as Mask does.
func (k *MaskKeys) Append(dst []byte, op ws.OpCode, payload []byte) []byte {
	return k.Mask(Append(dst, op, payload), len(dst))
}

// Masked returns a masked copy of a frame. A nil MaskKeys returns the frame itself.
func (k *MaskKeys) Masked(frame []byte) []byte {
	if k == nil {
		return frame
	}
	own := append(make([]byte, 0, len(frame)+MaskSize), frame...)
	return k.Mask(own, 0)
}
