package wsmanager

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// gate is a transport whose first write waits until it is opened.
type gate struct {
	*fakeTransport
	begun, open chan struct{}
}

func (g *gate) tryWrite(p []byte) (int, error) {
	select {
	case <-g.begun:
	default:
		close(g.begun)
		<-g.open
	}
	return g.fakeTransport.tryWrite(p)
}

// Who delivers for others touched broadcasts of a burst after their owner had
// been told that they were delivered, and had given them back to the pool: with
// bad luck somebody else's broadcast was taken for delivered, and the next one
// waited for ever.
func TestLeaderLeavesDeliveredBroadcastsAlone(t *testing.T) {
	for range 200 {
		synctest.Test(t, func(t *testing.T) { // what is held is not let go in between
			m, _ := fakeManager(t, Options{})
			tr := newFakeTransport(1 << 30)
			g := &gate{tr, make(chan struct{}), make(chan struct{})}
			c := m.newConn("a", Accept{}, nil, "fake")
			c.register(Accept{})
			c.attach(g)

			done := make(chan struct{}, 3)
			pending := func(n int) {
				require.Eventually(t, func() bool {
					m.registry.lane.mu.Lock()
					defer m.registry.lane.mu.Unlock()
					return len(m.registry.lane.pending) == n
				}, wstest.Patience, 10*time.Microsecond)
			}
			go func() { m.Broadcast(Text("first")); done <- struct{}{} }()
			<-g.begun
			go func() { m.Broadcast(Text("leads")); done <- struct{}{} }()
			pending(1)
			epoch := m.bursts.enter() // as a callback with more at hand
			for range 8 {
				m.Broadcast(Text("held"))
			}
			m.bursts.leave(epoch)
			go func() { m.settle(); done <- struct{}{} }()
			pending(9)
			close(g.open)
			for range 3 {
				<-done
			}
			c.unregister()
			c.release()
			idle(t, m)
			require.Len(t, tr.frames(t), 10)
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
