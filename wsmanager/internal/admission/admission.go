package admission

import (
	"errors"
	"iter"
	"maps"
	"slices"
	"sync"

	"github.com/speakingtube/speakingtube/wsmanager/internal/activity"
)

// Errors of Acquire.
var (
	ErrDraining = errors.New("wsmanager: no connections are admitted any more")
	ErrFull     = errors.New("wsmanager: the number of connections is at its limit")
)

// Gate counts the handshakes and connections whose transport may be open. It refuses handshakes
// above a limit, and after Drain. Init has to be called before its other methods, which are safe
// for concurrent use.
type Gate[T comparable] struct {
	limit  int
	active *activity.Counter // counts each slot

	mu       sync.Mutex // guards the fields below
	draining bool
	slots    int            // acquired and not released
	closing  map[T]struct{} // not registered, transport open
}

// Init sets the limit, 0 for none, and the counter to which each slot is added.
func (g *Gate[T]) Init(limit int, active *activity.Counter) {
	g.limit, g.active = limit, active
	g.closing = make(map[T]struct{})
}

// Limit returns the limit, 0 for none.
func (g *Gate[T]) Limit() int { return g.limit }

// Acquire admits a handshake that may become a connection. It returns ErrDraining after Drain,
// and ErrFull above the limit.
func (g *Gate[T]) Acquire() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.draining {
		return ErrDraining
	}
	if g.limit > 0 && g.slots >= g.limit {
		return ErrFull
	}
	g.slots++
	g.active.Add()
	return nil
}

// Release ends what Acquire has begun: the transport is closed.
func (g *Gate[T]) Release() {
	g.mu.Lock()
	g.slots--
	g.mu.Unlock()
	g.active.Done()
}

// Drain makes Acquire return ErrDraining from now on.
func (g *Gate[T]) Drain() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.draining = true
}

// IsDraining reports whether Drain was called.
func (g *Gate[T]) IsDraining() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.draining
}

// SetClosing adds or removes a connection that has left the registry while its transport is
// open, so that Open returns it.
func (g *Gate[T]) SetClosing(c T, on bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if on {
		g.closing[c] = struct{}{}
	} else {
		delete(g.closing, c)
	}
}

// Open returns the connections whose transport may be open, each once. It walks registered
// first, because SetClosing is called before a connection leaves the registry.
func (g *Gate[T]) Open(registered iter.Seq[T]) []T {
	conns := slices.Collect(registered)
	g.mu.Lock()
	defer g.mu.Unlock()
	conns = slices.DeleteFunc(conns, func(c T) bool {
		_, ok := g.closing[c]
		return ok
	})
	return slices.AppendSeq(conns, maps.Keys(g.closing))
}
