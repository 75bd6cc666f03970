package wsmanager

import (
	"github.com/gobwas/ws"

	"github.com/speakingtube/speakingtube/wsmanager/internal/counters"
	"github.com/speakingtube/speakingtube/wsmanager/internal/deflate"
	"github.com/speakingtube/speakingtube/wsmanager/internal/frame"
)

// Compression says how messages are compressed: with permessage-deflate (RFC 7692), for
// clients that offer it. Other clients send and get plain messages. The zero value is off.
//
// Each message is compressed by itself (no context takeover, in both directions). So a
// broadcast is compressed once for all receivers, and an idle connection has no compressor
// and no window, which would need 32 KiB and more in each direction. The disadvantage is
// that text that repeats between messages is not found: small messages gain little.
//
// If a message has both a secret and text that an attacker has chosen, its compressed length
// reveals the secret to an attacker that sees the traffic and can try often (as CRIME and
// BREACH do with TLS). Send such messages with Message.NoCompression.
type Compression struct {
	// Enabled makes a server accept the offers of clients, and a client offer it.
	// Limits.MaxMessageSize limits the inflated size of a received message.
	Enabled bool

	// Level is the level of compress/flate: 1 is fast, 9 compresses most, and -2 is the
	// fastest because it does not look for repetitions. For JSON of some KB, level 6
	// takes two to three times as long as level 1 and saves a tenth more. Default: 1.
	Level int

	// Threshold is the smallest size of a payload that is compressed, in bytes.
	// Default: 512.
	Threshold int
}

// CompressionChoice is OnAccept's choice of compression for one connection.
type CompressionChoice uint8

const (
	// CompressionByOptions compresses if Options.Compression is enabled and the client offers
	// it. It is the zero value.
	CompressionByOptions CompressionChoice = iota

	// CompressionOff declines the client's offer.
	CompressionOff
)

// String returns "by options" or "off".
func (c CompressionChoice) String() string {
	switch c {
	case CompressionByOptions:
		return "by options"
	case CompressionOff:
		return "off"
	}
	return "unknown"
}

// compressor compresses messages as the options of a Manager say.
type compressor struct {
	Compression
	counters *counters.Compression
}

// append appends the compressed frame of a message to dst. If that would not be shorter
// than the plain frame, it appends nothing and ok is false.
func (cp *compressor) append(dst []byte, t MessageType, payload []byte) (_ []byte, ok bool) {
	d := deflate.GetDeflater(cp.Level)
	defer deflate.PutDeflater(d)
	small := d.Deflate(payload)
	cp.counters.Deflated.Add(1)
	if len(small) >= len(payload) {
		return dst, false
	}
	cp.counters.Saved.Add(uint64(len(payload) - len(small)))
	first := len(dst)
	dst = frame.Append(dst, ws.OpCode(t), small)
	dst[first] |= deflate.RSV1
	return dst, true
}

// wants reports whether a message with a payload of this size is compressed for connections
// that have agreed.
func (cp *compressor) wants(size int) bool { return cp.Enabled && size >= cp.Threshold }
