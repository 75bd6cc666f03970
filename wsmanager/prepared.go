package wsmanager

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"unicode/utf8"

	"github.com/gobwas/ws"

	"github.com/speakingtube/speakingtube/wsmanager/internal/frame"
)

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
// the message can't be sent, each send returns the error: ErrMessageType, or ErrInvalidUTF8
// for a text that is not valid UTF-8.
func Prepare(m Message) *Prepared {
	p := &Prepared{}
	p.one.set(m)
	return p
}

// PrepareJSON prepares a text message with v in JSON. It returns the error of json.Marshal.
func PrepareJSON(v any) (*Prepared, error) {
	text, err := marshalJSON(v)
	if err != nil {
		return nil, err
	}
	return Prepare(Message{Type: TextMessage, Payload: text}), nil
}

func marshalJSON(v any) ([]byte, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("wsmanager: encoding JSON: %w", err)
	}
	return text, nil
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
	f.err = checkType(m)
	if f.err == nil && m.Type == TextMessage && !utf8.Valid(m.Payload) {
		f.err = ErrInvalidUTF8
	}
	if f.err == nil {
		f.frame = frame.Append(make([]byte, 0, frame.Size(len(m.Payload))), ws.OpCode(m.Type), m.Payload)
		f.size, f.plain = len(m.Payload), m.NoCompression
	}
}

var errEncodePanicked = errors.New("wsmanager: PrepareFunc's function panicked")

// deflated returns the compressed frame. The first call makes it.
func (f *preparedFrame) deflated(cp *compressor) []byte {
	f.compress.Do(func() {
		payload := f.frame[len(f.frame)-f.size:]
		buf := frame.GetBuffer()
		defer frame.PutBuffer(buf)
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
				f.err = inContext(fmt.Sprintf("encoding variant %d", v), err)
				return
			}
			f.set(m)
		})
	}
	return f
}

// frame returns the unmasked frame in an encoding. It returns ErrMessageTooBig if the plain
// frame is longer than limit.
func (p *Prepared) frame(e encoding, cp *compressor, limit int) ([]byte, error) {
	f := p.forVariant(e.variant())
	switch {
	case f.err != nil:
		return nil, f.err
	case len(f.frame) > limit:
		return nil, ErrMessageTooBig
	case e.deflate() && !f.plain && cp.wants(f.size):
		return f.deflated(cp), nil
	}
	return f.frame, nil
}
