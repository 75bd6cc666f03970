package wsmanager

import (
	"net/http"
	"reflect"
	"strings"
	"sync"

	"github.com/speakingtube/speakingtube/internal/httpx"
)

// ownWriter is net/http's own writer of a response, at the bottom of all those that
// components have put above it.
//
// A Manager has to know whether the status that it gave to the outermost writer has
// reached this one, or is kept somewhere on the way. net/http has no method that
// says so, and package reflect reads the field that does, without unsafe and
// without setting anything. No type of anybody else is known here. Where the writer
// can't be found, or the field (a later Go may rename it: a test finds that out), the
// zero value says so, and its user takes the way that needs no such knowledge.
type ownWriter struct {
	state  reflect.Value // a struct with the fields below
	fields *ownFields
}

// ownFields is where a struct has them.
type ownFields struct{ wroteHeader, status, header []int }

// ownTypes caches the ownFields of each type of struct in net/http that was looked at; nil
// for one that has not all of them. There are a handful.
var ownTypes sync.Map

// The fields.
const (
	fieldWroteHeader = "wroteHeader"   // bool: a status has been written that is not informational
	fieldStatus      = "status"        // int: which
	fieldHeader      = "handlerHeader" // http.Header: what Header returns
)

var (
	typeWriter    = reflect.TypeFor[http.ResponseWriter]()
	typeHijacker  = reflect.TypeFor[http.Hijacker]()
	typeUnwrapper = reflect.TypeFor[httpx.Unwrapper]()
)

// findOwn finds the writer of an HTTP/1.1 response below w: by Unwrap, and behind a
// writer without it among the fields.
//
// It finds only what a Hijack gets through to. A writer that offers Hijack and stands
// on one that does not will say so only when it is called.
func findOwn(w http.ResponseWriter) ownWriter {
	for range httpx.MaxWriters {
		if w == nil {
			break
		}
		v := reflect.ValueOf(w)
		if own, ok := ownHTTP1(v); ok {
			return own
		}
		u, ok := w.(httpx.Unwrapper)
		if !ok {
			if !v.Type().Implements(typeHijacker) {
				break
			}
			var s fieldSearch
			s.visit(v)
			return s.result()
		}
		w = u.Unwrap()
	}
	return ownWriter{}
}

// findOwnStream finds the writer of an HTTP/2 response in w, which unwraps to nothing.
func findOwnStream(w http.ResponseWriter) ownWriter {
	v := reflect.ValueOf(w)
	for range 4 { // in net/http, its internal package or x/net, and perhaps behind an adapter
		if v.Kind() == reflect.Pointer && !v.IsNil() {
			v = v.Elem()
		}
		if v.Kind() != reflect.Struct || !strings.Contains(v.Type().PkgPath(), "net/http") {
			break
		}
		if own, ok := withFields(v); ok {
			return own
		}
		next := v.FieldByName("rws")
		if !next.IsValid() && v.NumField() > 0 {
			next = v.Field(0)
		}
		v = next
	}
	return ownWriter{}
}

// isOwn reports whether w is net/http's own writer, of either kind.
func isOwn(w http.ResponseWriter) bool {
	_, ok := ownHTTP1(reflect.ValueOf(w))
	return ok || findOwnStream(w).known()
}

// ownHTTP1 reports whether v is net/http's own writer of an HTTP/1.1 response.
func ownHTTP1(v reflect.Value) (ownWriter, bool) {
	t := v.Type()
	if t.Kind() != reflect.Pointer || t.Elem().Kind() != reflect.Struct || t.Elem().PkgPath() != "net/http" || v.IsNil() || !t.Implements(typeHijacker) {
		return ownWriter{}, false
	}
	return withFields(v.Elem())
}

// withFields is the struct v, of a type in net/http, if it has the fields.
func withFields(v reflect.Value) (ownWriter, bool) {
	t := v.Type()
	found, ok := ownTypes.Load(t)
	if !ok {
		found, _ = ownTypes.LoadOrStore(t, fieldsOf(t))
	}
	fields := found.(*ownFields)
	if fields == nil {
		return ownWriter{}, false
	}
	return ownWriter{v, fields}, true
}

func fieldsOf(t reflect.Type) *ownFields {
	wroteHeader, ok1 := t.FieldByName(fieldWroteHeader)
	status, ok2 := t.FieldByName(fieldStatus)
	header, ok3 := t.FieldByName(fieldHeader)
	if !ok1 || !ok2 || !ok3 || wroteHeader.Type != reflect.TypeFor[bool]() || status.Type != reflect.TypeFor[int]() || !header.Type.ConvertibleTo(reflect.TypeFor[http.Header]()) {
		return nil
	}
	return &ownFields{wroteHeader.Index, status.Index, header.Index}
}

// known reports whether there is a writer to ask.
func (o ownWriter) known() bool { return o.state.IsValid() }

// wroteHeader reports whether a status has reached the writer that it has sent, or
// sends before it gives its connection away.
func (o ownWriter) wroteHeader() bool {
	return o.known() && o.state.FieldByIndex(o.fields.wroteHeader).Bool()
}

// status is the status that has reached the writer.
func (o ownWriter) status() int { return int(o.state.FieldByIndex(o.fields.status).Int()) }

// header is a copy of the writer's header.
func (o ownWriter) header() http.Header {
	h := http.Header{}
	if !o.known() {
		return h
	}
	for it := o.state.FieldByIndex(o.fields.header).MapRange(); it.Next(); {
		values := make([]string, it.Value().Len()) // not nil: Date may be there, and empty
		for i := range values {
			values[i] = it.Value().Index(i).String()
		}
		h[it.Key().String()] = values
	}
	return h
}

// fieldSearch looks for net/http's own writer among the fields of a writer that has no
// Unwrap, and of the writers found there. It looks only at fields whose type says that
// they hold a writer: these are set when a writer is made, and used by each call of it.
type fieldSearch struct {
	seen  map[uintptr]bool // pointers to structs
	found []ownWriter
}

// result is what was found, if it is one: between two nobody can choose.
func (s *fieldSearch) result() ownWriter {
	if len(s.found) != 1 {
		return ownWriter{}
	}
	return s.found[0]
}

func (s *fieldSearch) visit(v reflect.Value) {
	if v.Kind() == reflect.Pointer {
		if v.IsNil() || s.seen[v.Pointer()] || len(s.seen) == httpx.MaxWriters {
			return
		}
		if s.seen == nil {
			s.seen = map[uintptr]bool{}
		}
		s.seen[v.Pointer()] = true
		if own, ok := ownHTTP1(v); ok {
			s.found = append(s.found, own)
			return
		}
		v = v.Elem()
	}
	if v.Kind() != reflect.Struct {
		return
	}
	for i := range v.NumField() {
		f, t := v.Field(i), v.Type().Field(i)
		if !t.Type.Implements(typeWriter) && !(t.Type.Kind() == reflect.Struct && reflect.PointerTo(t.Type).Implements(typeWriter)) {
			continue
		}
		if f.Kind() == reflect.Interface {
			if f = f.Elem(); !f.IsValid() {
				continue
			}
		} else if t.Anonymous || f.Kind() == reflect.Struct {
			s.visit(f) // a part of the same writer
			continue
		}
		if f.Type().Implements(typeHijacker) || f.Type().Implements(typeUnwrapper) {
			s.visit(f)
		}
	}
}
