package wsmanager_test

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"syscall"
	"testing"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// Data that the peer sends after the connection has ended for the application is discarded,
// even if the frames are valid. They are not answered or inflated, but the peer's close
// frame among them is recognized.
func TestDataAfterTheEndIsDiscarded(t *testing.T) {
	onEachDriver(t, testDataAfterTheEndIsDiscarded)
}

func testDataAfterTheEndIsDiscarded(t *testing.T) {
	for name, tt := range map[string]struct {
		end  func(*wsmanager.Conn) error
		code int
	}{
		"Close":                {func(c *wsmanager.Conn) error { return c.Close(4000, "") }, 4000},
		"an error":             {func(*wsmanager.Conn) error { return errors.New("enough") }, 1011},
		"an error with a code": {func(*wsmanager.Conn) error { return &wsmanager.CloseError{Code: 3000} }, 3000},
	} {
		t.Run(name, func(t *testing.T) { requireEndMidWrite(t, tt.end, nil, tt.code) })
	}
}

// requireEndMidWrite sends a message that end handles. In the same write follow bad and frames
// that would otherwise end the connection. The connection must end with code.
func requireEndMidWrite(t *testing.T, end func(*wsmanager.Conn) error, bad []byte, code int) {
	t.Helper()
	messages, ended := make(chan string, 10), make(chan error, 1)
	opts := compressing()
	opts.Limits.MaxMessageSize = 1000
	m, url := serve(t, wsmanager.Callbacks{
		OnMessage: func(c *wsmanager.Conn, m wsmanager.Message) error {
			messages <- string(m.Payload)
			return end(c)
		},
		OnClose: func(_ *wsmanager.Conn, err error) { ended <- err },
	}, opts, nil)
	c := dialOver(t, url, offering)
	c.SendRaw(slices.Concat(
		wstest.Frame(ws.OpText, true, []byte("first")), bad,
		compressedFrames(t, ws.OpText, []byte("compressed"), 6, 0),
		wstest.Frame(ws.OpPing, true, []byte("p")), wstest.Frame(ws.OpPong, true, nil),
		wstest.Frame(ws.OpText, true, []byte("plain")),
		wstest.Frame(ws.OpClose, true, nil),
	))
	f, err := c.ReadFrame()
	require.NoError(t, err)
	require.Equal(t, ws.OpClose, f.Header.OpCode)
	require.Equal(t, closing(code, ""), string(f.Payload))
	c.ExpectEOF()
	require.Equal(t, "first", receive(t, messages))
	var ce *wsmanager.CloseError
	require.ErrorAs(t, receive(t, ended), &ce)
	require.EqualValues(t, code, ce.Code)
	require.False(t, ce.Remote)
	require.Empty(t, messages)
	require.Zero(t, m.Stats().Compressed.In, "discarded messages are not inflated")
}

// A reset by the peer differs from an EOF without a close frame.
func TestResetAndEOFWithoutCloseFrame(t *testing.T) {
	onEachDriver(t, testResetAndEOFWithoutCloseFrame)
}

func testResetAndEOFWithoutCloseFrame(t *testing.T) {
	for name, tt := range map[string]struct {
		leave func(*wstest.Client)
		want  error
	}{
		"reset":  {(*wstest.Client).Kill, syscall.ECONNRESET},
		"silent": {func(c *wstest.Client) { _ = c.Conn().Close() }, io.ErrUnexpectedEOF},
	} {
		t.Run(name, func(t *testing.T) {
			if name == "reset" {
				needH1(t, "a reset of the TCP connection ends its streams like any other end")
			}
			ended := make(chan error, 1)
			_, url := serve(t, wsmanager.Callbacks{
				OnMessage: echoing.OnMessage,
				OnClose:   func(_ *wsmanager.Conn, err error) { ended <- err },
			}, optionsWithoutLog(), nil)
			c := dialOver(t, url, nil)
			c.SendText("there") // before this message a reset might be read by net/http
			c.ExpectText("there")
			tt.leave(c)
			err := receive(t, ended)
			require.ErrorIs(t, err, tt.want)
			var ce *wsmanager.CloseError
			require.ErrorAs(t, err, &ce)
			require.EqualValues(t, 1006, ce.Code)
			require.True(t, ce.Remote)
		})
	}
}

// Joined broadcasts of a client's Manager are masked, each with its own key.
func TestJoinedBroadcastsOfAClient(t *testing.T) { onSocketDrivers(t, testJoinedBroadcastsOfAClient) }

func testJoinedBroadcastsOfAClient(t *testing.T) {
	got := make(chan string, 10)
	_, url := serve(t, wsmanager.Callbacks{
		OnConnect: func(c *wsmanager.Conn) error { // send the messages so that they arrive together
			for _, s := range []string{"a", "b", "c"} {
				c.Manager().Broadcast(wsmanager.Text(s))
			}
			return nil
		},
		OnMessage: func(_ *wsmanager.Conn, m wsmanager.Message) error { got <- string(m.Payload); return nil },
	}, optionsWithoutLog(), func(m *wsmanager.Manager) http.Handler { return m })
	connect(t, url, wsmanager.Callbacks{OnMessage: func(c *wsmanager.Conn, m wsmanager.Message) error {
		c.Manager().Broadcast(m)
		c.Manager().Broadcast(m)
		return nil
	}}, dialOptionsWithoutLog())
	for _, want := range []string{"a", "a", "b", "b", "c", "c"} {
		require.Equal(t, want, receive(t, got))
	}
}
