package wsmanager

import (
	"compress/flate"
	"errors"
	"fmt"
	"math/bits"
	"net/http"

	"github.com/gobwas/ws"

	"github.com/speakingtube/speakingtube/wsmanager/internal/deflate"
	"github.com/speakingtube/speakingtube/wsmanager/internal/frame"
)

// Compression is how messages are compressed: permessage-deflate (RFC 7692), with
// the clients that offer it; the others get and send them plain. The zero value is
// off.
//
// Each message is compressed by itself (no context takeover, in both directions), so
// that a broadcast is compressed once for all, and an idle connection holds neither a
// compressor nor a window, which would be 32 KiB and more in each direction. The price
// is that what messages have in common is not found: small ones gain little.
//
// A text that mixes a secret with what a stranger has chosen gives the secret away by
// its compressed length, to whoever sees the traffic and may try often (the attacks
// CRIME and BREACH on TLS). Send such messages with Message.NoCompression.
type Compression struct {
	// Enabled lets clients have it, or makes a client offer it. A compressed message that is received counts
	// against Options.MaxMessageSize as what it inflates to.
	Enabled bool

	// Level is what compressing may cost: 1 is quick, 9 the smallest, -2 the quickest,
	// as it codes bytes without looking for repetitions (see compress/flate). On JSON
	// of some KB, 6 takes two to three times as long as 1 and takes a tenth more off.
	// Default: 1.
	Level int

	// Threshold is how many bytes a payload must have to be compressed. Default:
	// 512.
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

// negotiate returns the Sec-WebSocket-Extensions to answer a handshake with, "" for none.
func (m *Manager) negotiate(r *http.Request) (answer string, err error) {
	lines := r.Header["Sec-Websocket-Extensions"]
	if !m.opts.Compression.Enabled || len(lines) == 0 {
		return "", nil
	}
	if answer, err = deflate.Negotiate(lines); err != nil {
		return "", &refusal{refusedMalformed, http.StatusBadRequest, "The Sec-WebSocket-Extensions are malformed.", err}
	}
	return answer, nil
}

// appendCompressed appends the compressed frame of a message to dst. If that would not be
// shorter than the plain frame, it appends nothing and ok is false.
func (m *Manager) appendCompressed(dst []byte, t MessageType, payload []byte) (_ []byte, ok bool) {
	d := deflate.GetDeflater(m.opts.Compression.Level)
	defer deflate.PutDeflater(d)
	small := d.Deflate(payload)
	m.stats.deflated.Add(1)
	if len(small) >= len(payload) {
		return dst, false
	}
	m.stats.saved.Add(uint64(len(payload) - len(small)))
	first := len(dst)
	dst = frame.Append(dst, ws.OpCode(t), small)
	dst[first] |= deflate.RSV1
	return dst, true
}

// compresses reports whether a message is one to compress, for those who have
// agreed.
func (m *Manager) compresses(size int) bool {
	return m.opts.Compression.Enabled && size >= m.opts.Compression.Threshold
}

// encode makes the frame of a message for this connection, in a buffer to be given
// back by putFrame.
func (c *Conn) encode(msg Message) (*[]byte, error) {
	if err := checkType(msg); err != nil {
		return nil, err
	}
	if frame.Size(len(msg.Payload)) > c.m.maxFrame() {
		return nil, ErrMessageTooBig
	}
	buf := getFrame()
	if c.m.compresses(len(msg.Payload)) && !msg.NoCompression && c.who.deflate {
		var ok bool
		if *buf, ok = c.m.appendCompressed(*buf, msg.Type, msg.Payload); ok {
			if c.m.keys != nil {
				*buf = c.m.keys.Mask(*buf, 0)
			}
			return buf, nil
		}
	}
	*buf = appendFrame(c.m.keys, *buf, ws.OpCode(msg.Type), msg.Payload)
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

// dialect is the form in which a connection gets what is sent to many: its variant,
// plain or, at most, compressed.
type dialect uint8

const (
	dialects = 2 * MaxVariants

	// compressedDialects are the odd ones, by bit.
	compressedDialects = 0xAAAA
)

func dialectOf(v Variant, deflate bool) dialect {
	d := dialect(v) << 1
	if deflate {
		d |= 1
	}
	return d
}

func (d dialect) variant() Variant { return Variant(d >> 1) }
func (d dialect) deflate() bool    { return d&1 != 0 }

// dialectSet is a set of dialects, by bit.
type dialectSet uint32

func (s dialectSet) has(d dialect) bool { return s&(1<<d) != 0 }

// all walks the set.
func (s dialectSet) all(yield func(dialect) bool) {
	for ; s != 0; s &= s - 1 {
		if !yield(dialect(bits.TrailingZeros32(uint32(s)))) {
			return
		}
	}
}
