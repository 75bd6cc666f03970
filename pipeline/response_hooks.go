package pipeline

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"sync"

	"github.com/felixge/httpsnoop"
)

// hook wraps the writer with httpsnoop, so that res observes every way in which a response
// can start. The result offers the optional interfaces of the writer, and also those that
// are reachable only through its Unwrap: otherwise http.ResponseController would bypass the
// hooks and start the response unobserved.
func (res *Response) hook() http.ResponseWriter {
	if b := res.bridge(); b != nil {
		res.w = b
	}
	set := hookSets.Get().(*hookSet)
	defer hookSets.Put(set)
	set.res = res
	defer func() { set.res = nil }()
	return httpsnoop.Wrap(res.w, set.hooks)
}

// hookSet is a reusable set of hooks: httpsnoop.Wrap calls each of them immediately, and
// never later, as long as Write and WriteString, and Flush and FlushError, are present
// together. So they take the response from res.
type hookSet struct {
	res   *Response
	hooks httpsnoop.Hooks
}

var hookSets = sync.Pool{New: func() any {
	s := &hookSet{}
	s.hooks = httpsnoop.Hooks{
		Header:      s.header,
		WriteHeader: s.writeHeader,
		Write:       s.write,
		WriteString: s.writeString,
		ReadFrom:    s.readFrom,
		Flush:       s.flush,
		FlushError:  s.flushError,
		Hijack:      s.hijack,
	}
	return s
}}

func (s *hookSet) header(httpsnoop.HeaderFunc) httpsnoop.HeaderFunc { return s.res.header }

func (s *hookSet) writeHeader(next httpsnoop.WriteHeaderFunc) httpsnoop.WriteHeaderFunc {
	res := s.res
	return func(code int) {
		if res.startStatus(code) {
			next(code)
		}
	}
}

func (s *hookSet) write(next httpsnoop.WriteFunc) httpsnoop.WriteFunc {
	res := s.res
	return func(p []byte) (int, error) {
		if err := res.startBody(len(p)); err != nil {
			return 0, err
		}
		n, err := next(p)
		res.wrote(n)
		return n, err
	}
}

func (s *hookSet) writeString(next httpsnoop.WriteStringFunc) httpsnoop.WriteStringFunc {
	res := s.res
	return func(p string) (int, error) {
		if err := res.startBody(len(p)); err != nil {
			return 0, err
		}
		n, err := next(p)
		res.wrote(n)
		return n, err
	}
}

func (s *hookSet) readFrom(next httpsnoop.ReadFromFunc) httpsnoop.ReadFromFunc {
	res := s.res
	return func(src io.Reader) (int64, error) {
		return res.readFrom(src, res.w, readFromFunc(next))
	}
}

func (s *hookSet) flush(next httpsnoop.FlushFunc) httpsnoop.FlushFunc {
	res := s.res
	return func() {
		if res.startFlush() == nil {
			next()
		}
	}
}

func (s *hookSet) flushError(next httpsnoop.FlushErrorFunc) httpsnoop.FlushErrorFunc {
	res := s.res
	return func() error {
		if err := res.startFlush(); err != nil {
			return err
		}
		return next()
	}
}

func (s *hookSet) hijack(next httpsnoop.HijackFunc) httpsnoop.HijackFunc {
	res := s.res
	return func() (net.Conn, *bufio.ReadWriter, error) { return res.hijack(next) }
}

type readFromFunc func(io.Reader) (int64, error)

func (f readFromFunc) ReadFrom(src io.Reader) (int64, error) { return f(src) }
