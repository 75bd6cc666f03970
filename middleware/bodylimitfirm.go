package middleware

import (
	"io"
	"net/http"

	"github.com/felixge/httpsnoop"

	"github.com/speakingtube/speakingtube/pipeline"
)

// withholding returns a writer that discards the answer of the handlers if the body is above
// the limit and the response has not started. BodyLimit answers when they have returned. A
// 413 is sent: it is the answer of a HandlerFunc, which is logged already.
func (b *limitedBody) withholding(w http.ResponseWriter, own *pipeline.Response) http.ResponseWriter {
	discards := func() bool { return b.over.Load() && !own.Started() }
	return httpsnoop.Wrap(w, httpsnoop.Hooks{
		WriteHeader: func(next httpsnoop.WriteHeaderFunc) httpsnoop.WriteHeaderFunc {
			return func(code int) {
				if code == http.StatusRequestEntityTooLarge || !discards() {
					next(code)
				}
			}
		},
		Write: func(next httpsnoop.WriteFunc) httpsnoop.WriteFunc {
			return func(p []byte) (int, error) {
				if discards() {
					return len(p), nil
				}
				return next(p)
			}
		},
		WriteString: func(next httpsnoop.WriteStringFunc) httpsnoop.WriteStringFunc {
			return func(s string) (int, error) {
				if discards() {
					return len(s), nil
				}
				return next(s)
			}
		},
		ReadFrom: func(next httpsnoop.ReadFromFunc) httpsnoop.ReadFromFunc {
			return func(src io.Reader) (int64, error) {
				if discards() {
					return io.Copy(io.Discard, src)
				}
				return next(src)
			}
		},
		Flush: func(next httpsnoop.FlushFunc) httpsnoop.FlushFunc {
			return func() {
				if !discards() {
					next()
				}
			}
		},
		FlushError: func(next httpsnoop.FlushErrorFunc) httpsnoop.FlushErrorFunc {
			return func() error {
				if discards() {
					return nil
				}
				return next()
			}
		},
	})
}
