package wsmanager

import (
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// embedded hides all of a connection but net.Conn, as listeners that count or
// limit do.
type embedded struct{ net.Conn }

type embeddingListener struct{ net.Listener }

func (l embeddingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return embedded{c}, err
}

// Over a connection that can't be shut in one direction, the peer's answer to
// the close frame of a failed connection ends it, not CloseTimeout: a client
// waits for the server to close first (RFC 6455, section 7.1.1).
func TestAnsweredFailureIsClosedAtOnce(t *testing.T) {
	m, err := New(Callbacks{
		OnMessage: func(*Conn, Message) error { panic("oh") },
	}, Options{Logger: slog.New(slog.DiscardHandler), CloseTimeout: time.Minute})
	require.NoError(t, err)
	srv := httptest.NewUnstartedServer(http.Handler(m))
	srv.Listener = embeddingListener{srv.Listener}
	SpeakH2(srv.Config)
	srv.Start()
	defer srv.Close()
	c := wstest.Dial(t, srv.URL, nil)
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
	for name, end := range map[string]func(m *Manager, c *Conn){
		"CloseConn": func(m *Manager, c *Conn) { _ = m.CloseConn(c.ID(), 4000, "") },
		"Shutdown":  func(m *Manager, c *Conn) { go func() { _ = m.Shutdown(t.Context()) }() },
	} {
		t.Run(name, func(t *testing.T) {
			in, out := make(chan *Conn), make(chan struct{})
			ended := make(chan error, 1)
			giveUp := make(chan struct{})
			m, err := New(Callbacks{
				OnMessage: func(c *Conn, _ Message) error {
					defer close(out)
					in <- c
					select {
					case <-c.Context().Done():
					case <-giveUp:
					}
					return nil
				},
				OnClose: func(_ *Conn, err error) { ended <- err },
			}, Options{Logger: slog.New(slog.DiscardHandler), CloseTimeout: 100 * time.Millisecond})
			require.NoError(t, err)
			srv := httptest.NewUnstartedServer(m)
			SpeakH2(srv.Config)
			srv.Start()
			defer srv.Close()
			client := wstest.Dial(t, srv.URL, nil)
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

// A connection whose end began while Shutdown looked for what is left was found in
// two places, and its OnClose, if that did not return, counted as two callbacks.
func TestUnendedConnectionsAreCountedOnce(t *testing.T) {
	m, _ := fakeManager(t, Options{})
	a := fakeConn(t, m, "a", newFakeTransport(1<<20), Accept{})
	b := fakeConn(t, m, "b", newFakeTransport(1<<20), Accept{})
	m.linger(a, true) // before it leaves the registry, as in finish
	defer m.linger(a, false)
	require.ElementsMatch(t, []*Conn{a, b}, m.unended())
}
