package pipeline_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/pipeline"
)

// hidden is a writer without optional methods whose Unwrap leads to one that may have them.
type hidden struct{ inner http.ResponseWriter }

func (h hidden) Header() http.Header         { return h.inner.Header() }
func (h hidden) WriteHeader(code int)        { h.inner.WriteHeader(code) }
func (h hidden) Write(p []byte) (int, error) { return h.inner.Write(p) }
func (h hidden) Unwrap() http.ResponseWriter { return h.inner }

// silent is a recorder without Flush.
type silent struct{ rec *httptest.ResponseRecorder }

func (s silent) Header() http.Header         { return s.rec.Header() }
func (s silent) WriteHeader(code int)        { s.rec.WriteHeader(code) }
func (s silent) Write(p []byte) (int, error) { return s.rec.Write(p) }

// hijackOnly supports Hijack and not Flush.
type hijackOnly struct {
	silent
	conn net.Conn
}

func (h hijackOnly) Hijack() (net.Conn, *bufio.ReadWriter, error) { return h.conn, nil, nil }

// flushAndHijack supports both.
type flushAndHijack struct {
	*httptest.ResponseRecorder
	conn net.Conn
}

func (h flushAndHijack) Hijack() (net.Conn, *bufio.ReadWriter, error) { return h.conn, nil, nil }

// A method that a writer has only below an Unwrap is offered to the handlers as its own.
// All other methods work too, and each way of starting the response is observed.
func TestMethodsBelowUnwrapAreOffered(t *testing.T) {
	ours, theirs := net.Pipe()
	defer ours.Close()
	defer theirs.Close()
	for name, tt := range map[string]struct {
		inner         func(*httptest.ResponseRecorder) http.ResponseWriter
		flush, hijack bool
	}{
		"flush":  {func(rec *httptest.ResponseRecorder) http.ResponseWriter { return rec }, true, false},
		"hijack": {func(rec *httptest.ResponseRecorder) http.ResponseWriter { return hijackOnly{silent{rec}, ours} }, false, true},
		"both":   {func(rec *httptest.ResponseRecorder) http.ResponseWriter { return flushAndHijack{rec, ours} }, true, true},
	} {
		for door, open := range map[string]func(http.ResponseWriter) error{
			"WriteHeader": func(w http.ResponseWriter) error { w.WriteHeader(204); return nil },
			"Write":       func(w http.ResponseWriter) error { _, err := w.Write([]byte("x")); return err },
			"WriteString": func(w http.ResponseWriter) error { _, err := io.WriteString(w, "x"); return err },
			"ReadFrom":    func(w http.ResponseWriter) error { _, err := io.Copy(w, strings.NewReader("x")); return err },
			"Flush":       func(w http.ResponseWriter) error { return http.NewResponseController(w).Flush() },
			"Flusher":     func(w http.ResponseWriter) error { w.(http.Flusher).Flush(); return nil },
			"Hijack":      func(w http.ResponseWriter) error { _, _, err := http.NewResponseController(w).Hijack(); return err },
			"Hijacker":    func(w http.ResponseWriter) error { _, _, err := w.(http.Hijacker).Hijack(); return err },
		} {
			if strings.HasPrefix(door, "Flush") && !tt.flush || strings.HasPrefix(door, "Hijack") && !tt.hijack {
				continue
			}
			t.Run(name+"/"+door, func(t *testing.T) {
				rec := httptest.NewRecorder()
				started := 0
				h := pipeline.Observe(func(w http.ResponseWriter, r *http.Request, res *pipeline.Response, next http.Handler) {
					require.NoError(t, res.OnStarting(func(h http.Header, _ int) { started++; h.Set("X-Started", "yes") }))
					next.ServeHTTP(w, r)
				})(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					_, canFlush := w.(http.Flusher)
					_, canHijack := w.(http.Hijacker)
					require.Equal(t, tt.flush, canFlush)
					require.Equal(t, tt.hijack, canHijack)
					if p, ok := w.(http.Pusher); ok {
						require.ErrorIs(t, p.Push("/x", nil), http.ErrNotSupported)
					}
					w.Header().Set("X-Handler", "yes")
					require.NoError(t, open(w))
					require.Equal(t, 1, started)
				}))
				h.ServeHTTP(hidden{tt.inner(rec)}, httptest.NewRequest("GET", "/", nil))
				require.Equal(t, 1, started)
				require.Equal(t, "yes", rec.Header().Get("X-Handler"))
				require.Equal(t, "yes", rec.Header().Get("X-Started"))
				switch door {
				case "WriteHeader":
					require.Equal(t, 204, rec.Code)
				case "Write", "WriteString", "ReadFrom":
					require.Equal(t, "x", rec.Body.String())
				}
			})
		}
	}
}

// The further methods of net/http's writers are available to the handlers below an
// observer, and work as without one.
func TestControlsOfNetHTTPsWriters(t *testing.T) {
	ask := func(w http.ResponseWriter) (answers []string) {
		tell := func(name string, err error) { answers = append(answers, fmt.Sprint(name, ": ", err)) }
		rc := http.NewResponseController(w)
		tell("read deadline", rc.SetReadDeadline(time.Time{}))
		tell("write deadline", rc.SetWriteDeadline(time.Time{}))
		tell("full duplex", rc.EnableFullDuplex())
		if p, ok := w.(http.Pusher); ok {
			tell("push", p.Push("/x", nil))
		}
		//nolint:staticcheck // deprecated, and offered by net/http still
		if n, ok := w.(http.CloseNotifier); ok {
			tell("close notifier", map[bool]error{true: nil}[n.CloseNotify() != nil])
		}
		return answers
	}
	for _, http2 := range []bool{false, true} {
		t.Run(fmt.Sprintf("http2=%v", http2), func(t *testing.T) {
			ended := make(chan []string, 1)
			handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { ended <- ask(w) })
			observed := pipeline.Observe(func(w http.ResponseWriter, r *http.Request, _ *pipeline.Response, next http.Handler) {
				next.ServeHTTP(w, r)
			})(handler)
			var got [2][]string
			for i, h := range []http.Handler{handler, observed} {
				srv := httptest.NewUnstartedServer(h)
				srv.EnableHTTP2 = http2
				srv.StartTLS()
				res, err := srv.Client().Get(srv.URL)
				require.NoError(t, err)
				require.NoError(t, res.Body.Close())
				require.Equal(t, http2, res.ProtoMajor == 2)
				got[i] = <-ended
				srv.Close()
			}
			require.Equal(t, got[0], got[1])
			require.GreaterOrEqual(t, len(got[0]), 4)
		})
	}
}
