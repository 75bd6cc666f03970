package wsmanager_test

import (
	"sync"
	"testing"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
)

// No message of another goroutine arrives between the last message and the close frame, or
// after it.
func TestCloseWith(t *testing.T) { onEachDriverAtOnce(t, testCloseWith) }

func testCloseWith(t *testing.T) {
	opts := optionsWithoutLog()
	opts.SlowConsumer = wsmanager.SlowConsumerDropNewest // the senders are faster than any reader
	m, url := serve(t, wsmanager.Callbacks{
		OnMessage: func(c *wsmanager.Conn, _ wsmanager.Message) error {
			return c.CloseWith(wsmanager.Text("farewell"), 4000, "bye")
		},
	}, opts, nil)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				for c := range m.All().Local() {
					_ = c.Send(wsmanager.Text("noise")) // an error is possible: the connection may be closing, or slow
				}
				m.Broadcast(wsmanager.Text("noise to all"))
			}
		})
	}
	for range 40 {
		c := dialOver(t, url, nil)
		c.Text() // wait until other messages arrive
		c.SendText("go")
		last := ""
		f, err := c.ReadFrame()
		for ; err == nil && f.Header.OpCode == ws.OpText; f, err = c.ReadFrame() {
			last = string(f.Payload)
		}
		require.NoError(t, err)
		require.Equal(t, ws.OpClose, f.Header.OpCode)
		code, reason := ws.ParseCloseFrameData(f.Payload)
		require.Equal(t, ws.StatusCode(4000), code)
		require.Equal(t, "bye", reason)
		require.Equal(t, "farewell", last)
		c.Kill()
	}
	close(stop)
	wg.Wait()
}

func TestCloseWithInvalidArguments(t *testing.T) { onEachDriver(t, testCloseWithInvalidArguments) }

func testCloseWithInvalidArguments(t *testing.T) {
	m, url := serve(t, wsmanager.Callbacks{}, optionsWithoutLog(), nil)
	client := dialOver(t, url, nil)
	awaitCondition(t, func() bool { return m.All().Len() == 1 })
	c := onlyConn(t, m)
	require.ErrorContains(t, c.CloseWith(wsmanager.Text("x"), 1005, ""), "can't carry the code 1005")
	require.ErrorContains(t, c.CloseWith(wsmanager.Text("x"), 1000, repeat("x", 124)), "124 bytes")
	require.ErrorIs(t, c.CloseWith(wsmanager.Text(repeat("x", 1<<20)), 1000, ""), wsmanager.ErrMessageTooBig)
	require.ErrorIs(t, c.CloseWith(wsmanager.Message{}, 1000, ""), wsmanager.ErrMessageType)
	require.NoError(t, c.Send(wsmanager.Text("still here")))
	client.ExpectText("still here")
	require.NoError(t, c.CloseWith(wsmanager.Text("last"), 1000, ""))
	require.NoError(t, c.CloseWith(wsmanager.Text("never"), 1000, ""), "no error, although the connection is closing already")
	client.ExpectText("last")
	client.ExpectClose(1000)
}
