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

// The tests here are named after what once went wrong.

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
	}, quiet(), nil)
	c := dialOver(t, url, nil)
	c.SendRaw(append(wstest.Frame(ws.OpText, true, []byte("one")), wstest.Frame(ws.OpText, true, []byte("two"))...))
	require.Equal(t, []string{"one!!!!!!", "two!!!!!!"}, j.await(t, 2))
}

// A component above, or a listener, that sets a read deadline: the connection
// ends with it, and nothing else does. One in an event loop is not net/http's any
// more.
func TestForeignReadDeadlineCrashedTheProcess(t *testing.T) {
	onEachDriver(t, testForeignReadDeadlineCrashedTheProcess)
}

func testForeignReadDeadlineCrashedTheProcess(t *testing.T) {
	needH1(t, "the handler stays; see TestStreamWithAForeignDeadline")
	j := newJournal()
	opts := quiet()
	opts.Driver = wsmanager.DriverGoroutine
	_, url := serve(t, wsmanager.Callbacks{
		OnClose: func(_ *wsmanager.Conn, err error) { j.note("%v", err) },
	}, opts, func(m *wsmanager.Manager) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			m.ServeHTTP(w, r)
			_ = http.NewResponseController(w).SetReadDeadline(time.Unix(1, 0)) // no error: net/http lets it
		})
	})
	c := dialOver(t, url, nil)
	require.Equal(t, "wsmanager: closed by the peer with 1006: the read was interrupted", j.await(t, 1)[0])
	c.ExpectEOF()
}

// net/http waits for the body of a request when it is hijacked.
func TestHandshakeWithABodyWasNeverTimedOut(t *testing.T) {
	onSocketDrivers(t, testHandshakeWithABodyWasNeverTimedOut)
}

func testHandshakeWithABodyWasNeverTimedOut(t *testing.T) {
	m, url := serve(t, wsmanager.Callbacks{}, quiet(), nil)
	for name, spoil := range map[string]func(*http.Request){
		"length":  func(r *http.Request) { r.ContentLength = 1000 },
		"chunked": func(r *http.Request) { r.TransferEncoding = []string{"chunked"} },
	} {
		t.Run(name, func(t *testing.T) {
			req := wstest.Request(t, url)
			body, end := io.Pipe() // never comes
			defer end.Close()
			req.Body = body
			spoil(req)
			conn, err := net.Dial("tcp", req.URL.Host)
			require.NoError(t, err)
			defer conn.Close()
			go func() { _ = req.Write(conn) }() // hangs in the body
			require.NoError(t, conn.SetDeadline(time.Now().Add(wstest.Patience)))
			res, err := http.ReadResponse(bufio.NewReader(conn), req)
			require.NoError(t, err)
			require.Equal(t, 400, res.StatusCode)
			require.True(t, res.Close)
			require.Zero(t, m.Len())
		})
	}
}

// While a callback runs nothing is read, so a peer that answers all pings looked
// idle.
func TestPeerLookedIdleWhileACallbackRan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := wsmanager.MustNew(wsmanager.Callbacks{
			OnMessage: func(c *wsmanager.Conn, msg wsmanager.Message) error {
				time.Sleep(10 * time.Minute)
				return c.Send(msg)
			},
		}, quiet())
		c := inMemory(t, m)
		pongs := make(chan []byte, 100)
		go func() {
			for p := range pongs {
				_, _ = c.Conn().Write(p) // waits until the callback has returned
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

func TestHugeDurationsOverflowedIntoAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opts := quiet()
		opts.PingInterval, opts.IdleTimeout = math.MaxInt64/10*9, math.MaxInt64
		m := wsmanager.MustNew(wsmanager.Callbacks{}, opts)
		c := inMemory(t, m)
		c.ExpectNothing(24 * time.Hour)
		require.Equal(t, 1, m.Len())
		c.Kill()
		synctest.Wait()
	})
}

// Progress of less than a chunk was none.
func TestSlowReaderWasCutInTheMiddleOfAChunk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := wsmanager.MustNew(wsmanager.Callbacks{}, quiet())
		c := inMemory(t, m)
		require.Equal(t, wsmanager.Sent{Queued: 1}, m.Broadcast(wsmanager.Binary(make([]byte, 60<<10))))
		buf := make([]byte, 2<<10)
		for got := 0; got < 60<<10; got += len(buf) {
			time.Sleep(time.Second) // half a minute in all
			_, err := io.ReadFull(c.Conn(), buf)
			require.NoError(t, err)
		}
		c.Kill()
		synctest.Wait()
	})
}

// cannotHijack says that it can.
type cannotHijack struct{ http.ResponseWriter }

func (cannotHijack) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return nil, nil, errors.New("it was only a wrapper")
}

// A 101 without a tunnel left an HTTP connection that a proxy takes for one.
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
	_ = wstest.Request(t, url).Write(conn) // the next, smuggled; it may be ended already
	answer, err := io.ReadAll(conn)
	if err != nil { // with the second request unread the end may be a reset
		require.ErrorIs(t, err, syscall.ECONNRESET)
	}
	require.Equal(t, 0, len(answer), "%s", answer)
	require.Contains(t, log.record(t, 0)["err"], "it was only a wrapper")
	require.Zero(t, m.Len())
}

// watching calls a function when the status is written.
type watching struct {
	http.ResponseWriter
	f func()
}

func (w watching) WriteHeader(code int)                         { w.f(); w.ResponseWriter.WriteHeader(code) }
func (w watching) Hijack() (net.Conn, *bufio.ReadWriter, error) { return nil, nil, errors.New("no") }

// Whoever found a connection whose handshake then broke off held one that was
// open for ever.
func TestBrokenHandshakeLeftAConnectionInLimbo(t *testing.T) {
	onSocketDrivers(t, testBrokenHandshakeLeftAConnectionInLimbo)
}

func testBrokenHandshakeLeftAConnectionInLimbo(t *testing.T) {
	found := make(chan *wsmanager.Conn, 1)
	_, url := serve(t, wsmanager.Callbacks{
		OnClose: func(*wsmanager.Conn, error) { panic("no OnClose without OnConnect") },
	}, quiet(), func(m *wsmanager.Manager) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			m.ServeHTTP(watching{w, func() {
				for c := range m.All() {
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

// pipeWriter is a response writer that is taken over to become conn.
type pipeWriter struct {
	*httptest.ResponseRecorder
	conn net.Conn
}

func (w pipeWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return w.conn, bufio.NewReadWriter(bufio.NewReader(w.conn), bufio.NewWriter(w.conn)), nil
}

// noAddr is a connection that does not know its other end.
type noAddr struct{ net.Conn }

func (noAddr) RemoteAddr() net.Addr { return nil }

func TestConnectionWithoutAnAddressCrashed(t *testing.T) {
	opts, log := logged()
	m := wsmanager.MustNew(wsmanager.Callbacks{}, opts)
	client, server := net.Pipe()
	r := wstest.Request(t, "http://example.com")
	r.RemoteAddr = "192.0.2.1:1234"
	status := make(chan int, 1)
	go func() { // a pipe takes nothing that nobody reads
		res, err := http.ReadResponse(bufio.NewReader(client), nil)
		if err != nil {
			status <- 0
			return
		}
		status <- res.StatusCode
	}()
	m.ServeHTTP(pipeWriter{httptest.NewRecorder(), noAddr{server}}, r)
	require.Equal(t, http.StatusSwitchingProtocols, <-status)
	require.Equal(t, "192.0.2.1:1234", only(t, m).RemoteAddr().String())
	require.NoError(t, client.Close())
	require.Equal(t, "192.0.2.1:1234", log.record(t, 0)["remote"])
	require.NoError(t, m.Shutdown(t.Context()))
}

// A wrapped socket without CloseWrite was closed at once, with the close frame
// still unread, and over TLS that could hold up everybody for seconds.
func TestSocketWithoutCloseWriteWasClosedAtOnce(t *testing.T) {
	onEachDriver(t, testSocketWithoutCloseWriteWasClosedAtOnce)
}

func testSocketWithoutCloseWriteWasClosedAtOnce(t *testing.T) {
	needH1(t, "it is about sockets")
	m := wsmanager.MustNew(wsmanager.Callbacks{}, on(t, quiet()))
	srv := httptest.NewUnstartedServer(m)
	srv.Listener = plainListener{srv.Listener}
	srv.Start()
	defer srv.Close()
	c := dialOver(t, srv.URL, nil)
	c.SendRaw([]byte("\xff\xff"))
	f, err := c.ReadFrame()
	require.NoError(t, err)
	require.Equal(t, ws.OpClose, f.Header.OpCode)
	c.SendClose(1002, "") // a reset would fail this, or the next
	c.SendRaw(make([]byte, 100<<10))
	require.NoError(t, c.Conn().Close())
	require.NoError(t, m.Shutdown(t.Context()))
}

// plainListener hands out connections that have nothing but net.Conn's methods,
// as those do that count or limit.
type plainListener struct{ net.Listener }

func (l plainListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return struct{ net.Conn }{c}, err
}

// Whoever connected because another had got a broadcast could get it as well:
// "she is now connected" before "you are now connected".
func TestBroadcastReachedThoseWhoCameAfterIt(t *testing.T) {
	onEachDriverAtOnce(t, testBroadcastReachedThoseWhoCameAfterIt)
}

func testBroadcastReachedThoseWhoCameAfterIt(t *testing.T) {
	m, url := serve(t, wsmanager.Callbacks{
		OnConnect: func(c *wsmanager.Conn) error {
			c.Manager().Broadcast(wsmanager.Text(c.ID()))
			return nil
		},
	}, quiet(), nil)
	for range 200 {
		c := dialOver(t, url, nil)
		_, registered := m.Conn(c.Text())
		require.True(t, registered)
		other := dialOver(t, url, nil)
		first := other.Text()
		c.ExpectText(first) // the other's own, not its own again
		c.Kill()
		other.Kill()
		require.Eventually(t, func() bool { return m.Len() == 0 }, wstest.Patience, 100*time.Microsecond)
	}
}

// A close frame that had arrived together with what failed the connection was found
// before the failure was noted: a panic, or a flood, ended as an orderly close of the
// peer's, and OnClose was told nothing.
func TestCloseFrameBehindAFailureHidIt(t *testing.T) {
	onEachDriver(t, testCloseFrameBehindAFailureHidIt)
}

func testCloseFrameBehindAFailureHidIt(t *testing.T) {
	fine := func(*wsmanager.Conn) error { return nil }
	bomb := compressedFrames(t, ws.OpBinary, make([]byte, 1<<20), 9, 0)
	for name, tt := range map[string]struct {
		end  func(*wsmanager.Conn) error
		bad  []byte
		code int
	}{
		"a panic":          {func(*wsmanager.Conn) error { panic("oh") }, nil, 1011},
		"bad deflate":      {fine, append([]byte{0xc1, 0x84, 0, 0, 0, 0}, "\xff\xff\xff\xff"...), 1007},
		"a bomb":           {fine, bomb, 1009},
		"a flood of pongs": {fine, bytes.Repeat(wstest.Frame(ws.OpPong, true, nil), 1000), 1008},
	} {
		t.Run(name, func(t *testing.T) { endsInTheMiddle(t, tt.end, tt.bad, tt.code) })
	}
}

// Over a connection that can't be shut in one direction, the peer's answer to
// the close frame of a failed connection ends it, not CloseTimeout: a client
// waits for the server to close first (RFC 6455, section 7.1.1).
func TestAnsweredFailureIsClosedAtOnce(t *testing.T) {
	onEachDriver(t, testAnsweredFailureIsClosedAtOnce)
}

func testAnsweredFailureIsClosedAtOnce(t *testing.T) {
	opts := quiet()
	opts.CloseTimeout = time.Minute
	m := wsmanager.MustNew(wsmanager.Callbacks{
		OnMessage: func(*wsmanager.Conn, wsmanager.Message) error { panic("oh") },
	}, on(t, opts))
	srv := start(t, m, func(srv *httptest.Server) {
		srv.Listener = wrappingListener{srv.Listener, func(c net.Conn) net.Conn { return struct{ net.Conn }{c} }}
	})
	c := dialOver(t, srv.URL, nil)
	c.SendText("x")
	f, err := c.ReadFrame()
	require.NoError(t, err)
	require.Equal(t, ws.OpClose, f.Header.OpCode)
	// An error: over HTTP/2 it is closed without waiting for the answer.
	_, _ = c.Conn().Write(wstest.Frame(ws.OpClose, true, ws.NewCloseFrameBody(1011, "")))
	require.NoError(t, c.Conn().SetReadDeadline(time.Now().Add(wstest.Patience)))
	_, err = c.Conn().Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF)
}

// A callback that works until the connection's Context ends was never told: the
// Context ended only after the callback had returned. So it outlived its peer,
// its connection and Shutdown.
func TestContextEndsWhileACallbackRuns(t *testing.T) {
	onEachDriver(t, testContextEndsWhileACallbackRuns)
}

func testContextEndsWhileACallbackRuns(t *testing.T) {
	for name, end := range map[string]func(m *wsmanager.Manager, c *wsmanager.Conn){
		"CloseConn": func(m *wsmanager.Manager, c *wsmanager.Conn) { _ = m.CloseConn(c.ID(), 4000, "") },
		"Shutdown":  func(m *wsmanager.Manager, _ *wsmanager.Conn) { go func() { _ = m.Shutdown(t.Context()) }() },
	} {
		t.Run(name, func(t *testing.T) {
			in, out := make(chan *wsmanager.Conn), make(chan struct{})
			ended := make(chan error, 1)
			giveUp := make(chan struct{})
			opts := quiet()
			opts.CloseTimeout = 100 * time.Millisecond
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
				t.Fatal("the connection was cut, and its Context has not ended")
			}
			require.Error(t, <-ended)
			require.NoError(t, m.Shutdown(t.Context()))
		})
	}
}
