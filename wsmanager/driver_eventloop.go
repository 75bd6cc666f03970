package wsmanager

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"

	"github.com/speakingtube/speakingtube/wsmanager/internal/evloop"
)

// errNotPlainTCP is why the event loop does not serve a connection.
var errNotPlainTCP = errors.New("it is no plain TCP connection")

// loopPool has the event loops of a Manager. They exist while it has connections in
// them: a Manager without connections has no goroutine.
type loopPool struct {
	logf func(format string, args ...any)

	mu      sync.Mutex     // guards what follows
	all     []*evloop.Loop // nil while there are no sockets
	next    int            // of all, for the next socket
	sockets int
	ending  []*evloop.Loop          // closed, maybe not gone yet
	awaited map[*Conn]chan struct{} // closed at their end
}

// newLoopPool returns an error if this system has no event loops.
func newLoopPool(logf func(format string, args ...any)) (*loopPool, error) {
	if _, err := evloop.New(evloop.Options{}); err != nil {
		return nil, err
	}
	return &loopPool{logf: logf}, nil
}

// enter chooses the loop for a new socket, whose end leave has to be told. One
// loop serves two processors: half of what a message costs is the kernel's, on
// whichever processor the sender is.
func (l *loopPool) enter() (*evloop.Loop, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all == nil {
		all := make([]*evloop.Loop, max(1, runtime.GOMAXPROCS(0)/2))
		for i := range all {
			var err error
			if all[i], err = evloop.New(evloop.Options{Logf: l.logf}); err != nil {
				return nil, err
			}
		}
		l.all = all
	}
	l.sockets++
	l.next++
	return l.all[l.next%len(l.all)], nil
}

// onEnd has the channel closed when c leaves.
func (l *loopPool) onEnd(c *Conn, ended chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.awaited == nil {
		l.awaited = make(map[*Conn]chan struct{})
	}
	l.awaited[c] = ended
}

// leave ends the loops with the last socket.
func (l *loopPool) leave(c *Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if ended := l.awaited[c]; ended != nil {
		close(ended)
		delete(l.awaited, c)
	}
	if l.sockets--; l.sockets > 0 {
		return
	}
	for _, loop := range l.all {
		_ = loop.Close() // always nil
	}
	l.ending = append(slices.DeleteFunc(l.ending, gone), l.all...)
	l.all = nil
}

func gone(loop *evloop.Loop) bool {
	select {
	case <-loop.Done():
		return true
	default:
		return false
	}
}

// wait waits for loops whose sockets have ended to be gone, descriptors and all.
func (l *loopPool) wait(ctx context.Context) {
	if l == nil {
		return
	}
	l.mu.Lock()
	ending := slices.Clone(l.ending)
	l.mu.Unlock()
	for _, loop := range ending {
		select {
		case <-loop.Done():
		case <-ctx.Done():
			return
		}
	}
}
