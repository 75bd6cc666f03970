package wsmanager

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// halfClosing is a transport that supports closing the write direction only.
type halfClosing struct {
	*fakeTransport
	ended int
}

func (t *halfClosing) CloseWrite() error { t.ended++; return nil }

// After both close frames the server closes its write direction, and the client waits for
// that. Neither side closes the socket before the EOF of its peer; without an EOF it does
// so after Timeouts.Close (RFC 6455, section 7.1.1). Closing a socket with unread bytes
// causes a reset, which can discard the close frame. The client must not close the TCP
// connection first.
func TestCloseWaitsForThePeersEOF(t *testing.T) {
	for _, side := range []struct {
		name   string
		client bool
		halves int
	}{{"server", false, 1}, {"client", true, 0}} {
		for name, begin := range map[string]func(*Conn) error{
			"the peer begins": func(*Conn) error { return nil },
			"we begin":        func(c *Conn) error { return c.Close(1000, "") },
		} {
			t.Run(side.name+", "+name, func(t *testing.T) {
				m, clock := fakeManager(t, Options{})
				if side.client {
					m.maskFrames()
				}
				tr := &halfClosing{fakeTransport: newFakeTransport(1 << 20)}
				c := m.newConn("a", Accept{}, nil, "fake")
				c.m.register(c, Accept{})
				c.session().attach(tr)
				defer func() { c.m.unregister(c); c.session().release(); awaitNoWriters(t, m) }()
				require.NoError(t, begin(c))
				require.Zero(t, tr.ended)
				c.session().peerClosed(1000, "")
				require.Equal(t, 1, tr.count(), "the close frame was written")
				require.Equal(t, side.halves, tr.ended)
				require.Equal(t, stateClosing, c.life.state)
				c.session().peerClosed(1001, "again")
				require.Equal(t, side.halves, tr.ended, "a second close frame has no effect")
				clock.Step(4 * time.Second)
				require.Equal(t, stateClosing, c.life.state)
				clock.Step(3 * time.Second)
				require.Equal(t, stateCut, c.life.state)
			})
		}
	}
}
