package wsmanager

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/gobwas/ws"

	"github.com/speakingtube/speakingtube/wsmanager/internal/frame"
)

// Variant is one of several formats of the messages to the connections of a Manager, for
// example JSON and MessagePack in a hub. The application gives each number its meaning.
// Without variants all connections have 0. A connection's variant is set once, by
// Accept.Variant or [Conn.Ready], before the first broadcast reaches it.
type Variant uint8

// MaxVariants is the number of variants: 0 to MaxVariants-1.
const MaxVariants = 8

// Prepared is a message that can be sent any number of times, to any number of connections
// of any Manager. It is immutable. Its frame is made once for each [Variant] that is needed.
// Make one with [Prepare], [PrepareJSON] or [PrepareFunc].
type Prepared struct {
	one    preparedFrame
	encode func(Variant) (Message, error) // nil if all variants use one
	each   []*preparedFrame               // by variant
}

// preparedFrame is the frame of a message, or the error of making it.
type preparedFrame struct {
	once  sync.Once
	frame []byte
	err   error

	size       int  // of the payload
	plain      bool // Message.NoCompression
	compress   sync.Once
	compressed []byte // equal to frame if compression does not make it shorter
}

// Prepare prepares a message that is the same in all variants. It copies the payload. If
// the message can't be sent, each send returns the error.
func Prepare(m Message) *Prepared {
	p := &Prepared{}
	p.one.set(m)
	return p
}

// PrepareJSON prepares a text message with v in JSON. It returns the error of json.Marshal.
func PrepareJSON(v any) (*Prepared, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return Prepare(Message{Type: TextMessage, Payload: text}), nil
}

// PrepareFunc prepares a message with a format for each variant. encode is called at most
// once for each variant, by the first send that needs it and under no lock. Its result must
// not depend on the time of the call. Sends to one connection return its error. Broadcasts
// count each receiver of that variant as Dropped.
//
// With a backplane, encode is called for all variants, because other nodes may use them. It
// must return an error for a variant that it does not know.
func PrepareFunc(encode func(Variant) (Message, error)) *Prepared {
	p := &Prepared{encode: encode, each: make([]*preparedFrame, MaxVariants)}
	for v := range p.each {
		p.each[v] = &preparedFrame{}
	}
	return p
}

func (f *preparedFrame) set(m Message) {
	if f.err = checkType(m); f.err == nil {
		f.frame = frame.Append(make([]byte, 0, frame.Size(len(m.Payload))), ws.OpCode(m.Type), m.Payload)
		f.size, f.plain = len(m.Payload), m.NoCompression
	}
}

var errEncodePanicked = errors.New("wsmanager: PrepareFunc's function panicked")

// deflated returns the compressed frame. The first call makes it.
func (f *preparedFrame) deflated(cp *compressor) []byte {
	f.compress.Do(func() {
		payload := f.frame[len(f.frame)-f.size:]
		buf := getFrame()
		defer putFrame(buf)
		var ok bool
		if *buf, ok = cp.append(*buf, MessageType(f.frame[0]&0x0f), payload); ok {
			f.compressed = bytes.Clone(*buf)
		} else {
			f.compressed = f.frame
		}
	})
	return f.compressed
}

// forVariant returns the frame of a variant. The first call makes it.
func (p *Prepared) forVariant(v Variant) *preparedFrame {
	f := &p.one
	if p.encode != nil {
		f = p.each[v]
		f.once.Do(func() {
			f.err = errEncodePanicked // remains if encode panics
			m, err := p.encode(v)
			if err != nil {
				f.err = fmt.Errorf("wsmanager: encoding variant %d: %w", v, err)
				return
			}
			f.set(m)
		})
	}
	return f
}

// frame returns the unmasked frame of p in an encoding, if this Manager can send it.
func (m *Manager) frame(p *Prepared, e encoding) ([]byte, error) {
	f := p.forVariant(e.variant())
	switch {
	case f.err != nil:
		return nil, f.err
	case len(f.frame) > m.maxFrame():
		return nil, ErrMessageTooBig
	case e.deflate() && !f.plain && m.compressor.wants(f.size):
		return f.deflated(&m.compressor), nil
	}
	return f.frame, nil
}

// SendPrepared is Send for a prepared message. Besides the errors of Send it returns those
// of PrepareFunc, and ErrNotReady before [Conn.Ready] of a connection that was accepted with
// Accept.Deferred.
func (c *Conn) SendPrepared(p *Prepared) error {
	frame, err := c.frame(p)
	if err != nil {
		return err
	}
	return c.session().send(frame, true)
}

// frame returns the unmasked frame of p in the connection's encoding.
func (c *Conn) frame(p *Prepared) ([]byte, error) {
	e, ok := c.reception.encoding()
	if !ok {
		return nil, ErrNotReady
	}
	return c.m.frame(p, e)
}

// Variant returns the connection's variant. The result is false before [Conn.Ready] of a
// connection that was accepted with Accept.Deferred.
func (c *Conn) Variant() (Variant, bool) {
	e, ok := c.reception.encoding()
	return e.variant(), ok
}

// Ready ends the state that Accept.Deferred has begun: from now on broadcasts, also those to
// its groups and user, reach the connection, in the format of the variant. It returns
// ErrReady if the connection is ready already, and ErrClosed if it has ended.
func (c *Conn) Ready(v Variant) error {
	if v >= MaxVariants {
		return fmt.Errorf("wsmanager: variant %d is not below %d", v, MaxVariants)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.life.left:
		return ErrClosed
	case c.reception.isReady():
		return ErrReady
	}
	c.m.broadcaster.becomeReadyLocked(c, encodingOf(v, c.who.deflate))
	return nil
}
