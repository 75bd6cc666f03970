package wsmanager_test

import (
	"context"
	"errors"
	"fmt"
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

// TestEnds checks every way in which a connection can end: the close code that the client
// reads, the error passed to OnClose, and the log record.
func TestEnds(t *testing.T) { onEachDriver(t, testEnds) }

func testEnds(t *testing.T) {
	text := func(s string) func(*wstest.Client) { return func(c *wstest.Client) { c.SendText(s) } }
	raw := func(s string) func(*wstest.Client) { return func(c *wstest.Client) { c.SendRaw([]byte(s)) } }
	closes := func(code int, reason string) func(*wstest.Client) {
		return func(c *wstest.Client) { c.SendClose(code, reason) }
	}
	onMessage := func(c *wsmanager.Conn, m wsmanager.Message) error {
		switch string(m.Payload) {
		case "error":
			return errors.New("the database is down")
		case "close error":
			return fmt.Errorf("wrapped: %w", &wsmanager.CloseError{Code: 4001, Reason: "go away", Err: errors.New("spammer")})
		case "bad close error":
			return &wsmanager.CloseError{Code: 1006}
		case "close 1000":
			return &wsmanager.CloseError{Code: 1000, Reason: "done"}
		case "panic":
			panic("oops")
		case "goexit":
			runtime.Goexit()
		case "Close":
			return c.Close(1000, "bye")
		case "Close 4002":
			return c.Close(4002, "")
		case "Close, then an error":
			_ = c.Close(4003, "")
			return errors.New("after Close")
		}
		return nil
	}
	for _, tt := range []struct {
		name  string
		do    func(*wstest.Client)
		reads int // the close code that the client reads; 0 for none
		err   string
		is    error
		level string
		by    string
		code  int
	}{
		{"the peer closes with 1000", closes(1000, "bye"), 1000, "<nil>", nil, "INFO", "peer", 1000},
		{"the peer closes with 1001", closes(1001, ""), 1001, "<nil>", nil, "INFO", "peer", 1001},
		{"the peer closes without a code", closes(0, ""), 1005, "<nil>", nil, "INFO", "peer", 1005},
		{"the peer closes with its own code", closes(4000, "mine"), 4000, `wsmanager: closed by the peer with 4000 ("mine")`, nil, "INFO", "peer", 4000},
		{"the peer closes with 1011", closes(1011, ""), 1011, `wsmanager: closed by the peer with 1011`, nil, "INFO", "peer", 1011},
		{"the peer vanishes", (*wstest.Client).Kill, 0, `wsmanager: closed by the peer with 1006: `, nil, "INFO", "peer", 1006},
		{"the peer ends TCP", func(c *wstest.Client) { _ = c.Conn().Close() }, 0, `wsmanager: closed by the peer with 1006: unexpected EOF`, nil, "INFO", "peer", 1006},
		{"in the middle of a frame", func(c *wstest.Client) { c.SendRaw([]byte("\x81\xfe")); _ = c.Conn().Close() }, 0, `wsmanager: closed by the peer with 1006: unexpected EOF`, nil, "INFO", "peer", 1006},

		{"Close", text("Close"), 1000, "<nil>", nil, "INFO", "server", 1000},
		{"Close with a code", text("Close 4002"), 4002, "wsmanager: closed here with 4002", nil, "INFO", "server", 4002},
		{"Close counts more than a later error", text("Close, then an error"), 4003, "wsmanager: closed here with 4003", nil, "WARN", "server", 4003},
		{"OnMessage returns an error", text("error"), 1011, "wsmanager: closed here with 1011: the database is down", nil, "ERROR", "server", 1011},
		{"OnMessage returns a CloseError", text("close error"), 4001, `wsmanager: closed here with 4001 ("go away"): spammer`, nil, "WARN", "server", 4001},
		{"OnMessage returns a CloseError that can't be sent", text("bad close error"), 1011, `wsmanager: closed here with 1011: closed here with 1006`, nil, "ERROR", "server", 1011},
		{"OnMessage returns an orderly CloseError", text("close 1000"), 1000, "<nil>", nil, "INFO", "server", 1000},
		{"OnMessage panics", text("panic"), 1011, "wsmanager: closed here with 1011: a callback panicked: oops", wsmanager.ErrPanic, "ERROR", "server", 1011},
		{"OnMessage ends its goroutine", text("goexit"), 1011, "wsmanager: closed here with 1011: a callback panicked: it ended its goroutine", wsmanager.ErrPanic, "ERROR", "server", 1011},

		{"an unmasked frame", raw("\x81\x01x"), 1002, "wsmanager: closed here with 1002: frames from client to server must be masked", nil, "WARN", "server", 1002},
		{"invalid UTF-8", func(c *wstest.Client) { c.SendRaw(wstest.Frame(ws.OpText, true, []byte("\xff"))) }, 1007, "wsmanager: closed here with 1007: a text is not valid UTF-8", nil, "WARN", "server", 1007},
		{"a message that is too big", text(repeat("x", 65537)), 1009, "wsmanager: closed here with 1009: a message is bigger than 65536 bytes", nil, "WARN", "server", 1009},
		{"a header that promises 2^63-1 bytes", raw("\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xffabcd"), 1009, "wsmanager: closed here with 1009: a message is bigger than 65536 bytes", nil, "WARN", "server", 1009},
		{"a length with its top bit", raw("\x82\xff\xff\xff\xff\xff\xff\xff\xff\xffabcd"), 1002, "wsmanager: closed here with 1002: the payload length has its top bit set", nil, "WARN", "server", 1002},
		{"a close frame whose reason is not valid UTF-8", func(c *wstest.Client) { c.SendRaw(wstest.Frame(ws.OpClose, true, []byte("\x03\xe8bye\xff"))) }, 1007, "wsmanager: closed here with 1007: the reason of a close frame is not valid UTF-8", nil, "WARN", "server", 1007},
		{"a close frame with a bad code", closes(1005, ""), 1002, "wsmanager: closed here with 1002: a close frame has the code 1005", nil, "WARN", "server", 1002},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if strings.HasSuffix(tt.name, "ends its goroutine") {
				needH1(t, "net/http resets the stream of a handler that did not return")
			}
			opts, log := logged()
			j := newJournal()
			var got error
			m, url := serve(t, wsmanager.Callbacks{
				OnConnect: func(*wsmanager.Conn) error { j.note("connect"); return nil },
				OnMessage: onMessage,
				OnClose: func(c *wsmanager.Conn, err error) {
					got = err
					_, registered := c.Manager().Conn(c.ID())
					j.note("close: %v, registered %v, context %v, send %v", err, registered, c.Context().Err(), c.Send(wsmanager.Text("x")))
				},
			}, opts, nil)
			bystander := dialOver(t, url, nil)
			j.await(t, 1)
			c := dialOver(t, url, nil)
			j.await(t, 2)
			tt.do(c)
			if tt.reads != 0 {
				c.ExpectClose(tt.reads)
			}
			entries := j.await(t, 3)
			require.True(t, strings.HasPrefix(entries[2], "close: "+tt.err), entries[2])
			require.True(t, strings.HasSuffix(entries[2], ", registered false, context context canceled, send wsmanager: the connection is closed"), entries[2])
			if tt.is != nil {
				require.ErrorIs(t, got, tt.is)
			}
			if got != nil {
				var ce *wsmanager.CloseError
				require.ErrorAs(t, got, &ce)
				require.EqualValues(t, tt.code, ce.Code)
			}
			rec := log.record(t, 0)
			require.Equal(t, "websocket closed", rec["msg"])
			require.Equal(t, tt.level, rec["level"])
			require.Equal(t, tt.by, rec["by"])
			require.EqualValues(t, tt.code, rec["code"])
			require.Len(t, rec["conn"], 26)

			// The other connection is not affected.
			require.Equal(t, 1, m.All().Len())
			m.Broadcast(wsmanager.Text("still here"))
			bystander.ExpectText("still here")
			require.Len(t, j.all(), 3, "number of journal entries after one OnClose")
			require.Len(t, log.all(), 1, "number of log records")
		})
	}
}

func TestOnConnectFails(t *testing.T) { onEachDriver(t, testOnConnectFails) }

func testOnConnectFails(t *testing.T) {
	for name, fail := range map[string]func() error{
		"error": func() error { return errors.New("no") },
		"panic": func() error { panic("no") },
	} {
		t.Run(name, func(t *testing.T) {
			j := newJournal()
			_, url := serve(t, wsmanager.Callbacks{
				OnConnect: func(*wsmanager.Conn) error { return fail() },
				OnMessage: func(*wsmanager.Conn, wsmanager.Message) error { j.note("message"); return nil },
				OnClose:   func(_ *wsmanager.Conn, err error) { j.note("close: %v", err) },
			}, optionsWithoutLog(), nil)
			c := handshakeOver(t, wstest.Request(t, url), wstest.Frame(ws.OpText, true, []byte("early")))
			c.ExpectClose(1011)
			require.Regexp(t, "^close: wsmanager: closed here with 1011: .*no$", j.await(t, 1)[0])
			require.Len(t, j.all(), 1, "no message after a failed OnConnect")
		})
	}
}

func TestOnClosePanics(t *testing.T) { onEachDriver(t, testOnClosePanics) }

func testOnClosePanics(t *testing.T) {
	opts, log := logged()
	m, url := serve(t, wsmanager.Callbacks{OnClose: func(*wsmanager.Conn, error) { panic("oops") }}, opts, nil)
	c := dialOver(t, url, nil)
	c.SendClose(1000, "")
	c.ExpectClose(1000)
	rec := log.record(t, 1)
	require.Equal(t, "OnClose panicked", rec["msg"])
	require.NotEmpty(t, rec["conn"])
	require.Contains(t, rec["stack"], "testOnClosePanics")
	require.Zero(t, m.All().Len())
}

// The callbacks of one connection run in order and never overlap, regardless of how the frames
// arrive and of other senders.
func TestCallbacksOfOneConnectionNeverOverlap(t *testing.T) {
	onEachDriver(t, testCallbacksOfOneConnectionNeverOverlap)
}

func testCallbacksOfOneConnectionNeverOverlap(t *testing.T) {
	var inside, next atomic.Int32
	j := newJournal()
	enter := func() {
		if inside.Add(1) != 1 {
			j.note("overlap")
		}
	}
	m, url := serve(t, wsmanager.Callbacks{
		OnConnect: func(*wsmanager.Conn) error { enter(); defer inside.Add(-1); runtime.Gosched(); return nil },
		OnMessage: func(_ *wsmanager.Conn, msg wsmanager.Message) error {
			enter()
			defer inside.Add(-1)
			if got, want := string(msg.Payload), fmt.Sprint(next.Add(1)); got != want {
				j.note("got %s, want %s", got, want)
			}
			runtime.Gosched()
			return nil
		},
		OnClose: func(*wsmanager.Conn, error) { enter(); defer inside.Add(-1); j.note("close") },
	}, optionsWithoutLog(), nil)
	c := dialOver(t, url, nil)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				m.Broadcast(wsmanager.Text("noise"))
				time.Sleep(time.Millisecond) // the client does not read: leave room in the outbox
			}
		}
	})
	var stream []byte
	for i := range 2000 {
		stream = append(stream, wstest.Frame(ws.OpText, true, fmt.Append(nil, i+1))...)
	}
	for i := 0; i < len(stream); i += 777 {
		c.SendRaw(stream[i:min(i+777, len(stream))])
	}
	c.SendClose(1000, "")
	require.Equal(t, []string{"close"}, j.await(t, 1))
	close(stop)
	wg.Wait()
	require.EqualValues(t, 2000, next.Load())
}

func TestBroadcastInOnCloseSkipsTheClosedConnection(t *testing.T) {
	onEachDriver(t, testBroadcastInOnCloseSkipsTheClosedConnection)
}

func testBroadcastInOnCloseSkipsTheClosedConnection(t *testing.T) {
	_, url := serve(t, wsmanager.Callbacks{
		OnConnect: func(c *wsmanager.Conn) error {
			c.Manager().Broadcast(wsmanager.Text("+" + c.ID()))
			return nil
		},
		OnMessage: func(c *wsmanager.Conn, _ wsmanager.Message) error { return c.Close(4000, "") },
		OnClose: func(c *wsmanager.Conn, _ error) {
			sent := c.Manager().Broadcast(wsmanager.Text("-" + c.ID()))
			if sent != (wsmanager.Sent{Queued: 1}) {
				panic(fmt.Sprint(sent))
			}
		},
	}, optionsWithoutLog(), nil)
	stays := dialOver(t, url, nil)
	stays.Text()
	leaves := dialOver(t, url, nil)
	id := leaves.Text()
	stays.ExpectText(id)
	leaves.SendText("bye")
	f, err := leaves.ReadFrame()
	require.NoError(t, err)
	require.Equal(t, ws.OpClose, f.Header.OpCode)
	leaves.SendClose(4000, "")
	leaves.ExpectEOF()
	stays.ExpectText("-" + id[1:])
}

func TestMessagesAfterCloseAreDropped(t *testing.T) {
	onEachDriver(t, testMessagesAfterCloseAreDropped)
}

func testMessagesAfterCloseAreDropped(t *testing.T) {
	j := newJournal()
	m, url := serve(t, recordingCallbacks(j), optionsWithoutLog(), nil)
	c := dialOver(t, url, nil)
	j.await(t, 1)
	require.NoError(t, onlyConn(t, m).Close(4000, "enough"))
	require.ErrorIs(t, onlyConn(t, m).Send(wsmanager.Text("x")), wsmanager.ErrClosed)
	c.SendText("too late")
	c.SendPing([]byte("too late as well"))
	require.Equal(t, "enough", c.ExpectClose(4000))
	require.Equal(t, []string{"connect", `close: wsmanager: closed here with 4000 ("enough")`}, j.await(t, 2))
}

// Messages that are sent before Close arrive before the close frame.
func TestCloseIsGraceful(t *testing.T) { onEachDriver(t, testCloseIsGraceful) }

func testCloseIsGraceful(t *testing.T) {
	const messages, size = 200, 4000 // exceeds the socket buffers
	m, url := serve(t, wsmanager.Callbacks{
		OnMessage: func(c *wsmanager.Conn, _ wsmanager.Message) error {
			for i := range messages {
				if err := c.Send(wsmanager.Text(fmt.Sprintf("%0*d", size, i))); err != nil {
					return err
				}
			}
			return c.Close(1000, "that was all")
		},
	}, optionsWithoutLog(), nil)
	c := dialOver(t, url, nil)
	c.SendText("go")
	for i := range messages {
		c.ExpectText(fmt.Sprintf("%0*d", size, i))
	}
	require.Equal(t, "that was all", c.ExpectClose(1000))
	require.NoError(t, m.Shutdown(t.Context()))
}

// If the peer completes its part of the close, the end does not wait for a timeout.
func TestEndsNeedNoTimeout(t *testing.T) { onEachDriver(t, testEndsNeedNoTimeout) }

func testEndsNeedNoTimeout(t *testing.T) {
	for _, tt := range []struct {
		name string
		end  func(*wsmanager.Conn, *wstest.Client)
	}{
		{"closed by the server, and answered", func(s *wsmanager.Conn, c *wstest.Client) {
			_ = s.Close(4000, "")
			c.ExpectClose(4000)
		}},
		{"closed by the client", func(_ *wsmanager.Conn, c *wstest.Client) {
			c.SendClose(4000, "")
			c.ExpectClose(4000)
		}},
		{"failed, and the peer closes its end", func(_ *wsmanager.Conn, c *wstest.Client) {
			c.SendRaw([]byte("\xff\xff"))
			c.ExpectClose(1002)
			_ = c.Conn().Close()
		}},
		{"closed by the server, and answered with an invalid frame", func(s *wsmanager.Conn, c *wstest.Client) {
			_ = s.Close(4000, "")
			f, err := c.ReadFrame()
			require.NoError(t, err)
			require.Equal(t, ws.OpClose, f.Header.OpCode)
			c.SendRaw([]byte("\xff\xff"))
			c.ExpectEOF()
			_ = c.Conn().Close()
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			opts := optionsWithoutLog()
			opts.Timeouts.Close = time.Hour
			j := newJournal()
			m, url := serve(t, wsmanager.Callbacks{OnClose: func(*wsmanager.Conn, error) { j.note("closed") }}, opts, nil)
			c := dialOver(t, url, nil)
			tt.end(onlyConn(t, m), c)
			j.await(t, 1)
			ctx, cancel := context.WithTimeout(t.Context(), wstest.Patience)
			defer cancel()
			require.NoError(t, m.Shutdown(ctx), "the transport is not closed")
		})
	}
}

func TestCloseChecksItsArguments(t *testing.T) { onEachDriver(t, testCloseChecksItsArguments) }

func testCloseChecksItsArguments(t *testing.T) {
	j := newJournal()
	m, url := serve(t, recordingCallbacks(j), optionsWithoutLog(), nil)
	c := dialOver(t, url, nil)
	conn := onlyConn(t, m)
	require.ErrorContains(t, conn.Close(1005, ""), "can't carry the code 1005")
	require.ErrorContains(t, conn.Close(999, ""), "can't carry the code 999")
	require.ErrorContains(t, conn.Close(1000, repeat("x", 124)), "124 bytes")
	require.ErrorContains(t, conn.Close(1000, "\xff"), "UTF-8")
	c.SendText("still open")
	c.ExpectText("still open")
	require.NoError(t, conn.Close(1000, repeat("x", 123)))
	require.NoError(t, conn.Close(1001, "again does nothing"))
	require.Equal(t, repeat("x", 123), c.ExpectClose(1000))
}

func TestContext(t *testing.T) { onEachDriver(t, testContext) }

func testContext(t *testing.T) {
	type key struct{}
	opts := optionsWithoutLog()
	opts.BaseContext = context.WithValue(context.Background(), key{}, "base")
	j := newJournal()
	m, url := serve(t, recordingCallbacks(j), opts, nil)
	c := dialOver(t, url, nil)
	conn := onlyConn(t, m)
	ctx := conn.Context()
	require.Equal(t, "base", ctx.Value(key{}))
	require.NoError(t, ctx.Err())
	require.Same(t, ctx, conn.Context())
	c.SendClose(4000, "mine")
	<-ctx.Done()
	require.ErrorContains(t, context.Cause(ctx), "4000")
	require.ErrorIs(t, conn.Context().Err(), context.Canceled)
}

// A Context that is first requested after the end is already done.
func TestContextAfterTheEnd(t *testing.T) { onEachDriver(t, testContextAfterTheEnd) }

func testContextAfterTheEnd(t *testing.T) {
	ended := make(chan *wsmanager.Conn, 1)
	_, url := serve(t, wsmanager.Callbacks{OnClose: func(c *wsmanager.Conn, _ error) { ended <- c }}, optionsWithoutLog(), nil)
	c := dialOver(t, url, nil)
	c.SendClose(1000, "")
	conn := <-ended
	require.ErrorIs(t, conn.Context().Err(), context.Canceled)
	require.ErrorIs(t, context.Cause(conn.Context()), context.Canceled, "a normal close sets no other cause")
}

func TestPing(t *testing.T) { onEachDriver(t, testPing) }

func testPing(t *testing.T) {
	_, url := serve(t, recordingCallbacks(newJournal()), optionsWithoutLog(), nil)
	c := dialOver(t, url, nil)
	for _, payload := range []string{"", "abc", repeat("p", 125)} {
		c.SendPing([]byte(payload))
		c.ExpectPong([]byte(payload))
	}
	c.SendRaw(wstest.Frame(ws.OpPong, true, []byte("unsolicited")))
	c.SendText("hello")
	c.ExpectText("hello")
}
