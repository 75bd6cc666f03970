package wsmanager_test

import (
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
)

// stepped serves a Manager whose clock moves only by step.
func stepped(t *testing.T, cb wsmanager.Callbacks, opts wsmanager.Options) (m *wsmanager.Manager, url string, step func(time.Duration)) {
	t.Helper()
	m, step, err := wsmanager.NewStepped(cb, onDriver(t, opts))
	require.NoError(t, err)
	return m, start(t, m, func(*httptest.Server) {}).URL, step
}

// On real connections with a stepped clock: a peer that answers pings stays open, one that
// sends data stays open, and a silent one is closed.
func TestKeepAlive(t *testing.T) { onEachDriver(t, testKeepAlive) }

func testKeepAlive(t *testing.T) {
	cb := wsmanager.Callbacks{OnMessage: func(c *wsmanager.Conn, m wsmanager.Message) error { return c.Send(m) }}
	ended := make(chan error, 1)
	cb.OnClose = func(_ *wsmanager.Conn, err error) { ended <- err }
	opts := optionsWithoutLog()
	opts.Timeouts.Write, opts.Timeouts.Close = time.Hour, time.Hour // a step exceeds the transmission time of a frame
	m, url, step := stepped(t, cb, opts)
	c := dialOver(t, url, nil)
	c.SendText("here")
	c.ExpectText("here")
	for range 5 {
		step(60 * time.Second) // pings are due every 50 s ± 10 %
		c.ExpectPing()
		c.SendPong(nil)
		c.SendText("pong is read")
		c.ExpectText("pong is read")
	}
	require.Equal(t, 1, m.All().Len(), "300 s without 110 s of silence")
	step(60 * time.Second)
	c.ExpectPing()
	require.Equal(t, 1, m.All().Len(), "closed before the idle timeout")
	step(60 * time.Second)
	for {
		f, err := c.ReadFrame()
		require.NoError(t, err)
		if f.Header.OpCode.IsControl() && len(f.Payload) >= 2 {
			require.Equal(t, "\x03\xe9", string(f.Payload[:2]), "1001")
			break
		}
	}
	require.ErrorIs(t, receive(t, ended), wsmanager.ErrIdleTimeout)
	require.Zero(t, m.All().Len())
}

// A peer that does not answer a close frame is cut after Timeouts.Close and not earlier.
func TestCloseTimeoutOnEachDriver(t *testing.T) { onEachDriver(t, testCloseTimeoutOnEachDriver) }

func testCloseTimeoutOnEachDriver(t *testing.T) {
	needH1(t, "a stream ends after the close frame without waiting")
	ended := make(chan error, 1)
	m, url, step := stepped(t, wsmanager.Callbacks{OnClose: func(_ *wsmanager.Conn, err error) { ended <- err }}, optionsWithoutLog())
	c := dialOver(t, url, nil)
	awaitCondition(t, func() bool { return m.All().Len() == 1 })
	require.NoError(t, onlyConn(t, m).Close(4000, "bye"))
	f, err := c.ReadFrame()
	require.NoError(t, err)
	require.Equal(t, "\x0f\xa0bye", string(f.Payload))
	step(3 * time.Second)
	select {
	case err := <-ended:
		t.Fatalf("it has ended: %v", err)
	default:
	}
	step(4 * time.Second)
	require.ErrorContains(t, receive(t, ended), "4000")
	_, err = c.ReadFrame()
	require.Error(t, err)
}

// A connection whose write makes no progress is cut after Timeouts.Write.
func TestWriteTimeoutOnEachDriver(t *testing.T) { onEachDriver(t, testWriteTimeoutOnEachDriver) }

func testWriteTimeoutOnEachDriver(t *testing.T) {
	ended := make(chan error, 1)
	opts := optionsWithoutLog()
	opts.Outbox.Bytes = 64 << 20
	m, url, step := stepped(t, wsmanager.Callbacks{OnClose: func(_ *wsmanager.Conn, err error) { ended <- err }}, opts)
	c := dialOver(t, url, nil)
	defer c.Kill()
	awaitCondition(t, func() bool { return m.All().Len() == 1 })
	conn := onlyConn(t, m)
	for range 64 { // exceeds socket buffers and windows
		require.NoError(t, conn.Send(wsmanager.Binary(make([]byte, 512<<10))))
	}
	awaitCondition(t, func() bool { step(time.Second); return len(ended) == 1 })
	require.ErrorIs(t, <-ended, wsmanager.ErrWriteTimeout)
}
