package handshake

import (
	"net/http"
	"reflect"
	"strings"
	"sync"

	"github.com/speakingtube/speakingtube/internal/httpx"
)

// serverWriter is net/http's own writer of a response, below the writers of all
// components. The zero value stands for a writer that was not found.
//
// Upgrade has to know whether the status that it gave to the outermost writer has reached
// this one. net/http has no method for that, so package reflect reads the field, without
// unsafe and without setting anything. If a later release of Go renames the field, the
// writer is not found, a test fails, and Upgrade does without it.
type serverWriter struct {
	state  reflect.Value // a struct with the fields below
	fields *writerFields
}

// writerFields are the indexes of the fields in a type of struct.
type writerFields struct{ wroteHeader, status, header []int }

// writerTypeCache has the *writerFields of each type of struct in net/http that was
// inspected, nil for one without the fields. net/http has few such types.
var writerTypeCache sync.Map

// The names of the fields.
const (
	fieldWroteHeader = "wroteHeader"   // bool: a status was written, informational ones excluded
	fieldStatus      = "status"        // int
	fieldHeader      = "handlerHeader" // http.Header: the result of Header
)

var (
	typeWriter    = reflect.TypeFor[http.ResponseWriter]()
	typeHijacker  = reflect.TypeFor[http.Hijacker]()
	typeUnwrapper = reflect.TypeFor[httpx.Unwrapper]()
)

// findServerWriter finds the writer of an HTTP/1.1 response below w: by Unwrap, and below
// a writer without Unwrap in its fields.
//
// It finds only writers that a Hijack of w may reach. It can't know whether a component's
// Hijack fails.
func findServerWriter(w http.ResponseWriter) serverWriter {
	for range httpx.MaxWriters {
		if w == nil {
			break
		}
		v := reflect.ValueOf(w)
		if server, ok := asHTTP1Writer(v); ok {
			return server
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
	return serverWriter{}
}

// findStreamWriter finds the writer of an HTTP/2 response in w, the innermost writer.
func findStreamWriter(w http.ResponseWriter) serverWriter {
	v := reflect.ValueOf(w)
	for range 4 { // it is in net/http, its internal package or x/net, and may be in an adapter
		if v.Kind() == reflect.Pointer && !v.IsNil() {
			v = v.Elem()
		}
		if v.Kind() != reflect.Struct || !strings.Contains(v.Type().PkgPath(), "net/http") {
			break
		}
		if server, ok := withFields(v); ok {
			return server
		}
		next := v.FieldByName("rws")
		if !next.IsValid() && v.NumField() > 0 {
			next = v.Field(0)
		}
		v = next
	}
	return serverWriter{}
}

// isServerWriter reports whether w is net/http's own writer, for either protocol.
func isServerWriter(w http.ResponseWriter) bool {
	_, ok := asHTTP1Writer(reflect.ValueOf(w))
	return ok || findStreamWriter(w).known()
}

// asHTTP1Writer reports whether v is net/http's own writer of an HTTP/1.1 response.
func asHTTP1Writer(v reflect.Value) (serverWriter, bool) {
	t := v.Type()
	if t.Kind() != reflect.Pointer || t.Elem().Kind() != reflect.Struct || t.Elem().PkgPath() != "net/http" || v.IsNil() || !t.Implements(typeHijacker) {
		return serverWriter{}, false
	}
	return withFields(v.Elem())
}

// withFields returns the struct v, of a type in net/http, if it has the fields.
func withFields(v reflect.Value) (serverWriter, bool) {
	t := v.Type()
	found, ok := writerTypeCache.Load(t)
	if !ok {
		found, _ = writerTypeCache.LoadOrStore(t, fieldsOf(t))
	}
	fields := found.(*writerFields)
	if fields == nil {
		return serverWriter{}, false
	}
	return serverWriter{v, fields}, true
}

func fieldsOf(t reflect.Type) *writerFields {
	wroteHeader, ok1 := t.FieldByName(fieldWroteHeader)
	status, ok2 := t.FieldByName(fieldStatus)
	header, ok3 := t.FieldByName(fieldHeader)
	if !ok1 || !ok2 || !ok3 || wroteHeader.Type != reflect.TypeFor[bool]() || status.Type != reflect.TypeFor[int]() || !header.Type.ConvertibleTo(reflect.TypeFor[http.Header]()) {
		return nil
	}
	return &writerFields{wroteHeader.Index, status.Index, header.Index}
}

// known reports whether the writer was found.
func (s serverWriter) known() bool { return s.state.IsValid() }

// wroteHeader reports whether a status has reached the writer. It has been sent, or will
// be sent by Hijack.
func (s serverWriter) wroteHeader() bool {
	return s.known() && s.state.FieldByIndex(s.fields.wroteHeader).Bool()
}

// status returns the status that has reached the writer.
func (s serverWriter) status() int { return int(s.state.FieldByIndex(s.fields.status).Int()) }

// header returns a copy of the writer's header.
func (s serverWriter) header() http.Header {
	h := http.Header{}
	if !s.known() {
		return h
	}
	for it := s.state.FieldByIndex(s.fields.header).MapRange(); it.Next(); {
		values := make([]string, it.Value().Len()) // not nil: Date may have no values, which suppresses it
		for i := range values {
			values[i] = it.Value().Index(i).String()
		}
		h[it.Key().String()] = values
	}
	return h
}

// fieldSearch looks for net/http's own writer in the fields of a writer that has no
// Unwrap, and of the writers found there. It looks only at fields whose type is a writer:
// these are set when a writer is made, and used by each of its methods.
type fieldSearch struct {
	seen  map[uintptr]bool // pointers to structs
	found []serverWriter
}

// result returns the writer that was found, if it is the only one.
func (s *fieldSearch) result() serverWriter {
	if len(s.found) != 1 {
		return serverWriter{}
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
		if server, ok := asHTTP1Writer(v); ok {
			s.found = append(s.found, server)
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
