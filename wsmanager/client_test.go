package wsmanager_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// memory is an in-memory network with one server.
type memory struct {
	conns chan *wstest.PipeConn // the server's ends, in the order of the connections
}

func newMemory() *memory { return &memory{conns: make(chan *wstest.PipeConn, 100)} }

// options returns options of a Client that dials into m.
func (m *memory) options() wsmanager.ClientOptions {
	return clientOptions(m.dialOptions(), wsmanager.Reconnect{})
}

func (m *memory) dialOptions() wsmanager.DialOptions {
	opts := dialOptionsWithoutLog()
	opts.Network.Dial = func(context.Context, string, string) (net.Conn, error) {
		client, server := wstest.Pipe(0)
		m.conns <- server
		return client, nil
	}
	return opts
}

// accept accepts the next connection and answers its handshake.
func (m *memory) accept(t *testing.T) *wstest.PipeConn {
	t.Helper()
	conn := receive(t, m.conns)
	_, err := ws.Upgrade(conn)
	require.NoError(t, err)
	return conn
}

// text reads the next frame, which must be a text frame.
func text(t *testing.T, conn net.Conn) string {
	t.Helper()
	f, err := ws.ReadFrame(conn) //nolint:staticcheck // a frame of our own client
	require.NoError(t, err)
	require.True(t, f.Header.Masked)
	require.Equal(t, ws.OpText, f.Header.OpCode)
	return string(ws.UnmaskFrame(f).Payload)
}

// closeAndAwaitAnswer sends a close frame and waits for the answer.
func closeAndAwaitAnswer(t *testing.T, conn net.Conn, code ws.StatusCode) {
	t.Helper()
	require.NoError(t, ws.WriteFrame(conn, ws.NewCloseFrame(ws.NewCloseFrameBody(code, ""))))
	for {
		f, err := ws.ReadFrame(conn) //nolint:staticcheck // a frame of our own client
		require.NoError(t, err)
		if f.Header.OpCode == ws.OpClose {
			break
		}
	}
	require.NoError(t, conn.Close())
}

// startClient returns a Client that runs until the test ends.
func startClient(t *testing.T, cb wsmanager.Callbacks, opts wsmanager.ClientOptions) (*wsmanager.Client, <-chan error) {
	t.Helper()
	cl, err := wsmanager.NewClient("ws://example.com/", cb, opts)
	require.NoError(t, err)
	done := make(chan error, 1)
	var wg sync.WaitGroup
	wg.Go(func() { done <- cl.Run(context.Background()) })
	t.Cleanup(func() {
		require.NoError(t, cl.Close(wsmanager.StatusNormalClosure, ""))
		wg.Wait()
	})
	return cl, done
}

// Messages that were sent before the first connection, or between two connections, arrive
// in order and after the messages that OnConnect sends.
func TestClientKeepsUnsentMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newMemory()
		j := newJournal()
		opts := net.options()
		opts.Reconnect.OnRetry = func(r wsmanager.RetryEvent) { j.note("retry %d", r.Attempt) }
		var cl *wsmanager.Client
		cl, err := wsmanager.NewClient("ws://example.com", wsmanager.Callbacks{
			OnConnect: func(c *wsmanager.Conn) error {
				j.note("connect %d", cl.ConnectCount())
				return c.Send(wsmanager.Text(fmt.Sprintf("restore %d", cl.ConnectCount())))
			},
			OnClose: func(_ *wsmanager.Conn, err error) { j.note("close: %v", err) },
		}, opts)
		require.NoError(t, err)
		require.NoError(t, cl.Send(wsmanager.Text("one")))
		require.NoError(t, cl.SendPrepared(wsmanager.Prepare(wsmanager.Text("two"))))
		require.Equal(t, 2, cl.Unsent())
		_, ok := cl.Conn()
		require.False(t, ok)
		done := make(chan error, 1)
		go func() { done <- cl.Run(context.Background()) }()

		first := net.accept(t)
		require.Equal(t, "restore 1", text(t, first))
		require.Equal(t, "one", text(t, first))
		require.Equal(t, "two", text(t, first))
		require.NoError(t, cl.Flush(t.Context()))
		closeAndAwaitAnswer(t, first, ws.StatusGoingAway)
		synctest.Wait()
		require.NoError(t, cl.Send(wsmanager.Text("three")))
		require.NoError(t, cl.SendContext(t.Context(), wsmanager.Text("four")))
		require.Equal(t, 2, cl.Unsent())

		second := net.accept(t)
		require.Equal(t, "restore 2", text(t, second))
		require.Equal(t, "three", text(t, second))
		require.Equal(t, "four", text(t, second))
		c, ok := cl.Conn()
		require.True(t, ok)
		require.NoError(t, c.Send(wsmanager.Text("of the connection")))
		require.Equal(t, "of the connection", text(t, second))
		require.ErrorIs(t, cl.Run(t.Context()), wsmanager.ErrRunning)

		go func() { _, _ = io.Copy(io.Discard, second) }()
		require.NoError(t, cl.Close(wsmanager.StatusNormalClosure, "done"))
		require.ErrorIs(t, cl.Send(wsmanager.Text("late")), wsmanager.ErrClosed)
		require.NoError(t, <-done)
		require.Equal(t, []string{"connect 1", "close: <nil>", "retry 1", "connect 2", "close: <nil>"}, j.all())
	})
}

// A connection breaks while messages are written, partly written and queued. Messages whose
// last byte was handed to the connection are not sent again. All others are sent again
// completely and in order.
func TestClientResendsUnwrittenMessages(t *testing.T) {
	for _, big := range []int{100, 1000, 10_000, 70_000} {
		for _, read := range []int{0, 1, 5} {
			t.Run(fmt.Sprintf("size=%d,read=%d", big, read), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					net := newMemory()
					opts := net.options()
					opts.Limits.MaxMessageSize = 100_000
					opts.Outbox.Bytes = 10 << 20
					cl, _ := startClient(t, wsmanager.Callbacks{}, opts)
					first := net.accept(t)
					synctest.Wait()
					const messages = 100
					for i := range messages {
						require.NoError(t, cl.Send(wsmanager.Text(fmt.Sprintf("%0*d", big, i))))
					}
					synctest.Wait()
					for i := range read {
						require.Equal(t, fmt.Sprintf("%0*d", big, i), text(t, first))
					}
					synctest.Wait()
					frame := big + 4 + map[bool]int{true: 2, false: 4}[big < 126]
					if big >= 1<<16 {
						frame = big + 14
					}
					left := read + first.Unread()/frame
					first.Reset()

					second := net.accept(t)
					for i := left; i < messages; i++ {
						require.Equal(t, fmt.Sprintf("%0*d", big, i), text(t, second))
					}
					synctest.Wait()
					require.Zero(t, cl.Unsent())
					require.Zero(t, second.Unread())
				})
			})
		}
	}
}

// Flush waits for the messages that were sent before it, not for later ones.
func TestClientFlushes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newMemory()
		opts := net.options()
		opts.Limits.MaxMessageSize = 100_000
		cl, _ := startClient(t, wsmanager.Callbacks{}, opts)
		first := net.accept(t)
		synctest.Wait()
		big := func(letter string) wsmanager.Message { return wsmanager.Text(repeat(letter, 70_000)) } // too big to be joined into one write
		require.NoError(t, cl.Send(big("a")))
		require.NoError(t, cl.Send(big("b")))
		flushed := make(chan error, 1)
		go func() { flushed <- cl.Flush(t.Context()) }()
		synctest.Wait()
		require.NoError(t, cl.Send(big("c")))
		require.Equal(t, repeat("a", 70_000), text(t, first))
		synctest.Wait()
		require.Empty(t, flushed, "b is not written completely")
		first.Reset()
		second := net.accept(t)
		synctest.Wait()
		require.Empty(t, flushed, "b must be sent again")
		require.Equal(t, repeat("b", 70_000), text(t, second))
		synctest.Wait()
		require.Len(t, flushed, 1, "Flush does not wait for later messages")
		require.NoError(t, <-flushed)
		require.Equal(t, repeat("c", 70_000), text(t, second))
		synctest.Wait()
		require.NoError(t, cl.Flush(t.Context()))
		require.NoError(t, second.Close())
	})
}

// The number and size of unsent messages are limited, with or without a connection.
func TestClientBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newMemory()
		opts := net.options()
		opts.Outbox.Messages = 10
		opts.Limits.MaxMessageSize = 100
		opts.Outbox.Bytes = 1000
		cl, err := wsmanager.NewClient("ws://example.com", wsmanager.Callbacks{}, opts)
		require.NoError(t, err)
		for range 10 {
			require.NoError(t, cl.Send(wsmanager.Text("x")))
		}
		require.ErrorIs(t, cl.Send(wsmanager.Text("x")), wsmanager.ErrOutboxFull)
		require.ErrorIs(t, cl.SendPrepared(wsmanager.Prepare(wsmanager.Text("x"))), wsmanager.ErrOutboxFull)
		require.ErrorIs(t, cl.Send(wsmanager.Binary(make([]byte, 1000))), wsmanager.ErrMessageTooBig)
		require.ErrorIs(t, cl.Send(wsmanager.Message{}), wsmanager.ErrMessageType)
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		require.ErrorIs(t, cl.SendContext(ctx, wsmanager.Text("x")), context.DeadlineExceeded)
		require.ErrorIs(t, cl.Flush(ctx), context.DeadlineExceeded)

		const waiting = 20
		results := make(chan error, waiting)
		go func() {
			for i := range waiting {
				results <- cl.SendContext(t.Context(), wsmanager.Text(fmt.Sprint(i)))
			}
		}()
		go func() { _ = cl.Run(context.Background()) }()
		conn := net.accept(t)
		for range 10 {
			require.Equal(t, "x", text(t, conn))
		}
		for i := range waiting {
			require.Equal(t, fmt.Sprint(i), text(t, conn))
			require.NoError(t, <-results)
		}
		require.NoError(t, conn.Close())
		require.NoError(t, cl.Close(wsmanager.StatusNormalClosure, ""))
		synctest.Wait()
		require.ErrorIs(t, cl.SendContext(t.Context(), wsmanager.Text("x")), wsmanager.ErrClosed)
	})
}

// The limit of the delays doubles, and starts again from MinDelay after a stable
// connection.
func TestClientDelays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newMemory()
		opts := network.options()
		down := errors.New("the network is down")
		connect := opts.Network.Dial
		attempts := 0
		opts.Network.Dial = func(ctx context.Context, n, addr string) (net.Conn, error) {
			if attempts++; attempts%10 != 0 {
				return nil, down
			}
			return connect(ctx, n, addr)
		}
		opts.Reconnect.MinDelay, opts.Reconnect.MaxDelay, opts.Reconnect.Factor = 10*time.Millisecond, 500*time.Millisecond, 3
		var delays []time.Duration
		expected := time.Now()
		opts.Reconnect.OnRetry = func(r wsmanager.RetryEvent) {
			require.GreaterOrEqual(t, time.Now(), expected)
			delays = append(delays, r.Delay)
			expected = time.Now().Add(r.Delay)
		}
		_, _ = startClient(t, wsmanager.Callbacks{}, opts)
		for range 2 {
			conn := network.accept(t)
			synctest.Wait()
			time.Sleep(11 * time.Second)
			conn.Reset()
		}
		conn := network.accept(t) // after the lost connection and 9 failed attempts
		synctest.Wait()
		conn.Reset()
		synctest.Wait()
		limits := []float64{0.01, 0.03, 0.09, 0.27, 0.5, 0.5, 0.5, 0.5, 0.5}
		require.Len(t, delays, 9+10+10+1)
		for i, d := range delays[:9] {
			require.LessOrEqual(t, d.Seconds(), limits[i])
		}
		for i, d := range delays[9:18] {
			require.LessOrEqual(t, d.Seconds(), limits[i])
		}
		var sum time.Duration
		for _, d := range delays {
			sum += d
			require.GreaterOrEqual(t, d, time.Duration(0))
		}
		require.Greater(t, sum, 100*time.Millisecond, "the delays are too short")
	})
}

func TestClientGivesUp(t *testing.T) {
	down := errors.New("the network is down")
	client := func(t *testing.T, change func(*wsmanager.ClientOptions)) *wsmanager.RetriesExhaustedError {
		t.Helper()
		opts := clientOptions(dialOptionsWithoutLog(), wsmanager.Reconnect{})
		opts.Network.Dial = func(context.Context, string, string) (net.Conn, error) { return nil, down }
		change(&opts)
		cl, err := wsmanager.NewClient("ws://example.com", wsmanager.Callbacks{}, opts)
		require.NoError(t, err)
		require.NoError(t, cl.Send(wsmanager.Text("never sent")))
		err = cl.Run(t.Context())
		var gaveUp *wsmanager.RetriesExhaustedError
		require.ErrorAs(t, err, &gaveUp)
		require.ErrorIs(t, err, down)
		require.Equal(t, 1, gaveUp.Unsent)
		require.ErrorIs(t, cl.Send(wsmanager.Text("late")), wsmanager.ErrClosed)
		require.ErrorIs(t, cl.Flush(t.Context()), wsmanager.ErrClosed)
		return gaveUp
	}
	t.Run("attempts", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			e := client(t, func(o *wsmanager.ClientOptions) { o.Reconnect.MaxAttempts = 4 })
			require.Equal(t, 4, e.Attempts)
			require.Regexp(t, `^wsmanager: gave up after 4 attempts in .*s, with 1 messages unsent: dialling ws://example.com: the network is down$`, e.Error())
		})
	})
	t.Run("time", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			e := client(t, func(o *wsmanager.ClientOptions) { o.Reconnect.MaxDowntime = time.Hour })
			require.LessOrEqual(t, e.Downtime, time.Hour)
			require.Greater(t, e.Downtime, time.Hour-30*time.Second)
			require.Greater(t, e.Attempts, 120)
		})
	})
	t.Run("Retry returns false", func(t *testing.T) {
		e := client(t, func(o *wsmanager.ClientOptions) {
			o.Reconnect.Retry = func(f wsmanager.Failure) bool { return !errors.Is(f.Err, down) }
		})
		require.Equal(t, 1, e.Attempts)
	})
}

// Close and the end of the context end Run in every state of the Client.
func TestClientEnds(t *testing.T) {
	type end func(*wsmanager.Client, context.CancelCauseFunc)
	enough := errors.New("enough")
	for name, how := range map[string]struct {
		end  end
		want error
	}{
		"close":   {func(cl *wsmanager.Client, _ context.CancelCauseFunc) { _ = cl.Close(4000, "bye") }, nil},
		"context": {func(_ *wsmanager.Client, cancel context.CancelCauseFunc) { cancel(enough) }, enough},
	} {
		t.Run(name, func(t *testing.T) {
			run := func(name string, opts wsmanager.ClientOptions, server func(*testing.T, *wsmanager.Client), after func(*testing.T)) {
				t.Run(name, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						cl, err := wsmanager.NewClient("ws://example.com", wsmanager.Callbacks{}, opts)
						require.NoError(t, err)
						ctx, cancel := context.WithCancelCause(t.Context())
						defer cancel(nil)
						done := make(chan error, 1)
						go func() { done <- cl.Run(ctx) }()
						synctest.Wait()
						server(t, cl)
						how.end(cl, cancel)
						synctest.Wait()
						after(t)
						require.Equal(t, how.want, <-done)
						require.ErrorIs(t, cl.Send(wsmanager.Text("late")), wsmanager.ErrClosed)
					})
				})
			}
			waiting := clientOptions(dialOptionsWithoutLog(), wsmanager.Reconnect{})
			waiting.Network.Dial = func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("down") }
			waiting.Reconnect.MinDelay = math.MaxInt64
			run("while it waits", waiting, func(*testing.T, *wsmanager.Client) {}, func(*testing.T) {})

			silent := newMemory()
			run("while it shakes hands", silent.options(), func(*testing.T, *wsmanager.Client) {}, func(*testing.T) {})

			network := newMemory()
			var conn *wstest.PipeConn
			run("while it is connected", network.options(), func(t *testing.T, cl *wsmanager.Client) {
				conn = network.accept(t)
				synctest.Wait()
				require.NoError(t, cl.Send(wsmanager.Text("first this")))
			}, func(t *testing.T) {
				require.Equal(t, "first this", text(t, conn))
				f, err := ws.ReadFrame(conn) //nolint:staticcheck // a frame of our own client
				require.NoError(t, err)
				require.Equal(t, ws.OpClose, f.Header.OpCode)
				code, _ := ws.ParseCloseFrameData(ws.UnmaskFrame(f).Payload)
				require.EqualValues(t, map[bool]int{true: 1001, false: 4000}[how.want != nil], code)
				require.NoError(t, conn.Close())
			})
		})
	}
	t.Run("before Run", func(t *testing.T) {
		cl, err := wsmanager.NewClient("ws://example.com", wsmanager.Callbacks{}, wsmanager.ClientOptions{})
		require.NoError(t, err)
		require.Error(t, cl.Close(1005, ""))
		require.NoError(t, cl.Close(1000, ""))
		require.NoError(t, cl.Run(t.Context()))
	})
}

// The callbacks of a Client never overlap. After a connection that a callback has ended
// with an error the Client reconnects.
func TestClientCallbacks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newMemory()
		j := newJournal()
		opts := net.options()
		opts.Reconnect.MinDelay = 1
		n := 0
		_, _ = startClient(t, wsmanager.Callbacks{
			OnConnect: func(*wsmanager.Conn) error {
				if n++; n == 1 {
					return errors.New("can't restore")
				}
				j.note("connect %d", n)
				return nil
			},
			OnMessage: func(*wsmanager.Conn, wsmanager.Message) error { panic("oh no") },
			OnClose: func(_ *wsmanager.Conn, err error) {
				time.Sleep(time.Second) // the Client must not reconnect meanwhile
				j.note("close %d: %v", n, err)
			},
		}, opts)
		first := net.accept(t)
		f, err := ws.ReadFrame(first) //nolint:staticcheck // a frame of our own client
		require.NoError(t, err)
		require.Equal(t, ws.OpClose, f.Header.OpCode)
		require.NoError(t, first.Close())
		second := net.accept(t)
		require.NoError(t, ws.WriteFrame(second, ws.NewTextFrame([]byte("hello"))))
		_, _ = io.Copy(io.Discard, second)
		require.NoError(t, second.Close())
		_ = net.accept(t).Close()
		entries := j.await(t, 4)
		require.Equal(t, "close 1: wsmanager: closed here with 1011: can't restore", entries[0])
		require.Equal(t, []string{"connect 2", "close 2: wsmanager: closed here with 1011: a callback panicked: oh no", "connect 3"}, entries[1:4])
	})
}

func TestClientMistakes(t *testing.T) {
	opts := clientOptions(dialOptionsWithoutLog(), wsmanager.Reconnect{MinDelay: time.Minute, MaxDelay: time.Second, Factor: 0.5, MaxAttempts: -1, MaxDowntime: -1, StableAfter: -1})
	opts.Limits.MaxMessageSize = -1
	_, err := wsmanager.NewClient("nonsense", wsmanager.Callbacks{}, opts)
	for _, want := range []string{
		"wsmanager: ClientOptions.Reconnect.MaxDelay: 1s is below Reconnect.MinDelay (1m0s)", "Reconnect.Factor: 0.5 is below 1", "Reconnect.MaxAttempts: -1 is negative",
		"Reconnect.MaxDowntime: -1ns is negative", "Reconnect.StableAfter: -1ns is negative", "ClientOptions.Limits.MaxMessageSize: -1", "the URL",
	} {
		require.ErrorContains(t, err, want)
	}
}
