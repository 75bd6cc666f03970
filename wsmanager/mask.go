package wsmanager

import (
	crand "crypto/rand"
	"encoding/binary"
	"math/rand/v2"
	"sync"

	"github.com/gobwas/ws"
)

// maskKeys makes the keys that a client masks its frames with. They keep whoever
// chooses a payload from choosing the bytes on the wire, which caches and proxies
// on the way may take for something else, so nobody must be able to foretell one
// (RFC 6455, section 10.3). ChaCha8 with a seed from the system is such a source,
// and costs some nanoseconds where the system would take a hundred times as long.
type maskKeys struct {
	mu     sync.Mutex // guards what follows
	source *rand.ChaCha8
}

func newMaskKeys() *maskKeys {
	var seed [32]byte
	_, _ = crand.Read(seed[:]) // never fails: see its documentation
	return &maskKeys{source: rand.NewChaCha8(seed)}
}

// next returns a key that no other frame has.
func (k *maskKeys) next() (key [4]byte) {
	k.mu.Lock()
	defer k.mu.Unlock()
	binary.NativeEndian.PutUint32(key[:], uint32(k.source.Uint64()))
	return key
}

const (
	maskBit  = 0x80
	maskSize = 4
)

// mask masks the frame that begins at start and ends with buf, which grows by the
// key.
func (k *maskKeys) mask(buf []byte, start int) []byte {
	key := k.next()
	at := len(buf) - payloadSize(buf[start:])
	buf = append(buf, key[:]...)
	copy(buf[at+maskSize:], buf[at:])
	copy(buf[at:], key[:])
	buf[start+1] |= maskBit
	ws.Cipher(buf[at+maskSize:], key, 0)
	return buf
}

// appendFrame is the function of the same name, but masks what a client sends.
func (m *Manager) appendFrame(dst []byte, op ws.OpCode, payload []byte) []byte {
	start := len(dst)
	dst = appendFrame(dst, op, payload)
	if m.keys != nil {
		dst = m.keys.mask(dst, start)
	}
	return dst
}

// wire returns the frame as this side sends it: a client a masked copy of its own.
func (m *Manager) wire(frame []byte) []byte {
	if m.keys == nil {
		return frame
	}
	own := append(make([]byte, 0, len(frame)+maskSize), frame...)
	return m.keys.mask(own, 0)
}

// maxFrame is how long a frame may be, before it is masked.
func (m *Manager) maxFrame() int {
	if m.keys == nil {
		return m.opts.OutboxBytes
	}
	return m.opts.OutboxBytes - maskSize
}

// sendMasked is send for a client and a frame that it shares with others.
func (c *Conn) sendMasked(frame []byte) error {
	buf := getFrame()
	defer putFrame(buf)
	*buf = c.m.keys.mask(append(*buf, frame...), 0)
	return c.send(*buf, false)
}
