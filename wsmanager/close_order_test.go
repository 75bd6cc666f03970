package wsmanager

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// halfClosing is a transport that can say that nothing more is coming.
type halfClosing struct {
	*fakeTransport
	ended int
}

func (t *halfClosing) CloseWrite() error { t.ended++; return nil }

// When both close frames are through, the server ends its direction, and the client
// waits for the server to do so; neither cuts before the peer has ended its own, but
// at CloseTimeout (RFC 6455, section 7.1.1). Bytes of the peer that were not read yet
// made a reset of it, which may take the close frame with it, and the client was the
// first to close.
func TestBothCloseFramesWereThroughAndItWasCut(t *testing.T) {
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
				defer func() { c.m.unregister(c); c.session().release(); idle(t, m) }()
				require.NoError(t, begin(c))
				require.Zero(t, tr.ended)
				c.session().peerClosed(1000, "")
				require.Equal(t, 1, tr.count(), "the close frame is out")
				require.Equal(t, side.halves, tr.ended)
				require.Equal(t, stateClosing, c.life.state)
				c.session().peerClosed(1001, "again")
				require.Equal(t, side.halves, tr.ended, "a second close frame says nothing")
				clock.Step(4 * time.Second)
				require.Equal(t, stateClosing, c.life.state)
				clock.Step(3 * time.Second)
				require.Equal(t, stateCut, c.life.state)
			})
		}
	}
}
