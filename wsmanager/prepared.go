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

// Variant is one of the encodings that the connections of a Manager speak side by
// side: a hub's JSON and its MessagePack, say. What each number means is up to
// the application; without variants all connections have 0. A connection's is set
// once, by Accept.Variant or [Conn.Ready], before the first broadcast reaches it.
type Variant uint8

// MaxVariants is how many variants there are: 0 to MaxVariants-1.
const MaxVariants = 8

// Prepared is a message made ready to be sent any number of times, to any number
// of connections of any Manager. It is encoded once for each [Variant] that is
// needed, and immutable. Make one with [Prepare], [PrepareJSON] or [PrepareFunc].
type Prepared struct {
	one    encoding
	encode func(Variant) (Message, error) // nil: one is good for all variants
	each   []*encoding                    // by variant
}

// encoding is the frame of a message, or why there is none.
type encoding struct {
	once  sync.Once
	frame []byte
	err   error

	size       int  // of the payload
	plain      bool // Message.NoCompression
	compress   sync.Once
	compressed []byte // the frame itself where compressing makes it no shorter
}

// Prepare makes a message ready that is the same in all variants. It has taken
// the bytes of the payload when it returns. A message that can't be sent is
// reported by its sends.
func Prepare(m Message) *Prepared {
	p := &Prepared{}
	p.one.set(m)
	return p
}

// PrepareJSON makes a text message of v in JSON. An error is json.Marshal's.
func PrepareJSON(v any) (*Prepared, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return Prepare(Message{Type: TextMessage, Payload: text}), nil
}

// PrepareFunc makes a message ready that each variant encodes in its own way.
// encode is called at most once for each variant, when the first send needs it,
// on that send's goroutine and under no lock; it has to return the same message
// whenever that is. Its error is returned by sends to one connection; broadcasts
// count it as Dropped for every receiver of that variant.
//
// With a backplane it is called for all variants, as other nodes may speak them: for one
// that it does not know it has to return an error.
func PrepareFunc(encode func(Variant) (Message, error)) *Prepared {
	p := &Prepared{encode: encode, each: make([]*encoding, MaxVariants)}
	for v := range p.each {
		p.each[v] = &encoding{}
	}
	return p
}

func (e *encoding) set(m Message) {
	if e.err = checkType(m); e.err == nil {
		e.frame = frame.Append(make([]byte, 0, frame.Size(len(m.Payload))), ws.OpCode(m.Type), m.Payload)
		e.size, e.plain = len(m.Payload), m.NoCompression
	}
}

var errEncodePanicked = errors.New("wsmanager: PrepareFunc's function panicked")

// deflated returns the compressed frame, compressing it if nobody has before.
func (e *encoding) deflated(m *Manager) []byte {
	e.compress.Do(func() {
		payload := e.frame[len(e.frame)-e.size:]
		buf := getFrame()
		defer putFrame(buf)
		var ok bool
		if *buf, ok = m.appendCompressed(*buf, MessageType(e.frame[0]&0x0f), payload); ok {
			e.compressed = bytes.Clone(*buf)
		} else {
			e.compressed = e.frame
		}
	})
	return e.compressed
}

// encoded returns the encoding for a variant, making it if nobody has before.
func (p *Prepared) encoded(v Variant) *encoding {
	e := &p.one
	if p.encode != nil {
		e = p.each[v]
		e.once.Do(func() {
			e.err = errEncodePanicked // stands if it does
			m, err := p.encode(v)
			if err != nil {
				e.err = fmt.Errorf("wsmanager: encoding variant %d: %w", v, err)
				return
			}
			e.set(m)
		})
	}
	return e
}

// prepared returns the frame for a dialect if it can be sent by this Manager.
func (m *Manager) prepared(p *Prepared, d dialect) ([]byte, error) {
	e := p.encoded(d.variant())
	switch {
	case e.err != nil:
		return nil, e.err
	case len(e.frame) > m.maxFrame():
		return nil, ErrMessageTooBig
	case d.deflate() && !e.plain && m.compresses(e.size):
		return e.deflated(m), nil
	}
	return e.frame, nil
}

// SendPrepared is Send for a message that is ready. Besides Send's errors it
// returns PrepareFunc's, and ErrNotReady before [Conn.Ready] of a connection that
// was accepted with Accept.Deferred.
func (c *Conn) SendPrepared(p *Prepared) error {
	frame, err := c.prepared(p)
	if err != nil {
		return err
	}
	return c.session().send(frame, true)
}

// prepared returns the frame for the connection's variant.
func (c *Conn) prepared(p *Prepared) ([]byte, error) {
	d, ok := c.speaks()
	if !ok {
		return nil, ErrNotReady
	}
	return c.m.prepared(p, d)
}

// Variant returns the connection's variant; false before [Conn.Ready] of one that
// was accepted with Accept.Deferred.
func (c *Conn) Variant() (Variant, bool) {
	d, ok := c.speaks()
	return d.variant(), ok
}

// speaks returns the connection's dialect, as Variant does.
func (c *Conn) speaks() (dialect, bool) {
	d := c.reception.Load() & dialectBits
	return dialect(d - 1), d != 0
}

// The parts of Conn.reception.
const (
	dialectBits  = 1<<8 - 1 // dialect + 1; 0 until the connection is ready
	closingBit   = 1 << 8   // its state is not stateOpen
	receivingBit = 1 << 9   // broadcasts to all are for it: see recipient.receiving
)

// receives returns the dialect of a connection that broadcasts are for.
func (c *Conn) receives() (dialect, bool) {
	r := c.reception.Load()
	return dialect(r&dialectBits - 1), r&receivingBit != 0
}

func (c *Conn) isReady() bool   { return c.reception.Load()&dialectBits != 0 }
func (c *Conn) isClosing() bool { return c.reception.Load()&closingBit != 0 }
func (c *Conn) markClosing()    { c.reception.Or(closingBit) }

// Ready ends the state that Accept.Deferred began: from now on broadcasts, and
// sends to its groups and user, reach the connection, encoded for the variant. It
// returns ErrReady if the connection is ready already, and ErrClosed if it has
// ended.
func (c *Conn) Ready(v Variant) error {
	if v >= MaxVariants {
		return fmt.Errorf("wsmanager: variant %d: there are %d", v, MaxVariants)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.life.left:
		return ErrClosed
	case c.isReady():
		return ErrReady
	}
	c.becomeReadyLocked(dialectOf(v, c.who.deflate))
	return nil
}

// becomeReadyLocked lets the broadcasts that are made from now on reach the connection.
func (c *Conn) becomeReadyLocked(d dialect) {
	c.reception.Or(uint32(d) + 1)
	if c.isClosing() {
		return
	}
	for r, q := range c.setsLocked() {
		q.enter(r, d)
	}
}
