package wsmanager_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// Each test in this file is named after a bug that has been fixed.

func TestAppendingToAPayloadOverwroteTheNextFrame(t *testing.T) {
	onEachDriver(t, testAppendingToAPayloadOverwroteTheNextFrame)
}

func testAppendingToAPayloadOverwroteTheNextFrame(t *testing.T) {
	j := newJournal()
	_, url := serve(t, wsmanager.Callbacks{
		OnMessage: func(_ *wsmanager.Conn, m wsmanager.Message) error {
			j.note("%s", append(m.Payload, "!!!!!!"...))
			return nil
		},
	}, optionsWithoutLog(), nil)
	c := dialOver(t, url, nil)
	c.SendRaw(append(wstest.Frame(ws.OpText, true, []byte("one")), wstest.Frame(ws.OpText, true, []byte("two"))...))
	require.Equal(t, []string{"one!!!!!!", "two!!!!!!"}, j.await(t, 2))
}

// A handler or a listener sets a read deadline. Only that connection ends. An event loop takes
// the connection over from net/http, so the deadline has no effect there.
func TestForeignReadDeadlineCrashedTheProcess(t *testing.T) {
	onEachDriver(t, testForeignReadDeadlineCrashedTheProcess)
}

func testForeignReadDeadlineCrashedTheProcess(t *testing.T) {
	needH1(t, "the handler stays; see TestStreamWithAForeignDeadline")
	j := newJournal()
	opts := optionsWithoutLog()
	opts.Driver = wsmanager.DriverGoroutine
	_, url := serve(t, wsmanager.Callbacks{
		OnClose: func(_ *wsmanager.Conn, err error) { j.note("%v", err) },
	}, opts, func(m *wsmanager.Manager) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			m.ServeHTTP(w, r)
			_ = http.NewResponseController(w).SetReadDeadline(time.Unix(1, 0)) // net/http returns no error
		})
	})
	c := dialOver(t, url, nil)
	require.Equal(t, "wsmanager: closed by the peer with 1006: the read was interrupted", j.await(t, 1)[0])
	c.ExpectEOF()
}

// net/http waits for the request body when a handler hijacks the connection.
func TestHandshakeWithABodyWasNeverTimedOut(t *testing.T) {
	onSocketDrivers(t, testHandshakeWithABodyWasNeverTimedOut)
}

func testHandshakeWithABodyWasNeverTimedOut(t *testing.T) {
	m, url := serve(t, wsmanager.Callbacks{}, optionsWithoutLog(), nil)
	for name, spoil := range map[string]func(*http.Request){
		"length":  func(r *http.Request) { r.ContentLength = 1000 },
		"chunked": func(r *http.Request) { r.TransferEncoding = []string{"chunked"} },
	} {
		t.Run(name, func(t *testing.T) {
			req := wstest.Request(t, url)
			body, end := io.Pipe() // no data ever
			defer end.Close()
			req.Body = body
			spoil(req)
			conn, err := net.Dial("tcp", req.URL.Host)
			require.NoError(t, err)
			defer conn.Close()
			go func() { _ = req.Write(conn) }() // blocks in the body
			require.NoError(t, conn.SetDeadline(time.Now().Add(wstest.Patience)))
			res, err := http.ReadResponse(bufio.NewReader(conn), req)
			require.NoError(t, err)
			require.Equal(t, 400, res.StatusCode)
			require.True(t, res.Close)
			require.Zero(t, m.All().Len())
		})
	}
}

// Nothing is read while a callback runs. Therefore a peer that answered all pings was closed
// as idle.
func TestPeerLookedIdleWhileACallbackRan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := wsmanager.MustNew(wsmanager.Callbacks{
			OnMessage: func(c *wsmanager.Conn, msg wsmanager.Message) error {
				time.Sleep(10 * time.Minute)
				return c.Send(msg)
			},
		}, optionsWithoutLog())
		c := dialInMemory(t, m)
		pongs := make(chan []byte, 100)
		go func() {
			for p := range pongs {
				_, _ = c.Conn().Write(p) // blocks until the callback has returned
			}
		}()
		pongs <- wstest.Frame(ws.OpText, true, []byte("x"))
		for {
			f, err := c.ReadFrame()
			require.NoError(t, err)
			require.NotEqual(t, ws.OpClose, f.Header.OpCode)
			if f.Header.OpCode == ws.OpText {
				break
			}
			pongs <- wstest.Frame(ws.OpPong, true, nil)
		}
		close(pongs)
		c.Kill()
		synctest.Wait()
	})
}

func TestHugeDurationsOverflowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opts := optionsWithoutLog()
		opts.Timeouts.PingInterval, opts.Timeouts.Idle = math.MaxInt64/10*9, math.MaxInt64
		m := wsmanager.MustNew(wsmanager.Callbacks{}, opts)
		c := dialInMemory(t, m)
		c.ExpectNothing(24 * time.Hour)
		require.Equal(t, 1, m.All().Len())
		c.Kill()
		synctest.Wait()
	})
}

// Progress below one chunk was not counted.
func TestSlowReaderWasCutInTheMiddleOfAChunk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := wsmanager.MustNew(wsmanager.Callbacks{}, optionsWithoutLog())
		c := dialInMemory(t, m)
		require.Equal(t, wsmanager.Sent{Queued: 1}, m.Broadcast(wsmanager.Binary(make([]byte, 60<<10))))
		buf := make([]byte, 2<<10)
		for got := 0; got < 60<<10; got += len(buf) {
			time.Sleep(time.Second) // 30 s in total
			_, err := io.ReadFull(c.Conn(), buf)
			require.NoError(t, err)
		}
		c.Kill()
		synctest.Wait()
	})
}

// cannotHijack implements http.Hijacker but always fails.
type cannotHijack struct{ http.ResponseWriter }

func (cannotHijack) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return nil, nil, errors.New("it was only a wrapper")
}

// A 101 without a hijacked connection left an HTTP connection that a proxy takes for a tunnel.
func TestFailedHijackLeftALiveConnection(t *testing.T) {
	onSocketDrivers(t, testFailedHijackLeftALiveConnection)
}

func testFailedHijackLeftALiveConnection(t *testing.T) {
	opts, log := logged()
	m, url := serve(t, wsmanager.Callbacks{}, opts, func(m *wsmanager.Manager) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { m.ServeHTTP(cannotHijack{w}, r) })
	})
	conn, err := net.Dial("tcp", wstest.Request(t, url).URL.Host)
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(wstest.Patience)))
	require.NoError(t, wstest.Request(t, url).Write(conn))
	_ = wstest.Request(t, url).Write(conn) // the smuggled next request; the connection may be closed already
	answer, err := io.ReadAll(conn)
	if err != nil { // the close may be a reset because the second request is unread
		require.ErrorIs(t, err, syscall.ECONNRESET)
	}
	require.Equal(t, 0, len(answer), "%s", answer)
	require.Contains(t, log.record(t, 0)["err"], "it was only a wrapper")
	require.Zero(t, m.All().Len())
}

// statusHook calls f when the status is written.
type statusHook struct {
	http.ResponseWriter
	f func()
}

func (w statusHook) WriteHeader(code int)                         { w.f(); w.ResponseWriter.WriteHeader(code) }
func (w statusHook) Hijack() (net.Conn, *bufio.ReadWriter, error) { return nil, nil, errors.New("no") }

// If a handshake failed after the connection was registered, a connection found through the
// Manager stayed open indefinitely.
func TestFailedHandshakeLeftAnOpenConnection(t *testing.T) {
	onSocketDrivers(t, testFailedHandshakeLeftAnOpenConnection)
}

func testFailedHandshakeLeftAnOpenConnection(t *testing.T) {
	found := make(chan *wsmanager.Conn, 1)
	_, url := serve(t, wsmanager.Callbacks{
		OnClose: func(*wsmanager.Conn, error) { panic("no OnClose without OnConnect") },
	}, optionsWithoutLog(), func(m *wsmanager.Manager) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			m.ServeHTTP(statusHook{w, func() {
				for c := range m.All().Local() {
					require.NotEmpty(t, c.RemoteAddr().String())
					require.NoError(t, c.Send(wsmanager.Text("not yet")))
					found <- c
				}
			}}, r)
		})
	})
	conn, err := net.Dial("tcp", wstest.Request(t, url).URL.Host)
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, wstest.Request(t, url).Write(conn))
	c := <-found
	<-c.Context().Done()
	require.ErrorIs(t, c.Send(wsmanager.Text("x")), wsmanager.ErrClosed)
}

func TestPanicAfterCloseWasNotLogged(t *testing.T) { onEachDriver(t, testPanicAfterCloseWasNotLogged) }

func testPanicAfterCloseWasNotLogged(t *testing.T) {
	for name, fail := range map[string]func() error{
		"panic": func() error { panic("the text that matters") },
		"error": func() error { return errors.New("the text that matters") },
	} {
		t.Run(name, func(t *testing.T) {
			opts, log := logged()
			_, url := serve(t, wsmanager.Callbacks{OnMessage: func(c *wsmanager.Conn, _ wsmanager.Message) error {
				_ = c.Close(1000, "")
				return fail()
			}}, opts, nil)
			c := dialOver(t, url, nil)
			c.SendText("x")
			c.ExpectClose(1000)
			rec := log.record(t, 0)
			require.EqualValues(t, 1000, rec["code"])
			require.Contains(t, rec["secondary_err"], "the text that matters")
			require.NotEqual(t, "INFO", rec["level"])
		})
	}
}

// pipeWriter is a response writer whose Hijack returns conn.
type pipeWriter struct {
	*httptest.ResponseRecorder
	conn net.Conn
}

func (w pipeWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return w.conn, bufio.NewReadWriter(bufio.NewReader(w.conn), bufio.NewWriter(w.conn)), nil
}

// noAddr is a connection without a remote address.
type noAddr struct{ net.Conn }

func (noAddr) RemoteAddr() net.Addr { return nil }

func TestConnectionWithoutAnAddressCrashed(t *testing.T) {
	opts, log := logged()
	m := wsmanager.MustNew(wsmanager.Callbacks{}, opts)
	client, server := net.Pipe()
	r := wstest.Request(t, "http://example.com")
	r.RemoteAddr = "192.0.2.1:1234"
	status := make(chan int, 1)
	go func() { // net.Pipe has no buffer
		res, err := http.ReadResponse(bufio.NewReader(client), nil)
		if err != nil {
			status <- 0
			return
		}
		status <- res.StatusCode
	}()
	m.ServeHTTP(pipeWriter{httptest.NewRecorder(), noAddr{server}}, r)
	require.Equal(t, http.StatusSwitchingProtocols, <-status)
	require.Equal(t, "192.0.2.1:1234", onlyConn(t, m).RemoteAddr().String())
	require.NoError(t, client.Close())
	require.Equal(t, "192.0.2.1:1234", log.record(t, 0)["peer"])
	require.NoError(t, m.Shutdown(t.Context()))
}

// A wrapped socket without CloseWrite was closed immediately, before the peer had read the
// close frame. Over TLS that could block other connections for seconds.
func TestSocketWithoutCloseWriteWasClosedAtOnce(t *testing.T) {
	onEachDriver(t, testSocketWithoutCloseWriteWasClosedAtOnce)
}

func testSocketWithoutCloseWriteWasClosedAtOnce(t *testing.T) {
	needH1(t, "applies to sockets only")
	m := wsmanager.MustNew(wsmanager.Callbacks{}, onDriver(t, optionsWithoutLog()))
	srv := httptest.NewUnstartedServer(m)
	srv.Listener = plainListener{srv.Listener}
	srv.Start()
	defer srv.Close()
	c := dialOver(t, srv.URL, nil)
	c.SendRaw([]byte("\xff\xff"))
	f, err := c.ReadFrame()
	require.NoError(t, err)
	require.Equal(t, ws.OpClose, f.Header.OpCode)
	c.SendClose(1002, "") // a reset would fail this write or the next one
	c.SendRaw(make([]byte, 100<<10))
	require.NoError(t, c.Conn().Close())
	require.NoError(t, m.Shutdown(t.Context()))
}

// plainListener returns connections that implement only net.Conn, like listeners that count or
// limit connections.
type plainListener struct{ net.Listener }

func (l plainListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return struct{ net.Conn }{c}, err
}

// A client that connected in reaction to another client's message could receive the broadcast
// of that message too: "she is now connected" before "you are now connected".
func TestBroadcastReachedLaterConnections(t *testing.T) {
	onEachDriverAtOnce(t, testBroadcastReachedLaterConnections)
}

func testBroadcastReachedLaterConnections(t *testing.T) {
	m, url := serve(t, wsmanager.Callbacks{
		OnConnect: func(c *wsmanager.Conn) error {
			c.Manager().Broadcast(wsmanager.Text(c.ID()))
			return nil
		},
	}, optionsWithoutLog(), nil)
	for range 200 {
		c := dialOver(t, url, nil)
		_, registered := m.Conn(c.Text())
		require.True(t, registered)
		other := dialOver(t, url, nil)
		first := other.Text()
		c.ExpectText(first) // the message of the other connection, not its own again
		c.Kill()
		other.Kill()
		require.Eventually(t, func() bool { return m.All().Len() == 0 }, wstest.Patience, 100*time.Microsecond)
	}
}

// A close frame that arrived in the same read as the cause of a failure was handled before the
// failure was recorded. A panic or a flood was then reported as a normal close by the peer,
// and OnClose received no error.
func TestCloseFrameHidAnEarlierFailure(t *testing.T) {
	onEachDriver(t, testCloseFrameHidAnEarlierFailure)
}

func testCloseFrameHidAnEarlierFailure(t *testing.T) {
	fine := func(*wsmanager.Conn) error { return nil }
	bomb := compressedFrames(t, ws.OpBinary, make([]byte, 1<<20), 9, 0)
	for name, tt := range map[string]struct {
		end  func(*wsmanager.Conn) error
		bad  []byte
		code int
	}{
		"a panic":          {func(*wsmanager.Conn) error { panic("oh") }, nil, 1011},
		"bad deflate":      {fine, append([]byte{0xc1, 0x84, 0, 0, 0, 0}, "\xff\xff\xff\xff"...), 1007},
		"a deflate bomb":   {fine, bomb, 1009},
		"a flood of pongs": {fine, bytes.Repeat(wstest.Frame(ws.OpPong, true, nil), 1000), 1008},
	} {
		t.Run(name, func(t *testing.T) { requireEndMidWrite(t, tt.end, tt.bad, tt.code) })
	}
}

// On a connection without half-close, the peer's answer to the close frame of a failed
// connection ends it, before Timeouts.Close: a client waits for the server to close first (RFC
// 6455, section 7.1.1).
func TestAnsweredFailureIsClosedAtOnce(t *testing.T) {
	onEachDriver(t, testAnsweredFailureIsClosedAtOnce)
}

func testAnsweredFailureIsClosedAtOnce(t *testing.T) {
	opts := optionsWithoutLog()
	opts.Timeouts.Close = time.Minute
	m := wsmanager.MustNew(wsmanager.Callbacks{
		OnMessage: func(*wsmanager.Conn, wsmanager.Message) error { panic("oh") },
	}, onDriver(t, opts))
	srv := start(t, m, func(srv *httptest.Server) {
		srv.Listener = wrappingListener{srv.Listener, func(c net.Conn) net.Conn { return struct{ net.Conn }{c} }}
	})
	c := dialOver(t, srv.URL, nil)
	c.SendText("x")
	f, err := c.ReadFrame()
	require.NoError(t, err)
	require.Equal(t, ws.OpClose, f.Header.OpCode)
	// The write fails over HTTP/2: the server ends the stream without waiting for the answer.
	_, _ = c.Conn().Write(wstest.Frame(ws.OpClose, true, ws.NewCloseFrameBody(1011, "")))
	require.NoError(t, c.Conn().SetReadDeadline(time.Now().Add(wstest.Patience)))
	_, err = c.Conn().Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF)
}

// The Context ended only after the callback had returned. A callback that works until its
// Context ends therefore outlived its peer, its connection and Shutdown.
func TestContextEndsWhileACallbackRuns(t *testing.T) {
	onEachDriverAtOnce(t, testContextEndsWhileACallbackRuns)
}

func testContextEndsWhileACallbackRuns(t *testing.T) {
	for name, end := range map[string]func(m *wsmanager.Manager, c *wsmanager.Conn){
		"Conns.Close": func(m *wsmanager.Manager, c *wsmanager.Conn) { _ = m.Conns(c.ID()).Close(4000, "") },
		"Shutdown":    func(m *wsmanager.Manager, _ *wsmanager.Conn) { go func() { _ = m.Shutdown(t.Context()) }() },
	} {
		t.Run(name, func(t *testing.T) {
			in, out := make(chan *wsmanager.Conn), make(chan struct{})
			ended := make(chan error, 1)
			giveUp := make(chan struct{})
			opts := optionsWithoutLog()
			opts.Timeouts.Close = 100 * time.Millisecond
			m, url := serve(t, wsmanager.Callbacks{
				OnMessage: func(c *wsmanager.Conn, _ wsmanager.Message) error {
					defer close(out)
					in <- c
					select {
					case <-c.Context().Done():
					case <-giveUp:
					}
					return nil
				},
				OnClose: func(_ *wsmanager.Conn, err error) { ended <- err },
			}, opts, nil)
			client := dialOver(t, url, nil)
			client.SendText("work")
			end(m, <-in)
			select {
			case <-out:
			case <-time.After(wstest.Patience):
				close(giveUp)
				require.Error(t, <-ended)
				t.Fatal("the Context has not ended after the connection was cut")
			}
			require.Error(t, <-ended)
			require.NoError(t, m.Shutdown(t.Context()))
		})
	}
}
