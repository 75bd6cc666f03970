package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/pipeline"
)

// impatient is a rate that a client falls below soon.
var impatient = pipeline.BodyRate{BytesPerSecond: 1 << 20, Grace: 100 * time.Millisecond}

func addrOf(srv *httptest.Server) string { return srv.Listener.Addr().String() }

// reading is a handler that reads its body, and answers with its length.
func reading(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err == nil {
		_, _ = fmt.Fprint(w, "read ", len(body))
		return
	}
	if !errors.Is(err, pipeline.ErrBodyTooSlow) || !errors.Is(err, os.ErrDeadlineExceeded) {
		http.Error(w, err.Error(), http.StatusTeapot)
	}
}

// waitGrace returns when a client of srv has used up its grace. A request that had begun
// before has then waited for longer.
func waitGrace(t *testing.T, srv *httptest.Server) {
	t.Helper()
	res, err := srv.Client().Post(srv.URL+"/slow", "text/plain", slowBody{t.Context()})
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, http.StatusRequestTimeout, res.StatusCode)
}

// slowBody never comes.
type slowBody struct{ ctx context.Context }

func (b slowBody) Read([]byte) (int, error) {
	<-b.ctx.Done()
	return 0, b.ctx.Err()
}

// rateServer serves mux behind impatient, over both protocols.
func rateServer(t *testing.T, mux *http.ServeMux, f func(t *testing.T, srv *httptest.Server)) {
	mux.HandleFunc("/slow", reading)
	for _, http2 := range []bool{false, true} {
		t.Run(fmt.Sprintf("http2=%v", http2), func(t *testing.T) {
			f(t, serveTest(t, pipeline.MinBodyRate(impatient)(mux), http2))
		})
	}
}

// A client that sends nothing, or too little, gets 408.
func TestMinBodyRate(t *testing.T) {
	srv := serveTest(t, pipeline.MinBodyRate(impatient)(http.HandlerFunc(reading)), false)
	for _, tt := range []struct{ name, head, first, drop string }{
		{"nothing comes", "Content-Length: 10000\r\n", "", ""},
		{"a beginning comes", "Content-Length: 10000\r\n", "xxx", ""},
		{"nothing comes, chunked", "Transfer-Encoding: chunked\r\n", "", ""},
		{"a chunk comes", "Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n", ""},
		{"byte by byte", "Content-Length: 100000000\r\n", "", "x"},
		{"byte by byte, chunked", "Transfer-Encoding: chunked\r\n", "", "1\r\nx\r\n"},
		{"after a 100", "Content-Length: 10000\r\nExpect: 100-continue\r\n", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := open(t, addrOf(srv), "POST / HTTP/1.1\r\nHost: x\r\n"+tt.head+"\r\n"+tt.first)
			if tt.drop != "" {
				go func() {
					tick := time.NewTicker(time.Millisecond)
					defer tick.Stop()
					for range tick.C {
						if _, err := io.WriteString(d.Conn, tt.drop); err != nil {
							return
						}
					}
				}()
			}
			res, _ := d.answer(t)
			if res.StatusCode == http.StatusContinue {
				res, _ = d.answer(t)
			}
			require.Equal(t, http.StatusRequestTimeout, res.StatusCode)
			require.True(t, res.Close)
			d.requireEnd(t)
		})
	}
}

// Over HTTP/2 the request ends, and the connection serves others.
func TestMinBodyRateHTTP2(t *testing.T) {
	addrs := make(chan string, 2)
	srv := serveTest(t, pipeline.MinBodyRate(impatient)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		addrs <- r.RemoteAddr
		reading(w, r)
	})), true)
	waitGrace(t, srv)
	res, err := srv.Client().Post(srv.URL, "text/plain", strings.NewReader("abc"))
	require.NoError(t, err)
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, "read 3", string(body))
	require.Equal(t, <-addrs, <-addrs)
}

// Only the time for which a Read waits counts, and some requests are exempt.
func TestMinBodyRateExemptions(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	finish := func(w http.ResponseWriter, r *http.Request) {
		rest, err := io.ReadAll(r.Body)
		_, _ = fmt.Fprintf(w, "%s, %v", rest, err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/busy", func(w http.ResponseWriter, r *http.Request) {
		var one [1]byte
		_, _ = io.ReadFull(r.Body, one[:])
		entered <- struct{}{}
		<-release // longer than the grace
		finish(w, r)
	})
	mux.HandleFunc("/disabled", func(w http.ResponseWriter, r *http.Request) {
		pipeline.DisableMinBodyRate(r)
		entered <- struct{}{}
		finish(w, r)
	})
	mux.HandleFunc("/duplex", func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex()
		entered <- struct{}{}
		finish(w, r)
	})
	mux.HandleFunc("/flushed", func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor == 1 { // where a flushed answer ends the reading
			_ = http.NewResponseController(w).EnableFullDuplex()
		}
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		entered <- struct{}{}
		finish(w, r)
	})
	mux.Handle("/nested", pipeline.MinBodyRate(pipeline.BodyRate{Grace: time.Hour})(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		entered <- struct{}{}
		finish(w, r)
	})))
	rateServer(t, mux, func(t *testing.T, srv *httptest.Server) {
		for _, target := range []string{"/busy", "/disabled", "/duplex", "/flushed", "/nested"} {
			body, client := io.Pipe()
			result := make(chan string, 1)
			go func() {
				res, err := srv.Client().Post(srv.URL+target, "text/plain", body)
				if err != nil {
					result <- err.Error()
					return
				}
				defer res.Body.Close()
				text, err := io.ReadAll(res.Body)
				result <- fmt.Sprint(res.StatusCode, " ", string(text), err)
			}()
			_, err := io.WriteString(client, "a")
			require.NoError(t, err)
			<-entered
			waitGrace(t, srv)
			_, err = io.WriteString(client, "bc")
			require.NoError(t, err)
			require.NoError(t, client.Close())
			want := "200 abc, <nil><nil>"
			if target == "/busy" {
				release <- struct{}{}
				want = "200 bc, <nil><nil>"
			}
			require.Equal(t, want, <-result, target)
		}
	})
}

// A hijacked connection has no rate, and its deadlines are not touched.
func TestMinBodyRateHijacked(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/hijack", func(w http.ResponseWriter, r *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			http.Error(w, err.Error(), http.StatusTeapot)
			return
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, "ready\n")
		line, err := rw.ReadString('\n')
		_, _ = fmt.Fprint(conn, line, err)
	})
	mux.HandleFunc("/slow", reading)
	srv := serveTest(t, pipeline.MinBodyRate(impatient)(mux), false)
	d := open(t, addrOf(srv), "POST /hijack HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n")
	line, err := d.ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "ready\n", line)
	waitGrace(t, srv)
	_, err = io.WriteString(d.Conn, "hello\n")
	require.NoError(t, err)
	rest, err := io.ReadAll(d)
	require.NoError(t, err)
	require.Equal(t, "hello\n<nil>", string(rest))
}

// CONNECT, and requests without a body, pass unchanged.
func TestMinBodyRatePassesThrough(t *testing.T) {
	var got *http.Request
	h := pipeline.MinBodyRate(pipeline.BodyRate{})(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r }))
	for _, r := range []*http.Request{
		httptest.NewRequest(http.MethodConnect, "/chat", strings.NewReader("stream")),
		httptest.NewRequest(http.MethodGet, "/", nil),
		httptest.NewRequest(http.MethodPost, "/", http.NoBody),
	} {
		h.ServeHTTP(httptest.NewRecorder(), r)
		require.Same(t, r, got)
		require.Zero(t, testing.AllocsPerRun(100, func() { h.ServeHTTP(nil, r) }))
	}
	pipeline.DisableMinBodyRate(httptest.NewRequest(http.MethodGet, "/", nil)) // nothing to do
}

func TestMinBodyRateConfig(t *testing.T) {
	for _, rate := range []pipeline.BodyRate{{BytesPerSecond: -1}, {Grace: -1}} {
		_, err := pipeline.New().Use(pipeline.MinBodyRate(rate)).Build()
		require.ErrorContains(t, err, "pipeline.MinBodyRate")
	}
}

// The component behaves like net/http for whatever a handler does with a body that comes.
func TestMinBodyRateWithOtherComponents(t *testing.T) {
	observed := pipeline.Observe(func(w http.ResponseWriter, r *http.Request, _ *pipeline.Response, next http.Handler) {
		next.ServeHTTP(w, r)
	})
	mux := http.NewServeMux()
	mux.HandleFunc("POST /form", func(w http.ResponseWriter, r *http.Request) {
		f, header, err := r.FormFile("file")
		if err != nil {
			http.Error(w, err.Error(), http.StatusTeapot)
			return
		}
		defer f.Close()
		_, _ = fmt.Fprint(w, header.Size, r.Pattern)
	})
	mux.HandleFunc("POST /echo", func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusOK)
		_, _ = io.Copy(w, r.Body)
	})
	mux.HandleFunc("POST /closed", func(w http.ResponseWriter, r *http.Request) {
		_ = r.Body.Close()
		_, err := r.Body.Read(make([]byte, 1))
		_, _ = fmt.Fprint(w, errors.Is(err, http.ErrBodyReadAfterClose))
	})
	patterns := make(chan string, 1)
	for name, h := range map[string]http.Handler{
		"outermost": pipeline.MinBodyRate(pipeline.BodyRate{})(mux),
		"nested":    observed(pipeline.MinBodyRate(pipeline.BodyRate{})(mux)),
	} {
		for _, http2 := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, http2=%v", name, http2), func(t *testing.T) {
				srv := serveTest(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					h.ServeHTTP(w, r)
					patterns <- r.Pattern
				}), http2)
				post := func(target, contentType, body string) string {
					res, err := srv.Client().Post(srv.URL+target, contentType, strings.NewReader(body))
					require.NoError(t, err)
					defer res.Body.Close()
					text, err := io.ReadAll(res.Body)
					require.NoError(t, err)
					require.Equal(t, "POST "+target, <-patterns)
					return string(text)
				}
				require.Equal(t, strings.Repeat("x", 400), post("/echo", "text/plain", strings.Repeat("x", 400)))
				form := "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\n" + strings.Repeat("x", 1<<20) + "\r\n--b--\r\n"
				require.Equal(t, fmt.Sprint(1<<20, "POST /form"), post("/form", "multipart/form-data; boundary=b", form))
				if !http2 {
					require.Equal(t, "true", post("/closed", "text/plain", "abc"))
				}
			})
		}
	}
}

// Serve has the rate by default.
func TestServeHasAMinBodyRate(t *testing.T) {
	t.Parallel()
	var failed error
	h := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, failed = io.ReadAll(r.Body) })
	url, stop, done := serving(t, &http.Server{Handler: h, ErrorLog: log.New(io.Discard, "", 0)})
	d := open(t, strings.TrimPrefix(url, "http://"), "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10000\r\n\r\nx")
	res, _ := d.answer(t)
	require.Equal(t, http.StatusRequestTimeout, res.StatusCode)
	require.ErrorIs(t, failed, pipeline.ErrBodyTooSlow)
	d.requireEnd(t)
	stop()
	require.NoError(t, wait(t, done))
}
