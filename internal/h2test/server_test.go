package h2test_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"

	"github.com/speakingtube/speakingtube/internal/h2test"
)

// serve starts net/http's HTTP/2 server, with TLS or without, and connects to it.
func serve(t *testing.T, secure bool, h http.HandlerFunc) *h2test.Conn {
	t.Helper()
	srv := httptest.NewUnstartedServer(h)
	srv.Config.Protocols = new(http.Protocols)
	srv.Config.Protocols.SetUnencryptedHTTP2(true)
	srv.Config.Protocols.SetHTTP2(true)
	srv.EnableHTTP2 = true
	var conn net.Conn
	var err error
	if secure {
		srv.StartTLS()
		roots := srv.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
		conn, err = tls.Dial("tcp", srv.Listener.Addr().String(), &tls.Config{RootCAs: roots, ServerName: "example.com", NextProtos: []string{"h2"}})
	} else {
		srv.Start()
		conn, err = net.Dial("tcp", srv.Listener.Addr().String())
	}
	t.Cleanup(srv.Close)
	require.NoError(t, err)
	c := h2test.New(conn)
	t.Cleanup(c.Close)
	return c
}

// request returns an extended CONNECT if protocol is not empty, a GET otherwise.
func request(t *testing.T, target, protocol string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, target, nil)
	require.NoError(t, err)
	if protocol != "" {
		r.Method = http.MethodConnect
		r.Header[":protocol"] = []string{protocol}
	}
	return r
}

// tunnel opens an extended CONNECT and expects a 200.
func tunnel(t *testing.T, c *h2test.Conn) *h2test.Stream {
	t.Helper()
	s, err := c.Open(request(t, "http://example.com/chat", "websocket"), false)
	require.NoError(t, err)
	res, err := s.Response()
	require.NoError(t, err)
	require.Equal(t, 200, res.StatusCode)
	return s
}

// echo accepts an extended CONNECT and sends every byte back.
func echo(w http.ResponseWriter, r *http.Request) {
	flow := http.NewResponseController(w)
	if flow.Flush() != nil {
		return
	}
	p := make([]byte, 32<<10)
	for {
		n, err := r.Body.Read(p)
		if n > 0 {
			if _, err := w.Write(p[:n]); err != nil || flow.Flush() != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func onEachScheme(t *testing.T, f func(t *testing.T, secure bool)) {
	for _, tt := range []struct {
		name   string
		secure bool
	}{{"plain", false}, {"TLS", true}} {
		t.Run(tt.name, func(t *testing.T) { f(t, tt.secure) })
	}
}

func TestRequestHead(t *testing.T) {
	onEachScheme(t, func(t *testing.T, secure bool) {
		type seen struct {
			Method, Proto, Host, URI, Protocol, Origin, Upgrade string
			Cookies                                             []string
			Length                                              int64
		}
		got := make(chan seen, 1)
		c := serve(t, secure, func(w http.ResponseWriter, r *http.Request) {
			got <- seen{
				r.Method, r.Proto, r.Host, r.RequestURI, r.Header.Get(":protocol"), r.Header.Get("Origin"), r.Header.Get("Upgrade"),
				r.Header["X-Two"], r.ContentLength,
			}
			w.Header().Add("Set-Cookie", "a=1")
			w.Header().Add("Set-Cookie", "b=2")
			w.WriteHeader(http.StatusTeapot)
			_, _ = io.WriteString(w, "short and stout")
		})
		for _, tt := range []struct {
			name, protocol string
			change         func(*http.Request)
			want           seen
		}{
			{"extended CONNECT", "websocket", func(r *http.Request) { r.Header.Set("Origin", "https://example.com") },
				seen{Method: "CONNECT", Proto: "HTTP/2.0", Host: "example.com", URI: "/chat?room=1", Protocol: "websocket", Origin: "https://example.com", Length: -1}},
			{"GET", "", func(r *http.Request) { r.Host = "other.example" },
				seen{Method: "GET", Proto: "HTTP/2.0", Host: "other.example", URI: "/chat?room=1", Length: -1}},
			{"CONNECT", "", func(r *http.Request) { r.Method = http.MethodConnect },
				seen{Method: "CONNECT", Proto: "HTTP/2.0", Host: "example.com", URI: "example.com", Length: -1}},
			{"a length, two values, headers of HTTP/1.1", "", func(r *http.Request) {
				r.Method, r.ContentLength = http.MethodPost, 7
				r.Header["X-Two"] = []string{"a", "b"}
				r.Header.Set("Connection", "Upgrade")
				r.Header.Set("Upgrade", "websocket")
			}, seen{Method: "POST", Proto: "HTTP/2.0", Host: "example.com", URI: "/chat?room=1", Cookies: []string{"a", "b"}, Length: 7}},
		} {
			t.Run(tt.name, func(t *testing.T) {
				r := request(t, "http://example.com/chat?room=1", tt.protocol)
				tt.change(r)
				s, err := c.Open(r, false)
				require.NoError(t, err)
				defer s.Reset(http2.ErrCodeCancel)
				require.Equal(t, tt.want, <-got)
				res, err := s.Response()
				require.NoError(t, err)
				require.Equal(t, "418 I'm a teapot", res.Status)
				require.Equal(t, []string{"a=1", "b=2"}, res.Header["Set-Cookie"])
				require.EqualValues(t, 15, res.ContentLength)
				body, err := io.ReadAll(res.Body)
				require.NoError(t, err)
				require.Equal(t, "short and stout", string(body))
			})
		}
	})
}

// A header longer than a frame is sent and received in several frames.
func TestLongHeaders(t *testing.T) {
	long := strings.Repeat("x", 100_000)
	c := serve(t, false, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Long", r.Header.Get("X-Long"))
	})
	for range 3 { // the header tables of both sides stay the same
		r := request(t, "http://example.com/", "")
		r.Header.Set("X-Long", long)
		s, err := c.Open(r, true)
		require.NoError(t, err)
		res, err := s.Response()
		require.NoError(t, err)
		require.Equal(t, long, res.Header.Get("X-Long"))
	}
}

// More bytes than all windows hold flow both ways at once, on several streams of one
// connection.
func TestFlowBothWays(t *testing.T) {
	onEachScheme(t, func(t *testing.T, secure bool) {
		c := serve(t, secure, echo)
		const size = 2 << 20 // the stream's window has 256 KiB, the connection's 1 MiB
		var all sync.WaitGroup
		for i := range 4 {
			s := tunnel(t, c)
			data := bytes.Repeat([]byte(fmt.Sprintf("stream %d ", i)), size/9)
			all.Go(func() {
				n, err := s.Write(data)
				if n != len(data) || err != nil || s.CloseWrite() != nil {
					t.Errorf("%d bytes written, %v", n, err)
				}
			})
			all.Go(func() {
				got, err := io.ReadAll(s)
				if err != nil || !bytes.Equal(data, got) {
					t.Errorf("%d bytes came back, %v", len(got), err)
				}
			})
		}
		all.Wait()
	})
}

// A stream that is not read blocks its server, and no other stream.
func TestUnreadStream(t *testing.T) {
	sent := make(chan int, 1)
	c := serve(t, false, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/chat" {
			echo(w, r)
			return
		}
		total := 0
		for r.Context().Err() == nil {
			n, _ := w.Write(make([]byte, 1<<20))
			total += n
		}
		sent <- total
	})
	flood, err := c.Open(request(t, "http://example.com/flood", "websocket"), false)
	require.NoError(t, err)
	_, err = flood.Response()
	require.NoError(t, err)
	s := tunnel(t, c)
	for range 100 {
		_, err := io.WriteString(s, "hello")
		require.NoError(t, err)
		p := make([]byte, 5)
		_, err = io.ReadFull(s, p)
		require.NoError(t, err)
		require.Equal(t, "hello", string(p))
	}
	flood.Reset(http2.ErrCodeCancel)
	got, err := io.ReadAll(flood)
	var reset http2.StreamError
	require.ErrorAs(t, err, &reset)
	require.Equal(t, http2.ErrCodeCancel, reset.Code)
	require.LessOrEqual(t, len(got), 256<<10, "the window")
	require.Less(t, <-sent, 1<<20)
}

// Each side ends its direction independently.
func TestEndOfEachSide(t *testing.T) {
	last := make(chan string, 1)
	c := serve(t, false, func(w http.ResponseWriter, r *http.Request) {
		if http.NewResponseController(w).Flush() != nil {
			return
		}
		body, _ := io.ReadAll(r.Body)
		last <- string(body)
		_, _ = io.WriteString(w, "bye")
	})
	s := tunnel(t, c)
	_, err := io.WriteString(s, "hello")
	require.NoError(t, err)
	require.NoError(t, s.CloseWrite())
	require.NoError(t, s.CloseWrite(), "once more")
	_, err = io.WriteString(s, "more")
	require.ErrorContains(t, err, "after CloseWrite")
	require.Equal(t, "hello", <-last)
	got, err := io.ReadAll(s)
	require.NoError(t, err)
	require.Equal(t, "bye", string(got))
	s.Reset(http2.ErrCodeCancel) // the stream has ended
	_, err = s.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF)
}

// The server's handler returns: END_STREAM, and a reset with NO_ERROR.
func TestServerEndsFirst(t *testing.T) {
	c := serve(t, false, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "bye") })
	s := tunnel(t, c)
	got, err := io.ReadAll(s)
	require.NoError(t, err)
	require.Equal(t, "bye", string(got))
	for err == nil { // until the reset arrives
		_, err = s.Write([]byte("x"))
	}
	var reset http2.StreamError
	require.ErrorAs(t, err, &reset)
	require.Equal(t, http2.ErrCodeNo, reset.Code)
}

// The server's handler panics: a reset without END_STREAM.
func TestServerResets(t *testing.T) {
	c := serve(t, false, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "so far")
		if http.NewResponseController(w).Flush() == nil {
			panic(http.ErrAbortHandler)
		}
	})
	s := tunnel(t, c)
	got, err := io.ReadAll(s)
	var reset http2.StreamError
	require.ErrorAs(t, err, &reset)
	require.Equal(t, http2.ErrCodeInternal, reset.Code)
	require.Equal(t, "so far", string(got), "comes before the error")
	require.ErrorIs(t, s.CloseWrite(), reset)
}

// The server sees a reset and the end of a context; the other streams continue.
func TestResetAndCancel(t *testing.T) {
	for _, tt := range []struct {
		name   string
		do     func(s *h2test.Stream, cancel context.CancelCauseFunc)
		reason string
	}{
		{"Reset", func(s *h2test.Stream, _ context.CancelCauseFunc) { s.Reset(http2.ErrCodeCancel) }, "reset by this side"},
		{"Close", func(s *h2test.Stream, _ context.CancelCauseFunc) { _ = s.Close() }, "reset by this side"},
		{"the context", func(_ *h2test.Stream, cancel context.CancelCauseFunc) { cancel(errors.New("enough")) }, "enough"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			gone := make(chan error, 1)
			c := serve(t, false, func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("X-Stays") == "" {
					echo(w, r)
					return
				}
				if http.NewResponseController(w).Flush() != nil {
					return
				}
				_, err := r.Body.Read(make([]byte, 1))
				gone <- err
			})
			other := tunnel(t, c)
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			r := request(t, "http://example.com/", "websocket").WithContext(ctx)
			r.Header.Set("X-Stays", "1")
			s, err := c.Open(r, false)
			require.NoError(t, err)
			_, err = s.Response()
			require.NoError(t, err)
			read := make(chan error, 1)
			go func() {
				_, err := s.Read(make([]byte, 1)) // waits
				read <- err
			}()
			tt.do(s, cancel)
			require.ErrorContains(t, <-read, tt.reason)
			require.Error(t, <-gone)
			_, err = s.Write([]byte("x"))
			require.ErrorContains(t, err, tt.reason)
			_, err = io.WriteString(other, "hello")
			require.NoError(t, err)
			_, err = io.ReadFull(other, make([]byte, 5))
			require.NoError(t, err)
		})
	}
}

// The end of the connection ends its streams.
func TestClose(t *testing.T) {
	onEachScheme(t, func(t *testing.T, secure bool) {
		gone := make(chan string, 1)
		c := serve(t, secure, func(w http.ResponseWriter, r *http.Request) {
			if http.NewResponseController(w).Flush() != nil {
				return
			}
			body, _ := io.ReadAll(r.Body)
			gone <- string(body)
		})
		s := tunnel(t, c)
		_, err := io.WriteString(s, "the last words")
		require.NoError(t, err)
		c.Close()
		c.Close() // a second time
		require.Equal(t, "the last words", <-gone, "they were sent before")
		_, err = s.Read(make([]byte, 1))
		require.ErrorIs(t, err, h2test.ErrClosed)
		_, err = c.Open(request(t, "http://example.com/", ""), true)
		require.ErrorIs(t, err, h2test.ErrClosed)
	})
}

// A request whose context has ended does not wait for the server.
func TestOpenWithoutSettings(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0") // the kernel accepts; no server answers
	require.NoError(t, err)
	defer ln.Close()
	conn, err := net.Dial("tcp", ln.Addr().String())
	require.NoError(t, err)
	c := h2test.New(conn)
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	_, err = c.Open(request(t, "http://example.com/", "").WithContext(ctx), true)
	require.ErrorIs(t, err, context.DeadlineExceeded)
}
