package wsmanager

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"

	"github.com/speakingtube/speakingtube/wsmanager/internal/evloop"
)

// errNotPlainTCP is the reason why the event loop does not serve a connection.
var errNotPlainTCP = errors.New("it is not a plain TCP connection")

// loopPool has the event loops of a Manager. They exist while they have connections, so that
// a Manager without connections has no goroutine.
type loopPool struct {
	logf func(format string, args ...any)

	mu      sync.Mutex              // guards the fields below
	all     []*evloop.Loop          // nil while sockets is 0
	next    int                     // counts sockets, to choose the loop of the next one
	sockets int                     // between enter and leave
	ending  []*evloop.Loop          // closed; the goroutines may not have ended
	awaited map[*Conn]chan struct{} // closed when the connection leaves
}

// newLoopPool returns an error if this system has no event loops.
func newLoopPool(logf func(format string, args ...any)) (*loopPool, error) {
	if _, err := evloop.New(evloop.Options{}); err != nil {
		return nil, err
	}
	return &loopPool{logf: logf}, nil
}

// enter chooses the loop of a new socket. At the socket's end leave must be called. There is
// one loop for two processors, because half of the cost of a message is in the kernel, on
// the processor of the sender.
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

// onEnd closes the channel when c leaves.
func (l *loopPool) onEnd(c *Conn, ended chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.awaited == nil {
		l.awaited = make(map[*Conn]chan struct{})
	}
	l.awaited[c] = ended
}

// leave removes the socket of c. The last one closes the loops.
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

// wait waits until closed loops have released their goroutines and descriptors, or ctx ends.
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
