package msgpack

import (
	"bytes"
	"errors"
	"fmt"
	"math"

	"github.com/speakingtube/speakingtube/wsmanager/hub"
	"github.com/speakingtube/speakingtube/wsmanager/hub/internal/mpack"
)

// maxPrefix is the maximal size of the length prefix of a record.
const maxPrefix = 5

var errLengthPrefix = errors.New("invalid length prefix")

// Cut reads the length prefix of a record, which has groups of 7 bits, the least significant first.
func (*protocol) Cut(data []byte, limit int) (record []byte, n int, err error) {
	length := uint64(0)
	for i := range maxPrefix {
		if i == len(data) {
			return nil, 0, nil
		}
		b := data[i]
		length |= uint64(b&0x7f) << (7 * i)
		if b&0x80 != 0 {
			continue
		}
		switch {
		case length > math.MaxInt32:
			return nil, 0, errLengthPrefix
		case length > uint64(limit):
			return nil, 0, fmt.Errorf("%w: it has %d bytes, the limit is %d", hub.ErrRecordTooBig, length, limit)
		case length > uint64(len(data)-i-1):
			return nil, 0, nil
		}
		end := i + 1 + int(length)
		return data[i+1 : end : end], end, nil
	}
	return nil, 0, errLengthPrefix
}

// Parse decodes an array. It ignores further elements, which later versions of the protocol may add.
func (*protocol) Parse(record []byte) (hub.Message, error) {
	rest, err := mpack.Skip(record) // deep nesting in an argument fails the call, not the connection
	if err != nil {
		return nil, err
	}
	if len(rest) > 0 {
		return nil, errors.New("data after the message")
	}
	h, _, _ := mpack.Read(record) // mpack.Skip has checked it
	if h.Kind != mpack.Array || h.N == 0 {
		return nil, errors.New("a message must be an array that begins with a type")
	}
	_, p, _ := mpack.Read(bytes.Clone(record)) // all parts of the message refer to one copy
	e := &elements{rest: p, n: h.N}
	k := hub.Kind(e.integer("the type"))
	if e.err == nil && k >= hub.KindInvocation && k <= hub.KindCancelInvocation {
		e.headers()
	}
	var m hub.Message
	switch k {
	case hub.KindInvocation, hub.KindStreamInvocation:
		m = e.invocation(k)
	case hub.KindStreamItem:
		m = &hub.StreamItem{ID: e.id(), Item: e.raw("the item")}
	case hub.KindCompletion:
		m = e.completion()
	case hub.KindCancelInvocation:
		m = &hub.CancelInvocation{ID: e.id()}
	case hub.KindPing:
		m = &hub.Ping{}
	case hub.KindClose:
		c := &hub.Close{Error: e.text("the error", true)}
		if e.n > 0 {
			c.AllowReconnect = e.boolean("allowReconnect")
		}
		m = c
	case hub.KindAck:
		m = &hub.Ack{SequenceID: e.integer("the sequenceId")}
	case hub.KindSequence:
		m = &hub.Sequence{SequenceID: e.integer("the sequenceId")}
	}
	e.ignoreRest()
	if e.err != nil {
		return nil, fmt.Errorf("%v: %w", k, e.err)
	}
	return m, nil
}

// ignoreRest checks the nesting of further elements.
func (e *elements) ignoreRest() {
	for ; e.n > 0 && e.err == nil; e.n-- {
		e.rest, e.err = skip(e.rest)
	}
}

// elements reads the elements of an array that mpack.Skip has checked. After the first error it reads nothing.
type elements struct {
	rest []byte
	n    uint64 // number of elements in rest
	err  error
}

func (e *elements) fail(name string, got mpack.Kind) {
	e.err = fmt.Errorf("%s is %v", name, got)
}

// next reads the header of the next element.
func (e *elements) next(name string) (h mpack.Header, ok bool) {
	if e.err != nil {
		return h, false
	}
	if e.n == 0 {
		e.err = fmt.Errorf("%s is missing", name)
		return h, false
	}
	e.n--
	h, e.rest, e.err = mpack.Read(e.rest)
	return h, e.err == nil
}

func (e *elements) integer(name string) int64 {
	h, ok := e.next(name)
	switch {
	case !ok:
	case h.Kind != mpack.Int:
		e.fail(name, h.Kind)
	case !h.Negative && h.N > math.MaxInt64:
		e.err = fmt.Errorf("%s is too big", name)
	default:
		return int64(h.N)
	}
	return 0
}

func (e *elements) boolean(name string) bool {
	h, ok := e.next(name)
	if ok && h.Kind != mpack.Bool {
		e.fail(name, h.Kind)
	}
	return ok && h.Kind == mpack.Bool && h.N == 1
}

// text reads a string. If nilAllowed, it returns "" for nil.
func (e *elements) text(name string, nilAllowed bool) string {
	h, ok := e.next(name)
	switch {
	case !ok, h.Kind == mpack.Nil && nilAllowed:
	case h.Kind != mpack.String:
		e.fail(name, h.Kind)
	default:
		s := e.rest[:h.N]
		e.rest = e.rest[h.N:]
		return string(s)
	}
	return ""
}

// id reads an invocation's id, which must not be empty.
func (e *elements) id() string {
	id := e.text("the invocationId", true)
	if id == "" && e.err == nil {
		e.err = errors.New("the invocationId is missing")
	}
	return id
}

func (e *elements) raw(name string) hub.Raw {
	if e.err == nil && e.n == 0 {
		e.err = fmt.Errorf("%s is missing", name)
	}
	if e.err != nil {
		return nil
	}
	e.n--
	var rest []byte
	if rest, e.err = mpack.Skip(e.rest); e.err != nil {
		return nil
	}
	n := len(e.rest) - len(rest)
	raw := hub.Raw(e.rest[:n:n])
	e.rest = rest
	return raw
}

// enter reads the header of an array that is an element. The caller reads its items and then calls leave.
func (e *elements) enter(name string, nilAllowed bool) (items *elements) {
	h, ok := e.next(name)
	switch {
	case !ok, h.Kind == mpack.Nil && nilAllowed:
		return &elements{}
	case h.Kind != mpack.Array:
		e.fail(name, h.Kind)
		return &elements{}
	}
	return &elements{rest: e.rest, n: h.N}
}

// headers checks and skips the headers, a map of strings that hubs do not use.
func (e *elements) headers() {
	raw := e.raw("the headers")
	if e.err != nil {
		return
	}
	h, p, _ := mpack.Read(raw)
	if h.Kind == mpack.Nil {
		return
	}
	if h.Kind != mpack.Map {
		e.fail("the headers", h.Kind)
		return
	}
	in := &elements{rest: p, n: 2 * h.N}
	for in.n > 0 && in.err == nil {
		in.text("a header", false)
	}
	e.err = in.err
}

func (e *elements) invocation(k hub.Kind) hub.Message {
	m := &hub.Invocation{Stream: k == hub.KindStreamInvocation}
	if m.Stream {
		m.ID = e.id()
	} else {
		m.ID = e.text("the invocationId", true)
	}
	if m.Target = e.text("the target", false); m.Target == "" && e.err == nil {
		e.err = errors.New("the target is missing")
	}
	in := e.enter("arguments", false)
	m.Arguments = make([]hub.Raw, in.n) // mpack.Skip has checked that n is at most the number of bytes
	for i := range m.Arguments {
		m.Arguments[i] = in.raw("an argument")
	}
	e.leave(in)
	if e.n > 0 {
		in = e.enter("streamIds", true)
		for in.n > 0 && in.err == nil {
			m.StreamIDs = append(m.StreamIDs, in.text("a stream's id", false))
		}
		e.leave(in)
	}
	return m
}

// leave continues after the items of an array that enter has entered.
func (e *elements) leave(in *elements) {
	if e.err == nil && in.rest != nil {
		e.rest, e.err = in.rest, in.err
	}
}

// Result kinds of a Completion.
const (
	resultError = 1
	resultVoid  = 2
	resultValue = 3
)

func (e *elements) completion() hub.Message {
	m := &hub.Completion{ID: e.id()}
	switch kind := e.integer("the result kind"); {
	case e.err != nil:
	case kind == resultError:
		m.Error = e.text("the error", false)
		if m.Error == "" && e.err == nil {
			m.Error = hub.NoErrorText
		}
	case kind == resultVoid:
	case kind == resultValue:
		m.Result = e.raw("the result")
	default:
		e.err = fmt.Errorf("unknown result kind %d", kind)
	}
	return m
}

// Append writes all elements of an array, also empty ones at its end, because some clients require them.
func (*protocol) Append(dst []byte, m hub.Message) ([]byte, error) {
	start := len(dst)
	dst = append(dst, make([]byte, maxPrefix)...)
	switch m := m.(type) {
	case *hub.Invocation:
		dst = appendID(appendStart(dst, 6, m.Kind()), m.ID)
		dst = mpack.AppendExact(dst, m.Target)
		dst = mpack.AppendArray(dst, len(m.Arguments))
		for _, a := range m.Arguments {
			dst = appendRaw(dst, a)
		}
		dst = mpack.AppendArray(dst, len(m.StreamIDs))
		for _, id := range m.StreamIDs {
			dst = mpack.AppendExact(dst, id)
		}
	case *hub.StreamItem:
		dst = appendID(appendStart(dst, 4, m.Kind()), m.ID)
		dst = appendRaw(dst, m.Item)
	case *hub.Completion:
		switch {
		case m.Error != "":
			dst = append(appendID(appendStart(dst, 5, m.Kind()), m.ID), resultError)
			dst = mpack.AppendExact(dst, m.Error)
		case m.Result != nil:
			dst = append(appendID(appendStart(dst, 5, m.Kind()), m.ID), resultValue)
			dst = appendRaw(dst, m.Result)
		default:
			dst = append(appendID(appendStart(dst, 4, m.Kind()), m.ID), resultVoid)
		}
	case *hub.CancelInvocation:
		dst = appendID(appendStart(dst, 3, m.Kind()), m.ID)
	case *hub.Ping:
		dst = append(dst, 0x91, byte(hub.KindPing))
	case *hub.Close:
		dst = appendID(append(dst, 0x93, byte(hub.KindClose)), m.Error)
		if m.AllowReconnect {
			dst = append(dst, 0xc3)
		} else {
			dst = append(dst, 0xc2)
		}
	case *hub.Ack:
		dst = mpack.AppendInt(append(dst, 0x92, byte(hub.KindAck)), m.SequenceID)
	case *hub.Sequence:
		dst = mpack.AppendInt(append(dst, 0x92, byte(hub.KindSequence)), m.SequenceID)
	default:
		return nil, fmt.Errorf("%T is not a message", m)
	}
	length := len(dst) - start - maxPrefix
	if length > math.MaxInt32 {
		return nil, hub.ErrRecordTooBig
	}
	var prefix [maxPrefix]byte
	n := 0
	for v := length; ; n++ {
		prefix[n] = byte(v & 0x7f)
		if v >>= 7; v == 0 {
			break
		}
		prefix[n] |= 0x80
	}
	n++
	copy(dst[start:], prefix[:n])
	copy(dst[start+n:], dst[start+maxPrefix:])
	return dst[:start+n+length], nil
}

// appendStart appends the start of an array with the type and empty headers.
func appendStart(dst []byte, n int, k hub.Kind) []byte {
	return append(dst, 0x90|byte(n), byte(k), 0x80)
}

// appendID appends a string, or nil if it is empty.
func appendID(dst []byte, id string) []byte {
	if id == "" {
		return append(dst, 0xc0)
	}
	return mpack.AppendExact(dst, id)
}

func appendRaw(dst []byte, raw hub.Raw) []byte {
	if len(raw) == 0 {
		return append(dst, 0xc0)
	}
	return append(dst, raw...)
}
