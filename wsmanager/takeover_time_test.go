package wsmanager_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// Pings and close frames that arrive while a callback runs are answered within 500 ms, and a
// close frame ends the Context. After the callback has run for 500 ms, the answer is
// immediate. A short callback causes no takeover.
func TestWhenPingsAreAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan time.Duration, 1)
		start := time.Now()
		m := wsmanager.MustNew(wsmanager.Callbacks{
			OnMessage: func(c *wsmanager.Conn, m wsmanager.Message) error {
				if string(m.Payload) == "soon" {
					time.Sleep(240 * time.Millisecond)
					if wsmanager.Taken(c) {
						t.Error("a takeover for a short callback")
					}
					return nil
				}
				for range 100 { // a series of answers
					time.Sleep(100 * time.Millisecond)
					if errors.Is(c.Send(wsmanager.Text("part")), wsmanager.ErrClosed) {
						ended <- time.Since(start)
						return nil
					}
				}
				return nil
			},
		}, optionsWithoutLog())
		c := dialInMemory(t, m)
		for range 10 {
			c.SendText("soon")
			synctest.Wait()
			time.Sleep(time.Duration(rand.IntN(700)) * time.Millisecond)
		}
		c.SendText("long")
		slowest, later := time.Duration(0), time.Duration(0)
		for i := range 20 {
			sent := time.Now()
			c.SendPing([]byte{byte(i)})
			for {
				f, err := c.ReadFrame()
				require.NoError(t, err)
				if f.Header.OpCode == ws.OpPong {
					break
				}
			}
			took := time.Since(sent)
			if slowest = max(slowest, took); i > 0 {
				later = max(later, took)
			}
			time.Sleep(time.Duration(rand.IntN(300)) * time.Millisecond)
		}
		require.LessOrEqual(t, slowest, 500*time.Millisecond+240*10*time.Millisecond, "the first ping waits for the short callbacks")
		require.Zero(t, later)
		closing := time.Since(start)
		c.SendClose(1000, "")
		c.ExpectClose(1000)
		synctest.Wait()
		require.Less(t, time.Since(start)-closing, 100*time.Millisecond, "answer to the close frame while the callback runs")
		require.LessOrEqual(t, <-ended-closing, 200*time.Millisecond, "end of the callback's Context")
	})
}

// A dialled connection answers its server in the same way.
func TestDialPingsWhileACallbackRuns(t *testing.T) {
	for _, driver := range []wsmanager.Driver{wsmanager.DriverGoroutine, wsmanager.DriverEventLoop} {
		t.Run(driver.String(), func(t *testing.T) {
			if driver == wsmanager.DriverEventLoop && !wsmanager.HasLoops() {
				require.NotEqual(t, "linux", runtime.GOOS, "Linux has an event loop")
				t.Skip("this system has no event loop")
			}
			release := make(chan struct{})
			defer sync.OnceFunc(func() { close(release) })()
			in := make(chan struct{})
			got := make(chan error, 1)
			url := rawServer(t, func(conn net.Conn, accept string) {
				got <- func() error {
					if _, err := io.WriteString(conn, switching+accept+"\r\n\r\n"); err != nil {
						return err
					}
					if err := ws.WriteFrame(conn, ws.NewTextFrame([]byte("x"))); err != nil {
						return err
					}
					<-in
					for _, f := range []ws.Frame{ws.NewPingFrame([]byte("p")), ws.NewCloseFrame(ws.NewCloseFrameBody(1000, ""))} {
						if err := ws.WriteFrame(conn, f); err != nil {
							return err
						}
						answer, err := ws.ReadFrame(conn) //nolint:staticcheck // the bytes are those of our own server
						if err != nil {
							return err
						}
						if want := map[ws.OpCode]ws.OpCode{ws.OpPing: ws.OpPong, ws.OpClose: ws.OpClose}[f.Header.OpCode]; answer.Header.OpCode != want {
							return errors.New("unexpected frame")
						}
					}
					return nil
				}()
			})
			closed := make(chan error, 1)
			opts := dialOptions(optionsWithoutLog())
			opts.Driver = driver
			c, err := wsmanager.Dial(t.Context(), url, wsmanager.Callbacks{
				OnMessage: func(c *wsmanager.Conn, _ wsmanager.Message) error {
					close(in)
					<-release
					if c.Context().Err() == nil {
						t.Error("the Context has not ended")
					}
					return nil
				},
				OnClose: func(_ *wsmanager.Conn, err error) { closed <- err },
			}, opts)
			require.NoError(t, err)
			require.NoError(t, <-got)
			select {
			case <-c.Context().Done():
			case <-time.After(wstest.Patience):
				t.Fatal("the Context does not end")
			}
			require.Empty(t, closed)
			release <- struct{}{}
			require.NoError(t, <-closed)
		})
	}
}

// The callbacks take about as long as the delay before a takeover, so that takeovers race with
// returning callbacks at every step. Each message is handled once, in order and without
// overlap. Each ping is answered, and each connection ends.
func TestTakeoversUnderStress(t *testing.T) { onEachDriverAtOnce(t, testTakeoversUnderStress) }

func testTakeoversUnderStress(t *testing.T) {
	const clients, messages = 40, 50
	type state struct { // not atomic: the race detector reports unordered callbacks
		next  uint32
		calls int
	}
	var takes, ended atomic.Int64
	opts := optionsWithoutLog()
	opts.Limits.MaxMessageSize = 2000 // small, so that readers wait for room
	opts.Limits.ControlRate = 1 << 20
	m := wsmanager.MustNew(wsmanager.Callbacks{
		OnAccept: func(*http.Request) (wsmanager.Accept, error) { return wsmanager.Accept{Value: &state{}}, nil },
		OnMessage: func(c *wsmanager.Conn, m wsmanager.Message) error {
			s, _ := wsmanager.Value[*state](c)
			if s.calls++; s.calls != 1 {
				t.Error("two callbacks at a time")
			}
			defer func() { s.calls-- }()
			if n := binary.BigEndian.Uint32(m.Payload); n != s.next {
				t.Errorf("message %d, want %d", n, s.next)
			}
			s.next++
			switch rand.IntN(4) {
			case 0:
				time.Sleep(time.Duration(rand.IntN(3000)) * time.Microsecond)
			case 1:
				for until := time.Now().Add(time.Duration(rand.IntN(500)) * time.Microsecond); time.Now().Before(until); {
				}
			}
			if wsmanager.Taken(c) {
				takes.Add(1)
			}
			return c.Send(m)
		},
		OnClose: func(c *wsmanager.Conn, err error) {
			if s, _ := wsmanager.Value[*state](c); s.calls != 0 || s.next != messages || err != nil {
				t.Errorf("closed after %d messages, during %d callbacks: %v", s.next, s.calls, err)
			}
			ended.Add(1)
		},
	}, onDriver(t, opts))
	wsmanager.SetWatchInterval(m, time.Millisecond)
	srv := start(t, m, func(*httptest.Server) {})
	var all sync.WaitGroup
	for range clients {
		c := dialOver(t, srv.URL, nil)
		all.Go(func() {
			conn := c.Conn()
			_ = conn.SetDeadline(time.Now().Add(wstest.Patience)) // errors appear in the reads
			go func() {
				payload := make([]byte, 200)
				for i := range uint32(messages) {
					binary.BigEndian.PutUint32(payload, i)
					cut := rand.IntN(len(payload))
					p := wstest.Frame(ws.OpBinary, false, payload[:cut])
					p = append(p, wstest.Frame(ws.OpPing, true, payload[:4])...)
					p = append(p, wstest.Frame(ws.OpContinuation, true, payload[cut:])...)
					_, _ = conn.Write(p)
				}
				_, _ = conn.Write(wstest.Frame(ws.OpPing, true, []byte("last")))
			}()
			echoes, last := uint32(0), ""
			for echoes < messages || last != "last" {
				f, err := ws.ReadFrame(conn) //nolint:staticcheck // the bytes are those of our own server
				if err != nil {
					t.Errorf("after %d echoes: %v", echoes, err)
					return
				}
				switch f.Header.OpCode {
				case ws.OpPong:
					last = string(f.Payload)
				case ws.OpBinary:
					if n := binary.BigEndian.Uint32(f.Payload); n != echoes {
						t.Errorf("echo %d, want %d", n, echoes)
					}
					echoes++
				}
			}
			_, _ = conn.Write(wstest.Frame(ws.OpClose, true, nil))
		})
	}
	all.Wait()
	awaitCondition(t, func() bool { return ended.Load() == clients || t.Failed() })
	t.Logf("%d callbacks ended after a takeover", takes.Load())
	require.Positive(t, takes.Load())
	require.NoError(t, m.Shutdown(context.Background()))
}
