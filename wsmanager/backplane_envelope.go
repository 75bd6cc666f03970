package wsmanager

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"slices"
)

// envelope is what goes over a backplane: a message and whom it is for, or something
// to be done to a connection. On the wire it is
//
//	version, kind     a byte each
//	sequence          8 bytes, big endian
//	node              text: who has sent it
//	target            text: the name of a group or user, or a connection's id
//	except            a count, and so many texts: ids
//	messages          a count, and for each: variants (a byte, by bit), type (a byte), text
//	code              of envelopeClose only
//	text              of envelopeClose, Join and Leave only: the reason, the group
//
// where counts, codes and the lengths of texts are varints. Nothing follows. A reader
// that does not know the version drops it; whatever else changes is a new version.
type envelope struct {
	kind     envelopeKind
	sequence uint64
	node     []byte
	target   []byte
	except   []string
	messages []variantMessage
	code     StatusCode
	text     []byte
}

// variantMessage is a message for those who speak one of the variants, by bit.
type variantMessage struct {
	variants uint8
	Message
}

const (
	envelopeVersion  = 1
	envelopeSequence = 2 // where it stands
)

type envelopeKind byte

const (
	envelopeAll   envelopeKind = iota + 1
	envelopeGroup              // target: its name
	envelopeUser               // target: the name
	envelopeConn               // target: the id, as of all that follow
	envelopeClose
	envelopeJoin
	envelopeLeave
)

// What a message's type byte has beside the type.
const plainFlag = 0x80 // Message.NoCompression

// maxNodeID bounds what is kept of nodes that nobody knows.
const maxNodeID = 64

var (
	errEnvelopeVersion = errors.New("wsmanager: an envelope of another version")
	errEnvelope        = errors.New("wsmanager: malformed envelope")
)

func (e *envelope) hasMessages() bool { return e.kind <= envelopeConn }

func (e *envelope) append(dst []byte) []byte {
	dst = append(dst, envelopeVersion, byte(e.kind))
	dst = binary.BigEndian.AppendUint64(dst, e.sequence)
	dst = appendText(dst, e.node)
	dst = appendText(dst, e.target)
	dst = binary.AppendUvarint(dst, uint64(len(e.except)))
	for _, id := range e.except {
		dst = appendText(dst, id)
	}
	dst = binary.AppendUvarint(dst, uint64(len(e.messages)))
	for _, m := range e.messages {
		t := byte(m.Type)
		if m.NoCompression {
			t |= plainFlag
		}
		dst = appendText(append(dst, m.variants, t), m.Payload)
	}
	if e.kind == envelopeClose {
		dst = binary.AppendUvarint(dst, uint64(e.code))
	}
	if !e.hasMessages() {
		dst = appendText(dst, e.text)
	}
	return dst
}

func appendText[T string | []byte](dst []byte, s T) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// size is at least as much as append appends.
func (e *envelope) size() int {
	const length = binary.MaxVarintLen32
	n := 2 + 8 + 6*length + len(e.node) + len(e.target) + len(e.text)
	for _, id := range e.except {
		n += length + len(id)
	}
	for _, m := range e.messages {
		n += 2 + length + len(m.Payload)
	}
	return n
}

// readEnvelope reads an envelope, whose parts are those of p. What it allocates is
// bounded by what p has.
func readEnvelope(p []byte) (e envelope, err error) {
	if len(p) == 0 {
		return e, errEnvelope
	}
	if p[0] != envelopeVersion {
		return e, errEnvelopeVersion
	}
	r := envelopeReader{rest: p[1:]}
	e.kind = envelopeKind(r.byte())
	if seq := r.take(8); seq != nil {
		e.sequence = binary.BigEndian.Uint64(seq)
	}
	e.node = r.text()
	e.target = r.text()
	for range r.count() {
		e.except = append(e.except, string(r.text()))
	}
	var variants uint8
	for range r.count() {
		m := variantMessage{variants: r.byte()}
		t := r.byte()
		m.Type, m.NoCompression = MessageType(t&^plainFlag), t&plainFlag != 0
		m.Payload = r.text()
		if m.variants == 0 || m.variants&variants != 0 || checkType(m.Message) != nil {
			r.bad = true
		}
		variants |= m.variants
		e.messages = append(e.messages, m)
	}
	if e.kind == envelopeClose {
		code := r.varint()
		r.bad = r.bad || code > math.MaxUint16
		e.code = StatusCode(code)
	}
	if !e.hasMessages() {
		e.text = r.text()
	}
	switch {
	case r.bad, len(r.rest) > 0,
		e.kind < envelopeAll, e.kind > envelopeLeave,
		len(e.node) == 0, len(e.node) > maxNodeID,
		(len(e.target) == 0) != (e.kind == envelopeAll),
		(len(e.messages) > 0) != e.hasMessages():
		return envelope{}, errEnvelope
	}
	return e, nil
}

// envelopeReader reads the parts of an envelope. What is read after something was bad
// is empty.
type envelopeReader struct {
	rest []byte
	bad  bool
}

func (r *envelopeReader) take(n uint64) []byte {
	if r.bad || n > uint64(len(r.rest)) {
		r.bad, r.rest = true, nil
		return nil
	}
	p := r.rest[:n:n]
	r.rest = r.rest[n:]
	return p
}

func (r *envelopeReader) byte() byte {
	if p := r.take(1); p != nil {
		return p[0]
	}
	return 0
}

func (r *envelopeReader) varint() uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.bad, r.rest = true, nil
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

// count reads how many parts follow, of at least a byte each.
func (r *envelopeReader) count() uint64 {
	n := r.varint()
	if n > uint64(len(r.rest)) {
		r.bad, r.rest = true, nil
		return 0
	}
	return n
}

func (r *envelopeReader) text() []byte { return r.take(r.varint()) }

// allVariants is a message's variants where it is the same in all.
const allVariants = 1<<MaxVariants - 1

// messages is what of p has to travel: each encoding that can be sent. Which variants
// other nodes speak is not known, so it is all.
func (m *Manager) messages(p *Prepared) []variantMessage {
	if p.encode == nil {
		if msg, ok := m.message(&p.one); ok {
			return []variantMessage{{allVariants, msg}}
		}
		return nil
	}
	var all []variantMessage
	for v := range Variant(MaxVariants) {
		msg, ok := m.message(p.forVariant(v))
		if !ok {
			continue
		}
		same := slices.IndexFunc(all, func(o variantMessage) bool {
			return o.Type == msg.Type && o.NoCompression == msg.NoCompression && bytes.Equal(o.Payload, msg.Payload)
		})
		if same < 0 {
			same, all = len(all), append(all, variantMessage{Message: msg})
		}
		all[same].variants |= 1 << v
	}
	return all
}

// message is what an encoding was made of, if it can be sent.
func (m *Manager) message(e *preparedFrame) (Message, bool) {
	if e.err != nil || len(e.frame) > m.maxFrame() {
		return Message{}, false
	}
	return Message{Type: MessageType(e.frame[0] & 0x0f), Payload: e.frame[len(e.frame)-e.size:], NoCompression: e.plain}, true
}

var errNoVariant = errors.New("wsmanager: the node that sent the message has not encoded it for this variant")

// prepared is the message of an envelope, to be sent before the envelope's bytes are
// given back.
func (e *envelope) prepared() *Prepared {
	if e.messages[0].variants == allVariants {
		return Prepare(e.messages[0].Message)
	}
	return PrepareFunc(func(v Variant) (Message, error) {
		for _, m := range e.messages {
			if m.variants&(1<<v) != 0 {
				return m.Message, nil
			}
		}
		return Message{}, errNoVariant
	})
}
