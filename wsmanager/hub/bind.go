package hub

import (
	"errors"
	"fmt"
	"reflect"
)

// bind decodes the arguments of a call. The result is for call; it is in buf if that is large enough, and arguments returns
// those of the client. The caller may read the texts of its errors: they describe only data that the caller has sent.
func (m *method) bind(buf []reflect.Value, p Protocol, inv *Invocation, streams []*upload) ([]reflect.Value, error) {
	n := m.contexts() + len(m.params)
	if n > len(buf) {
		buf = make([]reflect.Value, n)
	}
	in := buf[:n]
	values := m.arguments(in)
	arguments := inv.Arguments
	for i, param := range m.params {
		if param.stream != noStream {
			values[i] = streams[0].value(param, p)
			streams = streams[1:]
			continue
		}
		v, err := param.decode(p, arguments[0], param.typ)
		if err != nil {
			return nil, &bindError{fmt.Sprintf("Argument %d ", i+1) + mistake(err), err}
		}
		values[i] = v
		arguments = arguments[1:]
	}
	return in, nil
}

// mistake describes an error of decoding for the caller.
func mistake(err error) string {
	if errors.Is(err, ErrValueTooLarge) {
		return "takes too much memory for its length."
	}
	return "is of the wrong type."
}

// contexts is the number of parameters before the arguments.
func (m *method) contexts() int {
	if m.ctx == noContext {
		return 0
	}
	return 1
}

// arguments returns the arguments of a result of bind.
func (m *method) arguments(in []reflect.Value) []reflect.Value { return in[m.contexts():] }

// mismatch describes a wrong number of arguments or streams. It returns "" if the numbers are right.
func (m *method) mismatch(inv *Invocation) string {
	if want := len(m.params) - m.uploads; len(inv.Arguments) != want {
		return fmt.Sprintf("Invocation provides %d argument(s) but target expects %d.", len(inv.Arguments), want)
	}
	if len(inv.StreamIDs) != m.uploads {
		return fmt.Sprintf("Invocation provides %d stream(s) but target expects %d.", len(inv.StreamIDs), m.uploads)
	}
	return ""
}

// decode decodes an argument or an item into a value of type t.
func (p param) decode(protocol Protocol, raw Raw, t reflect.Type) (reflect.Value, error) {
	if _, ok := protocol.(jsonProtocol); ok {
		if v, ok := p.decodePlain(raw, t); ok {
			return v, nil
		}
	}
	if !p.scalar {
		v := reflect.New(t)
		return v.Elem(), protocol.Decode(raw, v.Interface())
	}
	v := reflect.New(reflect.PointerTo(t)) // a null leaves the pointer nil; it would leave a scalar unchanged
	if err := protocol.Decode(raw, v.Interface()); err != nil {
		return reflect.Value{}, err
	}
	if v.Elem().IsNil() {
		return reflect.Value{}, fmt.Errorf("null for type %v", t)
	}
	return v.Elem().Elem(), nil
}

// bindError means that a call does not match its method.
type bindError struct {
	text string // for the caller
	err  error
}

func (e *bindError) Error() string {
	if e.err == nil {
		return e.text
	}
	return e.text + " " + quoting(e.err).Error()
}

func (e *bindError) Unwrap() error { return e.err }
