package hub

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// Methods is what clients may call: by name, a Go function, or a [Method] that says
// more. Nothing else can be called. Names are matched without regard to case, so two
// that differ in nothing else are a mistake, as there are no overloads.
//
// A function may have, in this order:
//
//   - a *[Context] or a context.Context, or neither. Both end with the connection, with
//     the client's cancelling of the call, and when the call is over.
//   - any number of arguments, of any types that the protocol can decode. An
//     iter.Seq2[T, error] or <-chan T is a stream that the client sends. A null for a
//     number or a boolean is an error, as is a wrong number of arguments.
//
// It may return nothing, an error, a result, or a result and an error. A result that is
// an iter.Seq2[T, error], an iter.Seq[T] or a channel is a stream: its items are sent
// as they come, and the client has to ask for it as one.
type Methods map[string]any

// Method is a method of which there is more to say.
type Method struct {
	// Func is the Go function; see [Methods].
	Func any

	// Authorize decides whether a call may go on, after its arguments were decoded and
	// before the filters. If it returns an [Error], that is what the client reads;
	// after any other, that it is not authorised. Default: everybody may.
	Authorize func(c *Call) error
}

// method is a registered method.
type method struct {
	name      string // as registered
	fn        reflect.Value
	ctx       contextKind
	params    []param
	uploads   int // how many params are streams
	result    resultKind
	hasError  bool
	authorize func(*Call) error
}

type contextKind uint8

const (
	noContext contextKind = iota
	hubContext
	plainContext
)

// param is a parameter after the context.
type param struct {
	typ    reflect.Type // of the parameter
	stream streamKind
	item   reflect.Type // of a stream
	scalar bool         // null is no value of it
}

type resultKind uint8

const (
	noResult resultKind = iota
	oneResult
	streamResult
)

// streamKind is how a stream looks in Go.
type streamKind uint8

const (
	noStream streamKind = iota
	seq                 // iter.Seq
	seq2                // iter.Seq2 with an error
	channel
)

var (
	typeContext    = reflect.TypeFor[context.Context]()
	typeHubContext = reflect.TypeFor[*Context]()
	typeError      = reflect.TypeFor[error]()
	typeBool       = reflect.TypeFor[bool]()
)

// inspect makes the method of what was registered, or tells all that is wrong with it.
func inspect(name string, registered any) (*method, error) {
	var errs []error
	wrong := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("hub: Methods[%q]: "+format, append([]any{name}, args...)...))
	}
	m := &method{name: name}
	if name == "" {
		wrong("a method needs a name")
	}
	switch r := registered.(type) {
	case Method:
		registered, m.authorize = r.Func, r.Authorize
	case *Method:
		wrong("is a *Method: use a Method")
		return nil, errors.Join(errs...)
	}
	m.fn = reflect.ValueOf(registered)
	if !m.fn.IsValid() || m.fn.Kind() != reflect.Func {
		wrong("is a %T: a function is needed", registered)
		return nil, errors.Join(errs...)
	}
	if m.fn.IsNil() {
		wrong("is a nil function")
	}
	t := m.fn.Type()
	if t.IsVariadic() {
		wrong("takes %v: the number of arguments must be fixed; use a slice", t.In(t.NumIn()-1))
	}
	for i := range t.NumIn() {
		in := t.In(i)
		switch {
		case in == typeHubContext && i == 0:
			m.ctx = hubContext
		case in == typeContext && i == 0:
			m.ctx = plainContext
		case in == typeHubContext || in == typeContext:
			wrong("takes a %v as parameter %d: a context comes first", in, i+1)
		default:
			p, err := inspectParam(in)
			if err != nil {
				wrong("parameter %d: %w", i+1, err)
			}
			if p.stream != noStream {
				m.uploads++
			}
			m.params = append(m.params, p)
		}
	}
	outs := make([]reflect.Type, t.NumOut())
	for i := range outs {
		outs[i] = t.Out(i)
	}
	if n := len(outs); n > 0 && outs[n-1] == typeError {
		m.hasError = true
		outs = outs[:n-1]
	}
	switch {
	case len(outs) > 1 || slices.Contains(outs, typeError):
		wrong("returns %d values: a result and an error at most, the error last", t.NumOut())
	case len(outs) == 1:
		m.result = oneResult
		if kind, item := streamOf(outs[0]); kind != noStream {
			m.result = streamResult
			if !encodable(item) {
				wrong("returns a stream of %v, which can't be encoded", item)
			}
		} else if !encodable(outs[0]) {
			wrong("returns a %v, which can't be encoded; a stream is an iter.Seq2[T, error], an iter.Seq[T] or a channel to receive from", outs[0])
		}
	}
	return m, errors.Join(errs...)
}

func inspectParam(t reflect.Type) (param, error) {
	p := param{typ: t}
	if kind, item := streamOf(t); kind != noStream {
		p.stream, p.item = kind, item
		switch {
		case kind == seq:
			return p, fmt.Errorf("is a %v: a stream that comes from the client may fail, so take an iter.Seq2[%v, error]", t, item)
		case kind == channel && t.ChanDir() != reflect.RecvDir:
			return p, fmt.Errorf("is a %v: take a <-chan %v", t, item)
		case !encodable(item):
			return p, fmt.Errorf("is a stream of %v, which can't be decoded", item)
		}
		p.scalar = scalar(item)
		return p, nil
	}
	if !encodable(t) || t.Kind() == reflect.Interface && t.NumMethod() > 0 {
		return p, fmt.Errorf("is a %v, which can't be decoded; a stream is an iter.Seq2[T, error] or a <-chan T", t)
	}
	p.scalar = scalar(t)
	return p, nil
}

// streamOf tells streams from other types, and the type of their items.
func streamOf(t reflect.Type) (streamKind, reflect.Type) {
	switch t.Kind() {
	case reflect.Chan:
		if t.ChanDir() != reflect.SendDir {
			return channel, t.Elem()
		}
	case reflect.Func:
		if t.NumIn() != 1 || t.NumOut() != 0 || t.IsVariadic() {
			break
		}
		yield := t.In(0)
		if yield.Kind() != reflect.Func || yield.NumOut() != 1 || yield.Out(0) != typeBool || yield.IsVariadic() {
			break
		}
		switch {
		case yield.NumIn() == 1:
			return seq, yield.In(0)
		case yield.NumIn() == 2 && yield.In(1) == typeError:
			return seq2, yield.In(0)
		}
	}
	return noStream, nil
}

// encodable reports whether values of the type may have an encoding: the kinds that
// none has are mistakes.
func encodable(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Chan, reflect.Func, reflect.UnsafePointer:
		return false
	case reflect.Pointer, reflect.Slice, reflect.Array:
		return encodable(t.Elem())
	}
	return true
}

// scalar reports whether null is no value of the type. Types that decode themselves
// know that better.
func scalar(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Bool, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr,
		reflect.Float32, reflect.Float64:
		return t.PkgPath() == "" || reflect.PointerTo(t).NumMethod() == 0
	}
	return false
}

// methodTable holds the methods by folded name.
type methodTable map[string]*method

func (t methodTable) find(name string) *method {
	if m := t[name]; m != nil {
		return m
	}
	return t[strings.ToLower(name)]
}

// newMethodTable inspects all methods and finds all mistakes, in the order of the
// names.
func newMethodTable(methods Methods) (methodTable, error) {
	var errs []error
	names := make([]string, 0, len(methods))
	for name := range methods {
		names = append(names, name)
	}
	slices.Sort(names)
	table := make(methodTable, len(names))
	for _, name := range names {
		m, err := inspect(name, methods[name])
		if err != nil {
			errs = append(errs, err)
			continue
		}
		folded := strings.ToLower(name)
		if other := table[folded]; other != nil {
			errs = append(errs, fmt.Errorf("hub: Methods[%q] and Methods[%q] differ only in case: there are no overloads", other.name, name))
			continue
		}
		table[folded] = m
	}
	return table, errors.Join(errs...)
}
