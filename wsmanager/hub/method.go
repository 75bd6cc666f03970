package hub

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/speakingtube/speakingtube/wsmanager/hub/internal/pace"
)

// Methods are the functions that clients may call, by name. A value is a Go function, or a [Method] with further settings.
// Names match case-insensitively. Two names that only differ in case are a mistake, because there are no overloads.
//
// A function may have these parameters, in this order:
//
//   - a *[Context], a context.Context, or neither. Both end when the connection ends, when the client cancels the call, and
//     when the call has returned.
//   - any number of arguments, of any types that the protocol can decode. An iter.Seq2[T, error] or <-chan T is a stream
//     that the client sends. A wrong number of arguments is an error, and so is null for a number or a boolean.
//
// It may return nothing, an error, a result, or a result and an error. A result of type iter.Seq2[T, error], iter.Seq[T] or
// channel is a stream: its items are sent as they come, and the client has to call the method as a stream.
type Methods map[string]any

// Method is a function with further settings.
type Method struct {
	// Func is the Go function; see [Methods].
	Func any

	// Authorize decides whether a call is allowed. It is called after the arguments were decoded and before the filters. If
	// it returns an error, the client reads the text of an [Error], and otherwise that it is not authorized. Default: all
	// calls are allowed.
	Authorize func(c *Call) error
}

// method is a registered method.
type method struct {
	name      string // in the case in which it was registered
	fn        reflect.Value
	ctx       contextKind
	params    []param
	uploads   int // number of params that are streams
	result    resultKind
	hasError  bool
	authorize func(*Call) error
	pace      pace.Gauge // of its calls
}

type contextKind uint8

const (
	noContext contextKind = iota
	hubContext
	plainContext
)

// param is a parameter after the context.
type param struct {
	typ    reflect.Type
	stream streamKind
	item   reflect.Type // of a stream
	scalar bool         // null is not a valid value of typ, or of item
}

type resultKind uint8

const (
	noResult resultKind = iota
	oneResult
	streamResult
)

// streamKind is the Go type of a stream.
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

// inspector collects the mistakes in one registered function.
type inspector struct {
	label string // names the function in errors
	errs  []error
}

func (in *inspector) add(format string, args ...any) {
	in.errs = append(in.errs, fmt.Errorf("hub: %s: "+format, append([]any{in.label}, args...)...))
}

func methodLabel(name string) string { return fmt.Sprintf("Methods[%q]", name) }

// inspect makes the method of a registered function. Its error lists all mistakes and names the function by label.
func inspect(label, name string, registered any) (*method, error) {
	in := &inspector{label: label}
	m := &method{name: name}
	if name == "" {
		in.add("a method needs a name")
	}
	switch r := registered.(type) {
	case Method:
		registered, m.authorize = r.Func, r.Authorize
	case *Method:
		in.add("is a *Method: use a Method")
		return nil, errors.Join(in.errs...)
	}
	m.fn = reflect.ValueOf(registered)
	if !m.fn.IsValid() || m.fn.Kind() != reflect.Func {
		in.add("is a %T: a function is needed", registered)
		return nil, errors.Join(in.errs...)
	}
	if m.fn.IsNil() {
		in.add("is a nil function")
	}
	in.params(m, m.fn.Type())
	in.results(m, m.fn.Type())
	return m, errors.Join(in.errs...)
}

func (in *inspector) params(m *method, t reflect.Type) {
	if t.IsVariadic() {
		in.add("takes %v: the number of arguments must be fixed; use a slice", t.In(t.NumIn()-1))
	}
	for i := range t.NumIn() {
		switch typ := t.In(i); {
		case typ == typeHubContext && i == 0:
			m.ctx = hubContext
		case typ == typeContext && i == 0:
			m.ctx = plainContext
		case typ == typeHubContext || typ == typeContext:
			in.add("takes a %v as parameter %d: a context must be the first parameter", typ, i+1)
		default:
			p, err := inspectParam(typ)
			if err != nil {
				in.add("parameter %d: %w", i+1, err)
			}
			if p.stream != noStream {
				m.uploads++
			}
			m.params = append(m.params, p)
		}
	}
}

func (in *inspector) results(m *method, t reflect.Type) {
	outs := slices.Collect(t.Outs())
	if n := len(outs); n > 0 && outs[n-1] == typeError {
		m.hasError = true
		outs = outs[:n-1]
	}
	switch {
	case len(outs) > 1 || slices.Contains(outs, typeError):
		in.add("returns %d values: at most a result and an error are possible, the error last", t.NumOut())
	case len(outs) == 1:
		m.result = oneResult
		if kind, item := streamOf(outs[0]); kind != noStream {
			m.result = streamResult
			switch {
			case !encodable(item):
				in.add("returns a stream of %v, which cannot be encoded", item)
			case factsOf(item).duration:
				in.add("returns a stream of %v, which has %s", item, durationHint)
			}
		} else if factsOf(outs[0]).duration {
			in.add("returns a %v, which has %s", outs[0], durationHint)
		} else if !encodable(outs[0]) {
			in.add("returns a %v, which cannot be encoded; a stream is an iter.Seq2[T, error], an iter.Seq[T] or a channel to receive from", outs[0])
		}
	}
}

func inspectParam(t reflect.Type) (param, error) {
	p := param{typ: t}
	if kind, item := streamOf(t); kind != noStream {
		p.stream, p.item = kind, item
		switch {
		case kind == seq:
			return p, fmt.Errorf("is a %v: a stream of the client may fail, so take an iter.Seq2[%v, error]", t, item)
		case kind == channel && t.ChanDir() != reflect.RecvDir:
			return p, fmt.Errorf("is a %v: take a <-chan %v", t, item)
		case !encodable(item):
			return p, fmt.Errorf("is a stream of %v, which cannot be decoded", item)
		case factsOf(item).duration:
			return p, fmt.Errorf("is a stream of %v, which has %s", item, durationHint)
		}
		p.scalar = scalar(item)
		return p, nil
	}
	if !encodable(t) || t.Kind() == reflect.Interface && t.NumMethod() > 0 {
		return p, fmt.Errorf("is a %v, which cannot be decoded; a stream is an iter.Seq2[T, error] or a <-chan T", t)
	}
	if factsOf(t).duration {
		return p, fmt.Errorf("is a %v, which has %s", t, durationHint)
	}
	p.scalar = scalar(t)
	return p, nil
}

// streamOf returns the kind of stream that t is, and the type of its items.
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

// encodable reports whether a protocol may be able to encode values of the type. It is false for types that no protocol
// can encode.
func encodable(t reflect.Type) bool {
	var seen map[reflect.Type]bool // a type with a name may contain itself
	for {
		switch t.Kind() {
		case reflect.Chan, reflect.Func, reflect.UnsafePointer:
			return false
		case reflect.Pointer, reflect.Slice, reflect.Array:
		default:
			return true
		}
		if t.Name() != "" {
			if seen[t] {
				return true
			}
			if seen == nil {
				seen = make(map[reflect.Type]bool)
			}
			seen[t] = true
		}
		t = t.Elem()
	}
}

// methodTable holds the methods by lower-case name.
type methodTable map[string]*method

func (t methodTable) find(name string) *method {
	if m := t[name]; m != nil {
		return m
	}
	var buf [64]byte
	lower := buf[:0]
	for i := range len(name) {
		switch c := name[i]; {
		case c >= utf8.RuneSelf || i == len(buf):
			return t[strings.ToLower(name)]
		case 'A' <= c && c <= 'Z':
			lower = append(lower, c+'a'-'A')
		default:
			lower = append(lower, c)
		}
	}
	return t[string(lower)]
}

// sorted returns the methods in the order of their names.
func (t methodTable) sorted() []*method {
	return slices.SortedFunc(maps.Values(t), func(a, b *method) int { return strings.Compare(a.name, b.name) })
}

// newMethodTable inspects all methods. Its error lists all mistakes in the order of the names.
func newMethodTable(methods Methods) (methodTable, error) {
	var errs []error
	table := make(methodTable, len(methods))
	for _, name := range slices.Sorted(maps.Keys(methods)) {
		m, err := inspect(methodLabel(name), name, methods[name])
		if err != nil {
			errs = append(errs, err)
			continue
		}
		lower := strings.ToLower(name)
		if other := table[lower]; other != nil {
			errs = append(errs, fmt.Errorf("hub: Methods[%q] and Methods[%q] only differ in case: there are no overloads", other.name, name))
			continue
		}
		table[lower] = m
	}
	return table, errors.Join(errs...)
}
