package wsmanager

import (
	"compress/flate"
	"errors"
	"fmt"

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
	// Options.MaxMessageSize limits the inflated size of a received message.
	Enabled bool

	// Level is the level of compress/flate: 1 is fast, 9 compresses most, and -2 is the
	// fastest because it does not look for repetitions. For JSON of some KB, level 6
	// takes two to three times as long as level 1 and saves a tenth more. Default: 1.
	Level int

	// Threshold is the smallest size of a payload that is compressed, in bytes.
	// Default: 512.
	Threshold int
}

func (o *Compression) withDefaults() error {
	var errs []error
	switch {
	case o.Level == 0:
		o.Level = flate.BestSpeed
	case o.Level == flate.DefaultCompression || o.Level < flate.HuffmanOnly || o.Level > flate.BestCompression:
		errs = append(errs, fmt.Errorf("wsmanager: Options.Compression.Level is %d: it must be 1 to 9, -2, or 0 for the default of 1", o.Level))
	}
	switch {
	case o.Threshold == 0:
		o.Threshold = 512
	case o.Threshold < 0:
		errs = append(errs, fmt.Errorf("wsmanager: Options.Compression.Threshold is %d: it must be positive, or 0 for the default of 512", o.Threshold))
	}
	return errors.Join(errs...)
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

// encode makes the frame of a message for this connection. putFrame takes the buffer back.
func (c *Conn) encode(msg Message) (*[]byte, error) {
	if err := checkType(msg); err != nil {
		return nil, err
	}
	if frame.Size(len(msg.Payload)) > c.m.maxFrame() {
		return nil, ErrMessageTooBig
	}
	buf := getFrame()
	if c.m.compressor.wants(len(msg.Payload)) && !msg.NoCompression && c.who.deflate {
		var ok bool
		if *buf, ok = c.m.compressor.append(*buf, msg.Type, msg.Payload); ok {
			*buf = c.m.keys.Mask(*buf, 0)
			return buf, nil
		}
	}
	*buf = c.m.keys.Append(*buf, ws.OpCode(msg.Type), msg.Payload)
	return buf, nil
}

// agreeDeflate notes that the handshake has agreed on compression.
func (c *Conn) agreeDeflate() {
	if c.who == &anonymous {
		c.who = &anonymousDeflate
		return
	}
	c.who.deflate = true
}
