package wsmanager_test

import (
	"bufio"
	"bytes"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/pipeline"
	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// serveBelowWriter serves m below the writer that wrap returns and below an observer. The outermost
// component sets headers, some of which do not fit a 101.
func serveBelowWriter(m *wsmanager.Manager, s *seen, wrap func(http.ResponseWriter) http.ResponseWriter) http.Handler {
	observed := pipeline.Observe(func(w http.ResponseWriter, r *http.Request, res *pipeline.Response, next http.Handler) {
		_ = res.OnStarting(func(h http.Header, status int) {
			h.Set("X-Starting", "set")
			s.note("pipeline", status)
		})
		next.ServeHTTP(w, r)
	})(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m.ServeHTTP(wrap(w), r)
	}))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Above", "set")
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", "7")
		w.Header().Set("Trailer", "X-Sum")
		observed.ServeHTTP(w, r)
	})
}

// Below any writer that can be hijacked, the client receives exactly one 101 with the headers
// that middleware has set, early bytes are kept, and all reachable writers see the status.
func TestSwitchBelowAnyWriter(t *testing.T) { onSocketDrivers(t, testSwitchBelowAnyWriter) }

func testSwitchBelowAnyWriter(t *testing.T) {
	fwd := func(w http.ResponseWriter, s *seen, name string) *forwards { return &forwards{w, name, s} }
	sto := func(w http.ResponseWriter, s *seen) *stores { return &stores{ResponseWriter: w, seen: s} }
	type wrapper = func(http.ResponseWriter, *seen) http.ResponseWriter
	for name, tt := range map[string]struct {
		wrap  wrapper
		tells []string // writers that see the 101, in addition to the pipeline's
		late  bool     // sets a cookie in WriteHeader
		twice bool     // forwards its status once more than necessary
	}{
		"none":                      {wrap: func(w http.ResponseWriter, _ *seen) http.ResponseWriter { return w }},
		"forwards":                  {wrap: func(w http.ResponseWriter, s *seen) http.ResponseWriter { return fwd(w, s, "f") }, tells: []string{"f"}},
		"forwards, Unwrap":          {wrap: func(w http.ResponseWriter, s *seen) http.ResponseWriter { return forwardsOpen{fwd(w, s, "f")} }, tells: []string{"f"}},
		"stores":                    {wrap: func(w http.ResponseWriter, s *seen) http.ResponseWriter { return sto(w, s) }, tells: []string{"stores"}},
		"stores, Unwrap":            {wrap: func(w http.ResponseWriter, s *seen) http.ResponseWriter { return storesOpen{sto(w, s)} }, tells: []string{"stores"}},
		"commits at Hijack":         {wrap: func(w http.ResponseWriter, s *seen) http.ResponseWriter { return commits{sto(w, s)} }, tells: []string{"stores"}},
		"commits at Hijack, Unwrap": {wrap: func(w http.ResponseWriter, s *seen) http.ResponseWriter { return commitsOpen{commits{sto(w, s)}} }, tells: []string{"stores"}, twice: true},
		"as iris":                   {wrap: func(w http.ResponseWriter, _ *seen) http.ResponseWriter { return &iris{ResponseWriter: w, status: 200} }},
		"as go-zero":                {wrap: func(w http.ResponseWriter, _ *seen) http.ResponseWriter { return &goZero{Writer: w} }},
		"closures":                  {wrap: func(w http.ResponseWriter, _ *seen) http.ResponseWriter { return closed(w) }},
		"closures over one":         {wrap: func(w http.ResponseWriter, s *seen) http.ResponseWriter { return closed(sto(w, s)) }},
		"private fields":            {wrap: func(w http.ResponseWriter, s *seen) http.ResponseWriter { return &private{part{s, w}} }, tells: []string{"private"}},
		"a header of its own":       {wrap: func(w http.ResponseWriter, _ *seen) http.ResponseWriter { return &buffers{httptest.NewRecorder(), w} }},
		"its own, Unwrap": {wrap: func(w http.ResponseWriter, _ *seen) http.ResponseWriter {
			return buffersOpen{&buffers{httptest.NewRecorder(), w}}
		}},
		"its own, over an observer": {wrap: func(w http.ResponseWriter, s *seen) http.ResponseWriter {
			return buffersOpen{&buffers{httptest.NewRecorder(), forwardsOpen{fwd(w, s, "f")}}}
		}, tells: []string{"f"}},
		"compresses":              {wrap: func(w http.ResponseWriter, s *seen) http.ResponseWriter { return encodes{fwd(w, s, "f")} }, tells: []string{"f"}},
		"a cookie in WriteHeader": {wrap: func(w http.ResponseWriter, s *seen) http.ResponseWriter { return cookies{fwd(w, s, "f")} }, tells: []string{"f"}, late: true},
		"the cookie below a store": {wrap: func(w http.ResponseWriter, s *seen) http.ResponseWriter {
			return storesOpen{sto(cookies{fwd(w, s, "f")}, s)}
		}, tells: []string{"stores", "f"}, late: true},
		"the cookie above a store": {wrap: func(w http.ResponseWriter, s *seen) http.ResponseWriter { return cookies{fwd(sto(w, s), s, "f")} }, tells: []string{"stores", "f"}, late: true},
		"observers around one": {wrap: func(w http.ResponseWriter, s *seen) http.ResponseWriter {
			return forwardsOpen{fwd(storesOpen{sto(forwardsOpen{fwd(w, s, "below")}, s)}, s, "above")}
		}, tells: []string{"below", "stores", "above"}},
		"an observer above an opaque": {wrap: func(w http.ResponseWriter, s *seen) http.ResponseWriter { return forwardsOpen{fwd(sto(w, s), s, "f")} }, tells: []string{"f", "stores"}},
		"a ring":                      {wrap: func(w http.ResponseWriter, s *seen) http.ResponseWriter { return &endless{sto(w, s)} }},
		"a wrapped connection": {wrap: func(w http.ResponseWriter, s *seen) http.ResponseWriter {
			return rewraps{sto(w, s), func(c net.Conn, rw *bufio.ReadWriter) (net.Conn, *bufio.ReadWriter) {
				return &countedConn{Conn: c, closed: new(atomic.Int64)}, rw
			}}
		}, tells: []string{"stores"}},
		"a reader of its own": {wrap: func(w http.ResponseWriter, s *seen) http.ResponseWriter {
			return rewraps{sto(w, s), func(c net.Conn, rw *bufio.ReadWriter) (net.Conn, *bufio.ReadWriter) {
				early := make([]byte, rw.Reader.Buffered())
				_, _ = io.ReadFull(rw, early)
				br := bufio.NewReader(io.MultiReader(bytes.NewReader(early), c))
				_, _ = br.Peek(len(early))
				return c, bufio.NewReadWriter(br, rw.Writer)
			}}
		}, tells: []string{"stores"}},
		"unflushed bytes in the writer": {wrap: func(w http.ResponseWriter, s *seen) http.ResponseWriter {
			return rewraps{sto(w, s), func(c net.Conn, rw *bufio.ReadWriter) (net.Conn, *bufio.ReadWriter) {
				_, _ = rw.WriteString("HTTP/1.1 101 Switching Protocols\r\n\r\n")
				return c, rw
			}}
		}, tells: []string{"stores"}},
	} {
		t.Run(name, func(t *testing.T) {
			j, s := newJournal(), &seen{}
			opts, records := logged()
			m := wsmanager.MustNew(wsmanager.Callbacks{
				OnAccept: func(*http.Request) (wsmanager.Accept, error) {
					return wsmanager.Accept{Subprotocol: "v2", Header: http.Header{"X-Accept": {"set"}}}, nil
				},
				OnConnect: func(c *wsmanager.Conn) error { j.note("connect"); return c.Send(wsmanager.Text("hello")) },
				OnMessage: func(c *wsmanager.Conn, m wsmanager.Message) error { return c.Send(m) },
			}, onDriver(t, opts))
			var complaints bytes.Buffer
			srv := start(t, m, func(srv *httptest.Server) {
				srv.Config.Handler = serveBelowWriter(m, s, func(w http.ResponseWriter) http.ResponseWriter { return tt.wrap(w, s) })
				srv.Config.ErrorLog = log.New(&complaints, "", 0)
			})
			req := wstest.Request(t, srv.URL)
			req.Header.Set("Sec-WebSocket-Protocol", "v1, v2")
			c := dialRawClient(t, req, wstest.Frame(ws.OpText, true, []byte("early")))
			head := c.head(t)
			require.Equal(t, "HTTP/1.1 101 Switching Protocols", head[0])
			want := []string{
				"Connection: Upgrade", "Sec-Websocket-Accept: " + wstest.Accept, "Sec-Websocket-Protocol: v2",
				"Upgrade: websocket", "X-Above: set", "X-Accept: set", "X-Starting: set",
			}
			if tt.late {
				want = append(want, "Set-Cookie: late=1")
			}
			require.ElementsMatch(t, want, withoutDate(t, head[1:]))
			c.texts(t, "hello", "early")
			require.Equal(t, []string{"connect"}, j.all())
			require.Equal(t, 101, s.last("pipeline"))
			for _, name := range tt.tells {
				require.Equal(t, 101, s.last(name), name)
			}
			require.Empty(t, records.all())
			c.end(t)
			shutdown(t, m)
			srv.Close()
			if tt.twice {
				require.Regexp(t, `^http: superfluous response.WriteHeader call.*\n$`, complaints.String())
			} else {
				require.Empty(t, complaints.String(), "net/http logs no error")
			}
		})
	}
}

// The same holds over TLS.
func TestSwitchBelowAWriterOverTLS(t *testing.T) { onSocketDrivers(t, testSwitchBelowAWriterOverTLS) }

func testSwitchBelowAWriterOverTLS(t *testing.T) {
	s := &seen{}
	m := wsmanager.MustNew(recordingCallbacks(newJournal()), onDriver(t, optionsWithoutLog()))
	srv := httptest.NewUnstartedServer(serveBelowWriter(m, s, func(w http.ResponseWriter) http.ResponseWriter {
		return &stores{ResponseWriter: w, seen: s}
	}))
	srv.StartTLS()
	t.Cleanup(func() { shutdown(t, m); srv.Close() })
	c := dialTLS(t, srv)
	require.Equal(t, http.StatusSwitchingProtocols, c.Response.StatusCode)
	require.Equal(t, "set", c.Response.Header.Get("X-Above"))
	c.SendText("hello")
	c.ExpectText("hello")
}

// Refusals are the same below every writer.
func TestRefusalsBelowAnyWriter(t *testing.T) { onEachDriver(t, testRefusalsBelowAnyWriter) }

func testRefusalsBelowAnyWriter(t *testing.T) {
	for name, wrap := range map[string]func(http.ResponseWriter) http.ResponseWriter{
		"stores":   func(w http.ResponseWriter) http.ResponseWriter { return &stores{ResponseWriter: w, seen: &seen{}} },
		"as iris":  func(w http.ResponseWriter) http.ResponseWriter { return &iris{ResponseWriter: w} },
		"closures": func(w http.ResponseWriter) http.ResponseWriter { return closed(w) },
	} {
		t.Run(name, func(t *testing.T) {
			needH1(t, "a writer with Unwrap is needed")
			m, url := serve(t, recordingCallbacks(newJournal()), optionsWithoutLog(), func(m *wsmanager.Manager) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { m.ServeHTTP(wrap(w), r) })
			})
			foreign, plain := wstest.Request(t, url), wstest.Request(t, url)
			foreign.Header.Set("Origin", "https://evil.example")
			plain.Header.Del("Upgrade")
			require.Equal(t, 403, handshakeOver(t, foreign, nil).Response.StatusCode)
			require.Equal(t, 426, handshakeOver(t, plain, nil).Response.StatusCode)
			require.NoError(t, m.Shutdown(t.Context()))
			require.Equal(t, 503, handshakeOver(t, wstest.Request(t, url), nil).Response.StatusCode)
		})
	}
}

// If the 101 can't be sent, no callback runs, no connection remains registered, and one log
// record names the writer.
func TestSwitchThatCannotBeSent(t *testing.T) { onSocketDrivers(t, testSwitchThatCannotBeSent) }

func testSwitchThatCannotBeSent(t *testing.T) {
	s := &seen{}
	fwd := func(w http.ResponseWriter) *forwards { return &forwards{w, "f", s} }
	for _, tt := range []struct {
		name   string
		wrap   func(http.ResponseWriter) http.ResponseWriter
		status int // of the response; 0 for none
		record int
		err    []string
	}{
		{"Hijack fails", func(w http.ResponseWriter) http.ResponseWriter { return unhijackable{fwd(w)} }, 0, 101, []string{"wsmanager_test.unhijackable", "not this one"}},
		{"Hijack fails at an opaque writer", func(w http.ResponseWriter) http.ResponseWriter { return closed(unhijackable{fwd(w)}) }, 500, 500, []string{"*wsmanager_test.closures", "not this one"}},
		{"Hijack returns nothing", func(w http.ResponseWriter) http.ResponseWriter { return silent{fwd(w)} }, 0, 101, []string{"wsmanager_test.silent", "neither a connection nor an error"}},
		{"another status", func(w http.ResponseWriter) http.ResponseWriter { return changes{fwd(w)} }, 200, 101, []string{"wsmanager_test.changes", "changed to 200"}},
		{"a response that has begun", func(w http.ResponseWriter) http.ResponseWriter { w.WriteHeader(204); return fwd(w) }, 0, 101, []string{"*wsmanager_test.forwards", "had begun", "204"}},
		{"no Hijack over a wrapper", func(w http.ResponseWriter) http.ResponseWriter { return unwrapOnly{struct{ http.ResponseWriter }{w}} }, 500, 500, []string{"wsmanager_test.unwrapOnly over struct { http.ResponseWriter }"}},
		{"no Hijack", func(w http.ResponseWriter) http.ResponseWriter { return struct{ http.ResponseWriter }{w} }, 500, 500, []string{"struct { http.ResponseWriter }"}},
		{"no Hijack below one", func(w http.ResponseWriter) http.ResponseWriter {
			return storesOpen{&stores{ResponseWriter: struct{ http.ResponseWriter }{w}, seen: s}}
		}, 500, 500, []string{"wsmanager_test.storesOpen over struct { http.ResponseWriter }", "not supported"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			opts, records := logged()
			j := newJournal()
			cb := recordingCallbacks(j)
			cb.OnAccept = func(*http.Request) (wsmanager.Accept, error) {
				return wsmanager.Accept{Header: http.Header{"Set-Cookie": {"session=secret"}}}, nil
			}
			m := wsmanager.MustNew(cb, onDriver(t, opts))
			srv := start(t, m, func(srv *httptest.Server) { srv.Config.Handler = serveBelowWriter(m, &seen{}, tt.wrap) })
			c := dialRawClient(t, wstest.Request(t, srv.URL), nil)
			if tt.status == 0 {
				_, err := c.br.ReadByte()
				require.ErrorIs(t, err, io.EOF)
			} else {
				res, err := http.ReadResponse(c.br, nil)
				require.NoError(t, err)
				require.Equal(t, tt.status, res.StatusCode)
				if tt.status == 500 {
					require.Empty(t, res.Header.Get("Set-Cookie"))
					require.Empty(t, res.Header.Get("Sec-WebSocket-Accept"))
					require.Empty(t, res.Header.Get("Upgrade"))
					require.NotEqual(t, "Upgrade", res.Header.Get("Connection"))
				}
			}
			rec := records.record(t, 0)
			require.EqualValues(t, tt.record, inGroup(rec, "response", "status"))
			for _, part := range tt.err {
				require.Contains(t, rec["err"], part)
			}
			require.Len(t, records.all(), 1)
			require.Empty(t, j.all())
			require.Zero(t, m.All().Len())
			require.NoError(t, m.Shutdown(t.Context()))
		})
	}
}

// After a panic in Hijack nothing remains either, and a handler that recovers responds without
// the headers of the 101.
func TestPanicInHijack(t *testing.T) { onSocketDrivers(t, testPanicInHijack) }

func testPanicInHijack(t *testing.T) {
	cb := recordingCallbacks(newJournal())
	cb.OnAccept = func(*http.Request) (wsmanager.Accept, error) {
		return wsmanager.Accept{Header: http.Header{"Set-Cookie": {"session=secret"}}}, nil
	}
	m, url := serve(t, cb, optionsWithoutLog(), func(m *wsmanager.Manager) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			defer func() { _ = recover(); http.Error(w, "sorry", 500) }()
			m.ServeHTTP(panics{&stores{ResponseWriter: w, seen: &seen{}}}, r)
		})
	})
	res := handshakeOver(t, wstest.Request(t, url), nil).Response
	require.Equal(t, 500, res.StatusCode)
	require.Empty(t, res.Header.Get("Set-Cookie"))
	require.Empty(t, res.Header.Get("Sec-WebSocket-Accept"))
	require.Zero(t, m.All().Len())
	require.NoError(t, m.Shutdown(t.Context()), "no handshake is counted as pending")
}

// Timeouts.Handshake also limits an answer that net/http does not write.
func TestHandshakeTimeoutBelowAWriter(t *testing.T) {
	onSocketDrivers(t, testHandshakeTimeoutBelowAWriter)
}

func testHandshakeTimeoutBelowAWriter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opts, records := logged()
		j := newJournal()
		m := wsmanager.MustNew(recordingCallbacks(j), onDriver(t, opts))
		ln := wstest.Listen(64) // less than the size of a 101
		srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			m.ServeHTTP(&stores{ResponseWriter: w, seen: &seen{}}, r)
		})}
		go func() { _ = srv.Serve(ln) }() // http.ErrServerClosed
		conn, err := ln.Dial()
		require.NoError(t, err)
		require.NoError(t, wstest.Request(t, "/").Write(conn))
		synctest.Wait()
		require.Equal(t, 1, m.All().Len(), "registered before the answer is written")
		time.Sleep(9 * time.Second)
		synctest.Wait()
		require.Equal(t, 1, m.All().Len())
		time.Sleep(2 * time.Second)
		synctest.Wait()
		require.Zero(t, m.All().Len())
		require.Empty(t, j.all(), "no callback runs")
		require.Contains(t, records.record(t, 0)["err"], "i/o timeout")
		require.Contains(t, records.record(t, 0)["err"], "*wsmanager_test.stores")
		require.EqualValues(t, 1, m.Stats().Refused.BrokenOff)
		require.NoError(t, m.Shutdown(t.Context()))
		require.NoError(t, srv.Close())
	})
}

// rawClient is a client that reads raw bytes.
type rawClient struct {
	conn net.Conn
	br   *bufio.Reader
}

// dialRawClient sends the request and early in one segment.
func dialRawClient(t *testing.T, req *http.Request, early []byte) *rawClient {
	t.Helper()
	conn, err := net.DialTimeout("tcp", req.URL.Host, wstest.Patience)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() }) // already closed if the test has succeeded
	require.NoError(t, conn.SetDeadline(time.Now().Add(wstest.Patience)))
	var text bytes.Buffer
	require.NoError(t, req.Write(&text))
	text.Write(early)
	_, err = conn.Write(text.Bytes())
	require.NoError(t, err)
	return &rawClient{conn, bufio.NewReader(conn)}
}

// head returns the lines of the response head.
func (c *rawClient) head(t *testing.T) (lines []string) {
	t.Helper()
	for {
		line, err := c.br.ReadString('\n')
		require.NoError(t, err, "after %q", lines)
		require.True(t, strings.HasSuffix(line, "\r\n"), "%q", line)
		if line == "\r\n" {
			return lines
		}
		lines = append(lines, strings.TrimSuffix(line, "\r\n"))
	}
}

// texts expects these text frames and no other frame.
func (c *rawClient) texts(t *testing.T, want ...string) {
	t.Helper()
	for _, text := range want {
		f, err := ws.ReadFrame(c.br) //nolint:staticcheck // the bytes are those of our own server
		require.NoError(t, err)
		require.Equal(t, ws.OpText, f.Header.OpCode)
		require.Equal(t, text, string(f.Payload))
	}
}

// end performs the closing handshake.
func (c *rawClient) end(t *testing.T) {
	t.Helper()
	_, err := c.conn.Write(wstest.Frame(ws.OpClose, true, ws.NewCloseFrameBody(ws.StatusNormalClosure, "")))
	require.NoError(t, err)
	f, err := ws.ReadFrame(c.br) //nolint:staticcheck // the bytes are those of our own server
	require.NoError(t, err)
	require.Equal(t, ws.OpClose, f.Header.OpCode)
	require.NoError(t, c.conn.Close())
}

// withoutDate returns the lines except the Date header, which must occur once.
func withoutDate(t *testing.T, lines []string) (rest []string) {
	t.Helper()
	for _, line := range lines {
		if !strings.HasPrefix(line, "Date: ") {
			rest = append(rest, line)
			continue
		}
		_, err := http.ParseTime(strings.TrimPrefix(line, "Date: "))
		require.NoError(t, err)
	}
	require.Len(t, rest, len(lines)-1)
	return rest
}
