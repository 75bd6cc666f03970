package wsmanager

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"slices"

	"github.com/speakingtube/speakingtube/wsmanager/internal/names"
)

// envelope is the unit of a backplane: a message and its recipients, or an operation on a
// connection. Its format is
//
//	version, kind     a byte each
//	sequence          8 bytes, big endian
//	node              text: id of the sender
//	target            text: name of a group or user, or id of a connection
//	except            a count, and as many texts: ids
//	messages          a count, and for each: variants (a byte, a bit for each), type (a byte), text
//	code              only of envelopeClose
//	text              only of envelopeClose, Join and Leave: the reason or the group
//	scope, names      only of version 2: a byte; a count, and as many texts
//
// Version 2 is for the connections of an audience that version 1 cannot name: the union of
// groups or users, and any audience that is closed, or joins or leaves a group. Its kind is
// envelopeConn or a later one, and its target is empty.
//
// Counts, codes and the lengths of texts are varints. There are no further bytes. A receiver
// drops an envelope of an unknown version. Each change of the format is a new version.
type envelope struct {
	kind     envelopeKind
	sequence uint64
	node     []byte
	target   []byte
	except   []string
	messages []variantMessage
	code     StatusCode
	text     []byte
	scope    audienceKind // of version 2; audienceNone in version 1
	names    []string     // of groups or users; none if scope is audienceAll
}

// variantMessage is a message for the connections of some variants.
type variantMessage struct {
	variants uint8 // a bit for each
	Message
}

const (
	envelopeVersion       = 1
	envelopeVersionScoped = 2

	envelopeSequence = 2 // offset of the sequence
)

type envelopeKind byte

const (
	envelopeAll   envelopeKind = iota + 1
	envelopeGroup              // target: name of the group
	envelopeUser               // target: name of the user
	envelopeConn               // target: id of the connection, as for the following kinds
	envelopeClose
	envelopeJoin
	envelopeLeave
)

// plainFlag is Message.NoCompression, in the type byte of a message.
const plainFlag = 0x80

// maxNodeID bounds the memory for the id of an unknown node.
const maxNodeID = 64

var (
	errEnvelopeVersion = errors.New("wsmanager: unknown version of an envelope")
	errEnvelope        = errors.New("wsmanager: malformed envelope")
)

// hasMessages reports whether the kind has messages.
func (e *envelope) hasMessages() bool { return e.kind <= envelopeConn }

// setAudience makes the envelope one for the connections of groups, of users, or for all.
func (e *envelope) setAudience(kind audienceKind, list []string) {
	if e.kind == envelopeConn && len(list) <= 1 {
		switch kind {
		case audienceAll:
			e.kind = envelopeAll
		case audienceGroups:
			e.kind, e.target = envelopeGroup, []byte(list[0])
		case audienceUsers:
			e.kind, e.target = envelopeUser, []byte(list[0])
		}
		return
	}
	e.scope, e.names = kind, list
}

// audience returns the audience that the envelope is for; false if it is for one connection.
func (e *envelope) audience(m *Manager) (Audience, bool) {
	a := Audience{m: m, kind: e.scope, names: names.Of(e.names), except: names.Of(e.except)}
	switch e.kind {
	case envelopeAll:
		a.kind = audienceAll
	case envelopeGroup:
		a.kind, a.names = audienceGroups, names.One(string(e.target))
	case envelopeUser:
		a.kind, a.names = audienceUsers, names.One(string(e.target))
	}
	return a, a.kind != audienceNone
}

// version returns the lowest version that has the parts of the envelope.
func (e *envelope) version() byte {
	if e.scope != audienceNone {
		return envelopeVersionScoped
	}
	return envelopeVersion
}

// append appends the envelope in its format to dst.
func (e *envelope) append(dst []byte) []byte {
	dst = append(dst, e.version(), byte(e.kind))
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
	if e.scope != audienceNone {
		dst = binary.AppendUvarint(append(dst, byte(e.scope)), uint64(len(e.names)))
		for _, name := range e.names {
			dst = appendText(dst, name)
		}
	}
	return dst
}

func appendText[T string | []byte](dst []byte, s T) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// size returns at least the number of bytes that append appends.
func (e *envelope) size() int {
	const length = binary.MaxVarintLen32
	n := 2 + 8 + 1 + 7*length + len(e.node) + len(e.target) + len(e.text)
	for _, id := range e.except {
		n += length + len(id)
	}
	for _, name := range e.names {
		n += length + len(name)
	}
	for _, m := range e.messages {
		n += 2 + length + len(m.Payload)
	}
	return n
}

// readEnvelope reads an envelope. Its node, target, payloads and text are parts of p. The size
// of its allocations is bounded by the size of p.
func readEnvelope(p []byte) (e envelope, err error) {
	if len(p) == 0 {
		return e, errEnvelope
	}
	scoped := p[0] == envelopeVersionScoped
	if p[0] != envelopeVersion && !scoped {
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
		if r.bad {
			break // a count may be hostile
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
	if scoped {
		e.scope = audienceKind(r.byte())
		for range r.count() {
			e.names = append(e.names, string(r.text()))
		}
	}
	switch {
	case r.bad, len(r.rest) > 0,
		e.kind < envelopeAll, e.kind > envelopeLeave,
		len(e.node) == 0, len(e.node) > maxNodeID,
		(len(e.target) == 0) != (e.kind == envelopeAll || scoped),
		scoped && !e.validScope(),
		(len(e.messages) > 0) != e.hasMessages():
		return envelope{}, errEnvelope
	}
	return e, nil
}

// validScope reports whether an envelope of version 2 has a scope and the names that it requires.
func (e *envelope) validScope() bool {
	switch e.scope {
	case audienceAll:
		return e.kind >= envelopeConn && len(e.names) == 0
	case audienceGroups, audienceUsers:
		return e.kind >= envelopeConn && len(e.names) > 0
	}
	return false
}

// envelopeReader reads the parts of an envelope. After a malformed part all parts are empty.
type envelopeReader struct {
	rest []byte
	bad  bool
}

// take reads n bytes.
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

// count reads the number of the following parts, each of which has at least one byte.
func (r *envelopeReader) count() uint64 {
	n := r.varint()
	if n > uint64(len(r.rest)) {
		r.bad, r.rest = true, nil
		return 0
	}
	return n
}

func (r *envelopeReader) text() []byte { return r.take(r.varint()) }

// allVariants are the variants of a message that is the same in all variants.
const allVariants = 1<<MaxVariants - 1

// messages returns the messages of p for an envelope: all variants that can be sent, because the
// variants of the connections on other nodes are not known. Equal messages are joined.
func (b *bus) messages(p *Prepared) []variantMessage {
	if p.encode == nil {
		if msg, ok := b.message(p, 0); ok {
			return []variantMessage{{allVariants, msg}}
		}
		return nil
	}
	var all []variantMessage
	for v := range Variant(MaxVariants) {
		msg, ok := b.message(p, v)
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

// message returns the message of a variant, and false if it cannot be sent.
func (b *bus) message(p *Prepared, v Variant) (Message, bool) {
	f, err := p.sendable(v, b.m.maxFrame(), b.m.opts.InvalidUTF8)
	if err != nil {
		return Message{}, false
	}
	return f.message(), true
}

var errNoVariant = errors.New("wsmanager: the sending node has not encoded the message for this variant")

// prepared returns the message of an envelope. It must be sent before the bytes of the envelope
// are reused.
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
