package wsmanager_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// Ways in which a callback can harm its driver: immediately, on the driver's own goroutine,
// or later, after the driver has moved on without it. The connection ends correctly,
// another connection is served during and after it, and Shutdown finds nothing left.
func TestCallbacksThatMisbehave(t *testing.T) { onEachDriver(t, testCallbacksThatMisbehave) }

func testCallbacksThatMisbehave(t *testing.T) {
	acts := []struct {
		name string
		do   func(c *wsmanager.Conn, others func() []*wsmanager.Conn) error
		code int // close code that the client receives if OnMessage or OnConnect misbehaves
	}{
		{"panics", func(*wsmanager.Conn, func() []*wsmanager.Conn) error { panic("oops") }, 1011},
		{"exits", func(*wsmanager.Conn, func() []*wsmanager.Conn) error { runtime.Goexit(); return nil }, 1011},
		{"fails", func(*wsmanager.Conn, func() []*wsmanager.Conn) error { return errors.New("no") }, 1011},
		{"closes itself", func(c *wsmanager.Conn, _ func() []*wsmanager.Conn) error { return c.Close(4000, "") }, 4000},
		{"closes all", func(c *wsmanager.Conn, others func() []*wsmanager.Conn) error {
			for _, other := range others() {
				if err := other.Close(4001, ""); err != nil {
					return err
				}
			}
			return c.Close(4001, "")
		}, 4001},
		{"panics after it has closed itself", func(c *wsmanager.Conn, _ func() []*wsmanager.Conn) error {
			_ = c.Close(4002, "")
			panic("oops")
		}, 4002},
		{"exits after it has closed itself", func(c *wsmanager.Conn, _ func() []*wsmanager.Conn) error {
			_ = c.Close(4003, "")
			runtime.Goexit()
			return nil
		}, 4003},
	}
	for _, act := range acts {
		for _, in := range []string{"OnConnect", "OnMessage", "OnClose"} {
			for _, after := range []time.Duration{0, 20 * time.Millisecond} {
				t.Run(fmt.Sprintf("%s %s after %v", in, act.name, after), func(t *testing.T) {
					t.Parallel() // the test mostly waits
					(&misbehaviour{in: in, after: after, do: act.do, code: act.code}).test(t)
				})
			}
		}
	}
}

// misbehaviour is one row of TestCallbacksThatMisbehave.
type misbehaviour struct {
	in    string
	after time.Duration
	do    func(c *wsmanager.Conn, others func() []*wsmanager.Conn) error
	code  int

	connects, closes atomic.Int64
}

func (b *misbehaviour) test(t *testing.T) {
	if strings.Contains(t.Name(), "exits") {
		needH1(t, "net/http resets the stream of a handler that did not return")
	}
	// The user name identifies the misbehaving connection.
	act := func(in string, c *wsmanager.Conn) error {
		if in != b.in || c.User() != "bad" {
			return nil
		}
		time.Sleep(b.after) // until the event loop continues without this callback
		return b.do(c, func() (others []*wsmanager.Conn) {
			for other := range c.Manager().All().Local() {
				if other.User() == "victim" {
					others = append(others, other)
				}
			}
			return others
		})
	}
	m := wsmanager.MustNew(wsmanager.Callbacks{
		OnAccept: func(r *http.Request) (wsmanager.Accept, error) {
			return wsmanager.Accept{User: r.URL.Query().Get("user")}, nil
		},
		OnConnect: func(c *wsmanager.Conn) error { b.connects.Add(1); return act("OnConnect", c) },
		OnMessage: func(c *wsmanager.Conn, m wsmanager.Message) error {
			if err := act("OnMessage", c); err != nil {
				return err
			}
			return c.Send(m)
		},
		OnClose: func(c *wsmanager.Conn, _ error) {
			b.closes.Add(1)
			_ = act("OnClose", c) // OnClose has no result
		},
	}, onDriver(t, optionsWithoutLog()))
	srv := httptest.NewUnstartedServer(m)
	serveDriverProtocol(t, srv)
	srv.Start()
	defer srv.Close()
	bystander := dialOver(t, srv.URL+"?user=bystander", nil)
	echo := func() {
		bystander.SendText("x")
		bystander.ExpectText("x")
	}
	victim := dialOver(t, srv.URL+"?user=victim", nil)
	echo()
	bad := dialOver(t, srv.URL+"?user=bad", nil)
	echo()
	code := b.code
	switch b.in {
	case "OnMessage":
		bad.SendText("go")
	case "OnClose":
		bad.SendClose(1000, "")
		code = 1000
	}
	bad.ExpectClose(code)
	echo()
	if b.code == 4001 {
		victim.ExpectClose(4001)
	} else {
		victim.SendText("still here")
		victim.ExpectText("still here")
	}
	echo()
	require.NoError(t, bad.Conn().Close())
	require.NoError(t, victim.Conn().Close())

	ctx, cancel := context.WithTimeout(t.Context(), wstest.Patience)
	defer cancel()
	done := make(chan error)
	go func() { done <- m.Shutdown(ctx) }()
	bystander.ExpectClose(1001)
	require.NoError(t, <-done)
	require.EqualValues(t, 3, b.connects.Load())
	require.EqualValues(t, 3, b.closes.Load())
	require.Zero(t, m.All().Len())
}

// A connection ends even if both its OnConnect and its OnClose fail in the worst way.
func TestOnCloseThatExitsAfterOnConnectFailed(t *testing.T) {
	onEachDriver(t, testOnCloseThatExitsAfterOnConnectFailed)
}

func testOnCloseThatExitsAfterOnConnectFailed(t *testing.T) {
	needH1(t, "net/http resets the stream of a handler that did not return")
	for name, connect := range map[string]func(*wsmanager.Conn) error{
		"fails":  func(*wsmanager.Conn) error { return errors.New("no") },
		"panics": func(*wsmanager.Conn) error { panic("no") },
		"exits":  func(*wsmanager.Conn) error { runtime.Goexit(); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			m, url := serve(t, wsmanager.Callbacks{
				OnConnect: connect,
				OnClose:   func(*wsmanager.Conn, error) { runtime.Goexit() },
			}, optionsWithoutLog(), nil)
			c := dialOver(t, url, nil)
			c.ExpectClose(1011)
			require.NoError(t, c.Conn().Close())
			ctx, cancel := context.WithTimeout(t.Context(), wstest.Patience)
			defer cancel()
			require.NoError(t, m.Shutdown(ctx))
		})
	}
}

// The close frame arrives although the peer has sent more than was read. Closing a socket
// with unread bytes causes a reset, which would discard the frame.
func TestCloseFrameArrivesBesideUnreadBytes(t *testing.T) {
	onEachDriver(t, testCloseFrameArrivesBesideUnreadBytes)
}

func testCloseFrameArrivesBesideUnreadBytes(t *testing.T) {
	for name, end := range map[string]func(){
		"after a panic":  func() { panic("oops") },
		"after a Goexit": runtime.Goexit,
	} {
		t.Run(name, func(t *testing.T) {
			if name == "after a Goexit" {
				needH1(t, "net/http resets the stream of a handler that did not return")
			}
			in, release := make(chan struct{}), make(chan struct{})
			_, url := serve(t, wsmanager.Callbacks{
				OnMessage: func(*wsmanager.Conn, wsmanager.Message) error {
					close(in)
					<-release
					end()
					return nil
				},
			}, optionsWithoutLog(), nil)
			c := dialOver(t, url, nil)
			c.SendText("x")
			<-in
			c.SendText(repeat("y", 60_000)) // more than one read takes
			close(release)
			f, err := c.ReadFrame()
			require.NoError(t, err, "a reset discarded the close frame")
			require.Equal(t, ws.OpClose, f.Header.OpCode)
			if name == "after a Goexit" && usesLoops(t) {
				return // the loop ends the socket when the callback's goroutine exits, and reads no more: a reset is possible
			}
			_, err = c.Conn().Read(make([]byte, 1))
			require.ErrorIs(t, err, io.EOF, "no EOF after the close frame")
		})
	}
}

// A callback that calls Shutdown waits for itself. Shutdown returns an error when its
// context ends. All other connections have ended by then.
func TestShutdownInsideACallback(t *testing.T) { onEachDriverAtOnce(t, testShutdownInsideACallback) }

func testShutdownInsideACallback(t *testing.T) {
	for _, in := range []string{"OnConnect", "OnMessage", "OnClose"} {
		t.Run(in, func(t *testing.T) {
			result := make(chan error, 1)
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			act := func(where string, c *wsmanager.Conn) {
				if where == in && c.User() == "bad" {
					result <- c.Manager().Shutdown(ctx)
				}
			}
			j := newJournal()
			m, url := serve(t, wsmanager.Callbacks{
				OnAccept: func(r *http.Request) (wsmanager.Accept, error) {
					return wsmanager.Accept{User: r.URL.Query().Get("user")}, nil
				},
				OnConnect: func(c *wsmanager.Conn) error { act("OnConnect", c); return nil },
				OnMessage: func(c *wsmanager.Conn, _ wsmanager.Message) error { act("OnMessage", c); return nil },
				OnClose:   func(c *wsmanager.Conn, err error) { act("OnClose", c); j.note("closed") },
			}, optionsWithoutLog(), nil)
			other := dialOver(t, url, nil)
			bad := dialOver(t, url+"?user=bad", nil)
			switch in {
			case "OnMessage":
				bad.SendText("x")
			case "OnClose":
				bad.SendClose(1000, "")
			}
			other.ExpectClose(1001)
			cancel()
			err := <-result
			require.ErrorIs(t, err, context.Canceled)
			require.ErrorContains(t, err, "1 callbacks have not returned")
			require.Len(t, j.await(t, 2), 2)
			require.NoError(t, m.Shutdown(t.Context()), "the callback has returned")
		})
	}
}

// ServeHTTP does not wait for callbacks, not even for those of a connection that ended
// before ServeHTTP began to serve it.
func TestServeHTTPDoesNotRunOnClose(t *testing.T) { onEachDriver(t, testServeHTTPDoesNotRunOnClose) }

func testServeHTTPDoesNotRunOnClose(t *testing.T) {
	needH1(t, "the handler has to stay")
	release, closed := make(chan struct{}), make(chan struct{})
	opts := optionsWithoutLog()
	opts.Outbox.Messages = 1
	returned := make(chan struct{})
	m, url := serve(t, wsmanager.Callbacks{
		OnClose: func(*wsmanager.Conn, error) { close(closed); <-release },
	}, opts, func(m *wsmanager.Manager) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			m.ServeHTTP(during101{w, func() {
				for c := range m.All().Local() { // no write is possible yet, so the slow-consumer policy closes the connection
					_ = c.Send(wsmanager.Text("1"))
					_ = c.Send(wsmanager.Text("2"))
				}
			}}, r)
			close(returned)
		})
	})
	c := dialOver(t, url, nil)
	<-closed
	select {
	case <-returned:
	case <-time.After(wstest.Patience):
		t.Error("ServeHTTP waits for OnClose")
	}
	close(release)
	c.Kill()
	require.NoError(t, m.Shutdown(t.Context()))
}

// during101 calls f before the handshake response is written.
type during101 struct {
	http.ResponseWriter
	f func()
}

func (w during101) Unwrap() http.ResponseWriter { return w.ResponseWriter }
func (w during101) WriteHeader(status int)      { w.f(); w.ResponseWriter.WriteHeader(status) }

// While OnConnect runs, the connection is not read. Messages to it are written all the
// same, and its queue drains.
func TestBroadcastsDuringOnConnectAreWritten(t *testing.T) {
	onEachDriverAtOnce(t, testBroadcastsDuringOnConnectAreWritten)
}

func testBroadcastsDuringOnConnectAreWritten(t *testing.T) {
	const messages, size = 300, 20_000 // far more than the socket's buffers can hold
	in, release := make(chan struct{}), make(chan struct{})
	j := newJournal()
	opts := optionsWithoutLog()
	opts.Outbox.Messages, opts.Outbox.Bytes = messages, 2*messages*size
	m := wsmanager.MustNew(wsmanager.Callbacks{
		OnConnect: func(*wsmanager.Conn) error { close(in); <-release; j.note("connected"); return nil },
		OnMessage: func(_ *wsmanager.Conn, m wsmanager.Message) error { j.note("%s", m.Payload); return nil },
	}, onDriver(t, opts))
	srv := start(t, m, func(srv *httptest.Server) { srv.Listener = smallBuffers{srv.Listener} })
	c := handshakeOver(t, wstest.Request(t, srv.URL), wstest.Frame(ws.OpText, true, []byte("early")))
	<-in
	c.SendText("late")
	for i := range messages {
		require.Equal(t, wsmanager.Sent{Queued: 1}, m.Broadcast(wsmanager.Text(fmt.Sprintf("%0*d", size, i))))
	}
	for i := range messages {
		c.ExpectText(fmt.Sprintf("%0*d", size, i))
	}
	awaitCondition(t, func() bool { return m.Stats().MessagesOut == messages })
	require.Empty(t, j.all(), "OnConnect still runs")
	close(release)
	require.Equal(t, []string{"connected", "early", "late"}, j.await(t, 3))
}

// A send that blocks inside a callback blocks its own connection only, and continues when
// the peer reads.
func TestSendContextInsideACallbackWaits(t *testing.T) {
	onEachDriverAtOnce(t, testSendContextInsideACallbackWaits)
}

func testSendContextInsideACallbackWaits(t *testing.T) {
	const messages, size = 300, 20_000
	opts := optionsWithoutLog()
	opts.Outbox.Messages = 2
	opts.Timeouts.Write = time.Minute // the peer reads late on a busy machine
	waiting := make(chan struct{})
	sent := make(chan error, 1)
	m := wsmanager.MustNew(wsmanager.Callbacks{
		OnMessage: func(c *wsmanager.Conn, m wsmanager.Message) error {
			if string(m.Payload) != "much" {
				return c.Send(m)
			}
			var err error
			for i := 0; i < messages && err == nil; i++ {
				if i == messages/2 {
					close(waiting)
				}
				err = c.SendContext(context.Background(), wsmanager.Text(fmt.Sprintf("%0*d", size, i)))
			}
			sent <- err
			return err
		},
	}, onDriver(t, opts))
	srv := start(t, m, func(srv *httptest.Server) { srv.Listener = smallBuffers{srv.Listener} })
	c := dialOver(t, srv.URL, nil)
	other := dialOver(t, srv.URL, nil)
	c.SendText("much")
	c.SendText("the next")
	for i := range 100 {
		other.SendText(fmt.Sprint(i))
		other.ExpectText(fmt.Sprint(i))
	}
	select {
	case <-waiting:
		t.Fatal("the kernel took 3 MB for a peer that does not read")
	default:
	}
	for i := range messages {
		c.ExpectText(fmt.Sprintf("%0*d", size, i))
	}
	c.ExpectText("the next")
	require.NoError(t, <-sent)
	require.Zero(t, m.Stats().Dropped)
}

// A callback that never returns costs one goroutine and does not affect other connections.
func TestCallbacksThatBlockForEver(t *testing.T) {
	onEachDriver(t, testCallbacksThatBlockForEver)
}

func testCallbacksThatBlockForEver(t *testing.T) {
	const blocked, rounds = 50, 50
	release := make(chan struct{})
	var in sync.WaitGroup
	in.Add(blocked)
	m, url := serve(t, wsmanager.Callbacks{
		OnMessage: func(c *wsmanager.Conn, m wsmanager.Message) error {
			if string(m.Payload) == "block" {
				in.Done()
				<-release
			}
			return c.Send(m)
		},
	}, optionsWithoutLog(), nil)
	others := make([]*wstest.Client, 10)
	for i := range others {
		others[i] = dialOver(t, url, nil)
	}
	var stuck []*wstest.Client
	for range blocked {
		stuck = append(stuck, dialOver(t, url, nil))
	}
	before := runtime.NumGoroutine()
	for i, c := range stuck {
		c.SendText("block")
		c.SendText(fmt.Sprint("after ", i)) // the message is not read
		others[i%len(others)].SendText("between")
		others[i%len(others)].ExpectText("between")
	}
	in.Wait()
	for range rounds {
		for _, c := range others {
			c.SendText("x")
			c.ExpectText("x")
		}
	}
	require.Less(t, runtime.NumGoroutine(), before+blocked+20)

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- m.Shutdown(ctx) }()
	for _, c := range others {
		c.ExpectClose(1001)
	}
	cancel()
	err := <-done
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorContains(t, err, "50 callbacks have not returned")
	close(release)
	require.NoError(t, m.Shutdown(t.Context()), "the callbacks have returned")
}
