package wsmanager

import (
	"context"
	"errors"
	"runtime"
	"sync/atomic"

	"github.com/speakingtube/speakingtube/wsmanager/internal/evloop"
)

// errNotPlainTCP is why the event loop does not serve a connection.
var errNotPlainTCP = errors.New("it is no plain TCP connection")

// loops are the event loops of a Manager. They begin with their first connection
// and end with Shutdown.
type loops struct {
	all  []*evloop.Loop
	next atomic.Uint32
}

// newLoops makes the loops, or says that there are none on this system. One loop
// serves two processors: half of what a message costs is the kernel's, on
// whichever processor the sender is.
func newLoops(logf func(format string, args ...any)) (*loops, error) {
	l := &loops{all: make([]*evloop.Loop, max(1, runtime.GOMAXPROCS(0)/2))}
	for i := range l.all {
		var err error
		if l.all[i], err = evloop.New(evloop.Options{Logf: logf}); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// one chooses a loop for the next connection.
func (l *loops) one() *evloop.Loop { return l.all[int(l.next.Add(1))%len(l.all)] }

// end ends the loops, those that still have connections with the last of these.
// It waits for the others.
func (l *loops) end(ctx context.Context) {
	if l == nil {
		return
	}
	for _, loop := range l.all {
		_ = loop.Close() // always nil
	}
	for _, loop := range l.all {
		select {
		case <-loop.Done():
		case <-ctx.Done():
		}
	}
}
