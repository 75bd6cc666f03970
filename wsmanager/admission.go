package wsmanager

import (
	"iter"
	"maps"
	"slices"
	"sync"

	"github.com/speakingtube/speakingtube/wsmanager/internal/activity"
)

// admission counts the handshakes and connections whose transport may be open. It refuses
// handshakes above Options.MaxConnections and after the beginning of Shutdown.
type admission struct {
	limit  int               // Options.MaxConnections; 0 for none
	active *activity.Counter // counts each slot

	mu       sync.Mutex         // guards the fields below
	draining bool               // Shutdown has begun
	slots    int                // acquired and not released
	closing  map[*Conn]struct{} // not in the registry, transport open
}

func (a *admission) init(limit int, active *activity.Counter) {
	a.limit, a.active = limit, active
	a.closing = make(map[*Conn]struct{})
}

// acquireSlot admits a handshake that may become a connection. It returns ErrShutdown if
// Shutdown has begun, and a refusal above the limit.
func (a *admission) acquireSlot() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.draining {
		return ErrShutdown
	}
	if a.limit > 0 && a.slots >= a.limit {
		return refuseLimit(a.limit)
	}
	a.slots++
	a.active.Add()
	return nil
}

// releaseSlot ends what acquireSlot has begun: the transport is closed.
func (a *admission) releaseSlot() {
	a.mu.Lock()
	a.slots--
	a.mu.Unlock()
	a.active.Done()
}

// drain makes acquireSlot return ErrShutdown from now on.
func (a *admission) drain() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.draining = true
}

func (a *admission) isDraining() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.draining
}

// trackClosing adds or removes a connection that has left the registry while its transport
// is open, so that Shutdown finds it.
func (a *admission) trackClosing(c *Conn, on bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if on {
		a.closing[c] = struct{}{}
	} else {
		delete(a.closing, c)
	}
}

// open returns the connections whose transport may be open. registered is walked first,
// because a connection is tracked before it leaves the registry.
func (a *admission) open(registered iter.Seq[*Conn]) []*Conn {
	conns := slices.Collect(registered)
	a.mu.Lock()
	defer a.mu.Unlock()
	conns = slices.DeleteFunc(conns, func(c *Conn) bool {
		_, ok := a.closing[c]
		return ok
	})
	return slices.AppendSeq(conns, maps.Keys(a.closing))
}
