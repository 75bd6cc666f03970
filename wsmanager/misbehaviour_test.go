package wsmanager_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// nonReturning are the ways in which a function of the application can end without returning.
var nonReturning = map[string]func(){
	"panics":          func() { panic("oops") },
	"panics with nil": func() { panic(nil) },
	"exits":           runtime.Goexit,
}

// requireNoConns checks that Shutdown succeeds and no connection remains.
func requireNoConns(t *testing.T, m *wsmanager.Manager) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), wstest.Patience)
	defer cancel()
	require.NoError(t, m.Shutdown(ctx))
	require.Zero(t, m.All().Len())
}

// If OnAccept does not return, only its request fails. The slot is released and the failure is
// counted.
func TestOnAcceptThatMisbehaves(t *testing.T) { onEachDriver(t, testOnAcceptThatMisbehaves) }

func testOnAcceptThatMisbehaves(t *testing.T) {
	for name, do := range nonReturning {
		t.Run(name, func(t *testing.T) {
			opts := optionsWithoutLog()
			opts.MaxConnections = 1
			m, url := serve(t, wsmanager.Callbacks{OnAccept: func(r *http.Request) (wsmanager.Accept, error) {
				if r.URL.Path == "/bad" {
					do()
				}
				return wsmanager.Accept{}, nil
			}}, opts, nil)
			for range 3 {
				_, err := roundTripOver(t, wstest.Request(t, url+"/bad")) //nolint:bodyclose // no response
				require.Error(t, err)
			}
			c := dialOver(t, url, nil)
			c.SendClose(1000, "")
			c.ExpectClose(1000)
			require.EqualValues(t, 3, m.Stats().Refused.Failed)
			requireNoConns(t, m)
		})
	}
}

// A callback that never returns does not delay Shutdown beyond its deadline, and is counted in
// its error.
func TestShutdownWithACallbackThatBlocks(t *testing.T) {
	onEachDriverAtOnce(t, testShutdownWithACallbackThatBlocks)
}

func testShutdownWithACallbackThatBlocks(t *testing.T) {
	for _, in := range []string{"OnAccept", "OnConnect", "OnMessage", "OnClose", "a filter", "an encoder"} {
		t.Run(in, func(t *testing.T) {
			t.Parallel() // mostly waits
			inside, release := make(chan struct{}), make(chan struct{})
			var once sync.Once
			block := func(where string) {
				if where == in {
					once.Do(func() { close(inside) })
					<-release
				}
			}
			j := newJournal()
			opts := optionsWithoutLog()
			opts.Timeouts.Close = 50 * time.Millisecond
			m, url := serve(t, wsmanager.Callbacks{
				OnAccept:  func(*http.Request) (wsmanager.Accept, error) { block("OnAccept"); return wsmanager.Accept{}, nil },
				OnConnect: func(*wsmanager.Conn) error { block("OnConnect"); return nil },
				OnMessage: func(c *wsmanager.Conn, _ wsmanager.Message) error {
					block("OnMessage")
					c.Manager().All().WhereLocal(func(*wsmanager.Conn) bool { block("a filter"); return true }).Send(wsmanager.Text("x"))
					c.Manager().All().SendPrepared(wsmanager.PrepareFunc(func(wsmanager.Variant) (wsmanager.Message, error) {
						block("an encoder")
						return wsmanager.Text("y"), nil
					}))
					return nil
				},
				OnClose: func(*wsmanager.Conn, error) { block("OnClose"); j.note("closed") },
			}, opts, nil)
			var wg sync.WaitGroup
			defer wg.Wait()
			if in == "OnAccept" {
				wg.Go(func() {
					_, _ = roundTripOver(t, wstest.Request(t, url)) //nolint:bodyclose // refused or cut off
				})
			} else {
				c := dialOver(t, url, nil)
				if in == "OnClose" {
					c.SendClose(1000, "")
				} else if in != "OnConnect" {
					c.SendText("go")
				}
			}
			receive(t, inside)
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			err := m.Shutdown(ctx)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.ErrorContains(t, err, "1 callbacks have not returned")
			close(release)
			requireNoConns(t, m)
			if in != "OnAccept" {
				require.Equal(t, []string{"closed"}, j.all())
			}
		})
	}
}

// A filter or an encoder that panics does so in the callback that called it. Only the
// connection of that callback ends, once. Other broadcasts are neither delayed nor lost.
func TestFiltersAndEncodersThatMisbehave(t *testing.T) {
	onEachDriver(t, testFiltersAndEncodersThatMisbehave)
}

func testFiltersAndEncodersThatMisbehave(t *testing.T) {
	for name, do := range nonReturning {
		for what, broadcast := range map[string]func(m *wsmanager.Manager){
			"a filter": func(m *wsmanager.Manager) {
				m.All().WhereLocal(func(*wsmanager.Conn) bool { do(); return true }).Send(wsmanager.Text("never"))
			},
			"a group's filter": func(m *wsmanager.Manager) {
				m.Group("all").WhereLocal(func(*wsmanager.Conn) bool { do(); return true }).Send(wsmanager.Text("never"))
			},
			"an encoder": func(m *wsmanager.Manager) {
				m.All().SendPrepared(wsmanager.PrepareFunc(func(wsmanager.Variant) (wsmanager.Message, error) { do(); return wsmanager.Message{}, nil }))
			},
		} {
			for _, in := range []string{"OnConnect", "OnMessage", "OnClose"} {
				t.Run(what+" "+name+" in "+in, func(t *testing.T) {
					if name == "exits" {
						needH1(t, "net/http resets the stream of a goroutine that exits")
					}
					var closes atomic.Int32
					act := func(where string, c *wsmanager.Conn) {
						if where == in && c.User() == "bad" {
							broadcast(c.Manager())
						}
					}
					m, url := serve(t, wsmanager.Callbacks{
						OnAccept: func(r *http.Request) (wsmanager.Accept, error) {
							return wsmanager.Accept{User: r.URL.Query().Get("user"), Groups: []string{"all"}}, nil
						},
						OnConnect: func(c *wsmanager.Conn) error { act("OnConnect", c); return nil },
						OnMessage: func(c *wsmanager.Conn, _ wsmanager.Message) error { act("OnMessage", c); return nil },
						OnClose:   func(c *wsmanager.Conn, _ error) { closes.Add(1); act("OnClose", c) },
					}, optionsWithoutLog(), nil)
					other := dialOver(t, url, nil)
					bad := dialOver(t, url+"?user=bad", nil)
					code := 1011
					switch in {
					case "OnMessage":
						bad.SendText("go")
					case "OnClose":
						bad.SendClose(1000, "")
						code = 1000
					}
					bad.ExpectClose(code)
					_ = bad.Conn().Close()
					require.Eventually(t, func() bool { return m.All().Len() == 1 }, wstest.Patience, time.Millisecond)
					for i := range 3 {
						require.Equal(t, 1, m.Broadcast(wsmanager.Text(fmt.Sprint(i))).Queued)
						require.Equal(t, 1, m.Group("all").Send(wsmanager.Text("all")).Queued)
						other.ExpectText(fmt.Sprint(i))
						other.ExpectText("all")
					}
					other.SendClose(1000, "")
					other.ExpectClose(1000)
					requireNoConns(t, m)
					require.EqualValues(t, 2, closes.Load())
				})
			}
		}
	}
}

// After Close, after the end, and after Shutdown, every method returns immediately, sends
// nothing and reports that.
func TestEveryMethodAfterTheEnd(t *testing.T) { onEachDriver(t, testEveryMethodAfterTheEnd) }

func testEveryMethodAfterTheEnd(t *testing.T) {
	all := func(m *wsmanager.Manager, c *wsmanager.Conn, byID error) map[string]error {
		msg, p := wsmanager.Text("x"), wsmanager.Prepare(wsmanager.Text("x"))
		wrong := map[string]error{}
		for name, got := range map[string]struct{ err, want error }{
			"Send":                {c.Send(msg), wsmanager.ErrClosed},
			"SendContext":         {c.SendContext(context.Background(), msg), wsmanager.ErrClosed},
			"SendPrepared":        {c.SendPrepared(p), wsmanager.ErrClosed},
			"SendPreparedContext": {c.SendPreparedContext(context.Background(), p), wsmanager.ErrClosed},
			"Join":                {c.Join("g"), wsmanager.ErrClosed},
			"Close":               {c.Close(4001, "again"), nil},
			"Manager.Send":        {m.Send(c.ID(), msg), byID},
			"Leave":               {c.Leave("g"), wsmanager.ErrClosed},
			"Conns.Join":          {m.Conns(c.ID()).Join("g"), byID},
			"Conns.Leave":         {m.Conns(c.ID()).Leave("g"), byID},
			"Group.Join":          {m.Group("g").Join("h"), nil},
		} {
			if !errors.Is(got.err, got.want) || got.want == nil && got.err != nil {
				wrong[name] = got.err
			}
		}
		for name, sent := range map[string]wsmanager.Sent{
			"Broadcast":  m.Broadcast(msg),
			"WhereLocal": m.All().WhereLocal(func(*wsmanager.Conn) bool { return true }).Send(msg),
			"Users":      m.Users("ann").Send(msg),
			"Group":      m.Group("g").Send(msg),
			"Groups":     m.Groups("g", "h").Send(msg),
			"Conns":      m.Conns(c.ID()).SendPrepared(p),
		} {
			if sent != (wsmanager.Sent{}) {
				wrong[name] = fmt.Errorf("%+v", sent)
			}
		}
		return wrong
	}
	conns := make(chan *wsmanager.Conn, 1)
	inside := make(chan map[string]error, 2)
	m, url := serve(t, wsmanager.Callbacks{
		OnAccept: func(*http.Request) (wsmanager.Accept, error) {
			return wsmanager.Accept{User: "ann", Groups: []string{"g"}}, nil
		},
		OnMessage: func(c *wsmanager.Conn, _ wsmanager.Message) error {
			if err := c.Close(4000, ""); err != nil {
				return err
			}
			inside <- all(c.Manager(), c, wsmanager.ErrClosed)
			return nil
		},
		OnClose: func(c *wsmanager.Conn, _ error) {
			inside <- all(c.Manager(), c, wsmanager.ErrNoConn)
			conns <- c
		},
	}, optionsWithoutLog(), nil)
	c := dialOver(t, url, nil)
	c.SendText("close")
	c.ExpectClose(4000)
	require.Empty(t, receive(t, inside), "after Close, in OnMessage")
	require.Empty(t, receive(t, inside), "in OnClose")
	conn := receive(t, conns)
	require.Empty(t, all(m, conn, wsmanager.ErrNoConn), "after OnClose")
	requireNoConns(t, m)
	require.Empty(t, all(m, conn, wsmanager.ErrNoConn), "after Shutdown")
	require.ErrorIs(t, m.Conns(conn.ID()).Close(1000, ""), wsmanager.ErrNoConn)
}

// Concurrent Shutdowns with different deadlines: the one with the short deadline cuts the
// connections, the other one succeeds.
func TestConcurrentShutdownsWithDifferentDeadlines(t *testing.T) {
	onEachDriver(t, testConcurrentShutdownsWithDifferentDeadlines)
}

func testConcurrentShutdownsWithDifferentDeadlines(t *testing.T) {
	var closes atomic.Int32
	m, url := serve(t, wsmanager.Callbacks{OnClose: func(*wsmanager.Conn, error) { closes.Add(1) }}, optionsWithoutLog(), nil)
	const n = 10
	for range n {
		dialOver(t, url, nil) // without an answer to the close frame
	}
	results := make(chan error, 5)
	for _, patience := range []time.Duration{wstest.Patience, wstest.Patience, 50 * time.Millisecond, 0, wstest.Patience} {
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			results <- m.Shutdown(ctx)
		}()
	}
	for range 5 {
		if err := receive(t, results); err != nil {
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.NotContains(t, err.Error(), "callbacks")
		}
	}
	require.EqualValues(t, n, closes.Load())
	requireNoConns(t, m)
}

// A Shutdown that is called inside OnAccept waits for that OnAccept. It ends at its deadline,
// and the handshake is refused.
func TestShutdownInsideOnAccept(t *testing.T) { onEachDriverAtOnce(t, testShutdownInsideOnAccept) }

func testShutdownInsideOnAccept(t *testing.T) {
	result := make(chan error, 1)
	var m *wsmanager.Manager
	m, url := serve(t, wsmanager.Callbacks{OnAccept: func(*http.Request) (wsmanager.Accept, error) {
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		defer cancel()
		result <- m.Shutdown(ctx)
		return wsmanager.Accept{}, nil
	}}, optionsWithoutLog(), func(made *wsmanager.Manager) http.Handler { m = made; return made })
	require.Equal(t, 503, handshakeOver(t, wstest.Request(t, url), nil).Response.StatusCode)
	require.ErrorContains(t, <-result, "1 callbacks have not returned")
	requireNoConns(t, m)
}

// Shutdown is called while 100 clients connect. Each is either refused with 503 or becomes a
// connection that is closed with 1001.
func TestShutdownAmongHandshakes(t *testing.T) { onSocketDrivers(t, testShutdownAmongHandshakes) }

func testShutdownAmongHandshakes(t *testing.T) {
	const n = 100
	var connects, closes atomic.Int32
	m, url := serve(t, wsmanager.Callbacks{
		OnAccept:  func(*http.Request) (wsmanager.Accept, error) { runtime.Gosched(); return wsmanager.Accept{}, nil },
		OnConnect: func(*wsmanager.Conn) error { connects.Add(1); return nil },
		OnClose:   func(*wsmanager.Conn, error) { closes.Add(1) },
	}, optionsWithoutLog(), nil)
	type outcome struct {
		refused *wsmanager.RefusedError
		closed  error
		err     error
	}
	outcomes := make(chan outcome, n)
	var begun sync.WaitGroup
	begun.Add(n / 2)
	for i := range n {
		go func() {
			if i < n/2 {
				defer begun.Done()
			}
			closed := make(chan error, 1)
			opts := dialOptionsWithoutLog()
			c, err := dialAs(context.Background(), t, url, wsmanager.Callbacks{OnClose: func(_ *wsmanager.Conn, err error) { closed <- err }}, opts)
			var o outcome
			switch {
			case errors.As(err, &o.refused):
			case err != nil:
				o.err = err
			default:
				go func() {
					o.closed = <-closed
					o.err = c.Manager().Shutdown(context.Background())
					outcomes <- o
				}()
				return
			}
			outcomes <- o
		}()
		if i == n/2 {
			begun.Wait() // some are connected, others in the handshake, others not started
			go func() { _ = m.Shutdown(context.Background()) }()
		}
	}
	accepted := 0
	for range n {
		o := receive(t, outcomes)
		require.NoError(t, o.err)
		if o.refused != nil {
			require.Equal(t, 503, o.refused.StatusCode)
			continue
		}
		accepted++
		require.NoError(t, o.closed, "1001 from the server is a normal close")
	}
	requireNoConns(t, m)
	require.EqualValues(t, accepted, connects.Load())
	require.EqualValues(t, accepted, closes.Load())
	require.GreaterOrEqual(t, accepted, n/2)
	require.EqualValues(t, n-accepted, m.Stats().Refused.ShuttingDown)
}

// A failing callback of a dialled connection sends 1011 to the server and leaves no connection
// behind.
func TestDialledCallbacksThatMisbehave(t *testing.T) {
	onSocketDrivers(t, testDialledCallbacksThatMisbehave)
}

func testDialledCallbacksThatMisbehave(t *testing.T) {
	for name, do := range nonReturning {
		for _, in := range []string{"OnConnect", "OnMessage", "OnClose"} {
			t.Run(in+" "+name, func(t *testing.T) {
				ends := make(chan error, 1)
				_, url := serve(t, wsmanager.Callbacks{
					OnConnect: func(c *wsmanager.Conn) error {
						if in == "OnConnect" {
							return nil
						}
						return c.Send(wsmanager.Text("go"))
					},
					OnClose: func(_ *wsmanager.Conn, err error) { ends <- err },
				}, optionsWithoutLog(), nil)
				act := func(where string) {
					if where == in {
						do()
					}
				}
				c, err := dialAs(t.Context(), t, url, wsmanager.Callbacks{
					OnConnect: func(*wsmanager.Conn) error { act("OnConnect"); return nil },
					OnMessage: func(c *wsmanager.Conn, _ wsmanager.Message) error { act("OnMessage"); return c.Close(1000, "") },
					OnClose:   func(*wsmanager.Conn, error) { act("OnClose") },
				}, dialOptionsWithoutLog())
				require.NoError(t, err)
				got := receive(t, ends)
				if in == "OnClose" {
					require.NoError(t, got)
				} else {
					var ce *wsmanager.CloseError
					require.ErrorAs(t, got, &ce)
					require.EqualValues(t, 1011, ce.Code)
					require.True(t, ce.Remote)
				}
				requireNoConns(t, c.Manager())
			})
		}
	}
}

// panicking is a log handler that always panics.
type panicking struct{ slog.Handler }

func (panicking) Enabled(context.Context, slog.Level) bool  { return true }
func (panicking) Handle(context.Context, slog.Record) error { panic("a log handler") }

// A log handler that panicked at the record of a connection's end crashed the process, because
// it ran on a goroutine without recover. If it panicked at the record of the start, it left a
// connection without a reader.
func TestLoggerThatPanicsCrashedTheProcess(t *testing.T) {
	onEachDriver(t, testLoggerThatPanicsCrashedTheProcess)
}

func testLoggerThatPanicsCrashedTheProcess(t *testing.T) {
	for name, onClose := range map[string]func(){"OnClose returns": func() {}, "OnClose panics": func() { panic("oops") }} {
		t.Run(name, func(t *testing.T) {
			j := newJournal()
			connected := make(chan struct{}, 3)
			m, url := serve(t, wsmanager.Callbacks{
				OnConnect: func(*wsmanager.Conn) error { connected <- struct{}{}; return nil },
				OnClose:   func(*wsmanager.Conn, error) { j.note("closed"); onClose() },
			}, wsmanager.Options{Logger: slog.New(panicking{slog.DiscardHandler})}, nil)
			for range 3 {
				c := dialOver(t, url, nil)
				receive(t, connected) // before it, the server may not have noticed that the answer was sent
				c.Kill()
			}
			require.Len(t, j.await(t, 3), 3)
			requireNoConns(t, m)
		})
	}
}
