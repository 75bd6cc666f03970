package wsmanager_test

import (
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

func TestMaxConnections(t *testing.T) { onEachDriver(t, testMaxConnections) }

func testMaxConnections(t *testing.T) {
	opts, log := logged()
	opts.MaxConnections = 2
	asked := 0
	m, url := serve(t, wsmanager.Callbacks{
		OnAccept: func(*http.Request) (wsmanager.Accept, error) { asked++; return wsmanager.Accept{}, nil },
	}, opts, nil)
	first, second := dialOver(t, url, nil), dialOver(t, url, nil)
	c := handshakeOver(t, wstest.Request(t, url), nil)
	require.Equal(t, 503, c.Response.StatusCode)
	body, err := io.ReadAll(c.Response.Body)
	require.NoError(t, err)
	require.Equal(t, "There are too many connections.\n", string(body))
	require.Equal(t, "the limit of 2 connections is reached", log.record(t, 0)["err"])
	require.Equal(t, 2, asked, "OnAccept is not called above the limit")
	require.EqualValues(t, 1, m.Stats().Refused.Limit)

	// A slot becomes free when a connection has ended, and refused handshakes hold none.
	first.SendClose(1000, "")
	first.ExpectClose(1000)
	require.Eventually(t, func() bool {
		return handshakeOver(t, wstest.Request(t, url), nil).Response.StatusCode == http.StatusSwitchingProtocols
	}, wstest.Patience, time.Millisecond)
	second.SendText("still here")
}

// Failed handshakes release their slot.
func TestRefusalsReleaseTheirSlot(t *testing.T) {
	onEachDriver(t, testRefusalsReleaseTheirSlot)
}

func testRefusalsReleaseTheirSlot(t *testing.T) {
	opts := optionsWithoutLog()
	opts.MaxConnections = 1
	_, url := serve(t, wsmanager.Callbacks{
		OnAccept: func(r *http.Request) (wsmanager.Accept, error) {
			if r.URL.Path == "/no" {
				return wsmanager.Accept{}, wsmanager.Reject(401, "no")
			}
			return wsmanager.Accept{}, nil
		},
	}, opts, nil)
	for range 5 {
		require.Equal(t, 401, handshakeOver(t, wstest.Request(t, url+"/no"), nil).Response.StatusCode)
	}
	dialOver(t, url, nil)
}

// A peer may send as many messages as MessageRate and MessageBurst permit. One more closes the
// connection with 1008; the earlier messages are handled.
func TestMessageRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opts := optionsWithoutLog()
		opts.Limits.MessageRate, opts.Limits.MessageBurst = 10, 3
		n := 0
		var got error
		m := wsmanager.MustNew(wsmanager.Callbacks{
			OnMessage: func(*wsmanager.Conn, wsmanager.Message) error { n++; return nil },
			OnClose:   func(_ *wsmanager.Conn, err error) { got = err },
		}, opts)
		c := dialInMemory(t, m)
		send := func() { c.SendText("x") }
		for range 50 { // exactly at the rate
			send()
			time.Sleep(100 * time.Millisecond)
		}
		for range 3 {
			send()
		}
		synctest.Wait()
		require.Equal(t, 53, n)
		require.NoError(t, got)
		send()
		c.ExpectClose(1008)
		synctest.Wait()
		require.Equal(t, 53, n)
		require.ErrorIs(t, got, wsmanager.ErrRateLimit)
		var ce *wsmanager.CloseError
		require.ErrorAs(t, got, &ce)
		require.Equal(t, wsmanager.StatusPolicyViolation, ce.Code)
		require.EqualValues(t, 1, m.Stats().Closed[1008])
	})
}

// The default limit is 20 control frames per second. Pongs that answer our own pings do not
// count.
func TestControlRate(t *testing.T) {
	for name, op := range map[string]ws.OpCode{"pings": ws.OpPing, "unsolicited pongs": ws.OpPong} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var got error
				m := wsmanager.MustNew(wsmanager.Callbacks{OnClose: func(_ *wsmanager.Conn, err error) { got = err }}, optionsWithoutLog())
				c := dialInMemory(t, m)
				reads := make(chan ws.OpCode, 1000)
				go func() {
					defer close(reads)
					for {
						h, err := ws.ReadHeader(c.Conn())
						if err != nil {
							return
						}
						_, _ = io.CopyN(io.Discard, c.Conn(), h.Length) // the next ReadHeader returns the error
						reads <- h.OpCode
					}
				}()
				send := func() { c.SendRaw(wstest.Frame(op, true, nil)) }
				for range 100 {
					send()
					time.Sleep(50 * time.Millisecond)
				}
				time.Sleep(time.Second)
				for range 20 {
					send()
				}
				synctest.Wait()
				require.NoError(t, got)
				send()
				synctest.Wait()
				require.ErrorIs(t, got, wsmanager.ErrRateLimit)
				require.NoError(t, c.Conn().Close())
				var last ws.OpCode
				for op := range reads {
					last = op
				}
				require.Equal(t, ws.OpClose, last)
				synctest.Wait()
			})
		})
	}
}

func TestAnsweredPingsDoNotCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opts := optionsWithoutLog()
		opts.Timeouts.PingInterval, opts.Limits.ControlRate = 20*time.Millisecond, 1
		m := wsmanager.MustNew(wsmanager.Callbacks{}, opts)
		c := dialInMemory(t, m)
		for range 200 {
			c.SendPong(c.ExpectPing())
		}
		c.Kill()
		synctest.Wait()
	})
}
