package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/speakingtube/speakingtube/wsmanager"
)

// dialAtOnce is the number of simultaneous handshakes: enough to keep a server busy, and
// less than the usual length of its accept queue.
const dialAtOnce = 64

// spareDescriptors is the number of descriptors for other purposes than connections.
const spareDescriptors = 32 + dialAtOnce

// checkDescriptors returns an error if the connections exceed the limit of open files.
func checkDescriptors(connections int, limit uint64) error {
	need := uint64(connections) + spareDescriptors
	if need <= limit {
		return nil
	}
	fewer := ""
	if limit > spareDescriptors {
		fewer = fmt.Sprintf(", or open at most %s connections", number(limit-spareDescriptors))
	}
	return fmt.Errorf("%s connections need %s open files, and the limit of this process is %s: raise it "+
		"(in the shell that starts it: ulimit -n %d; the highest possible value: ulimit -Hn)%s",
		number(connections), number(need), number(limit), need, fewer)
}

// connect opens the connections at the rate of the ramp. It fails only if the first
// connection fails. Failures of others are counted.
func (l *load) connect(ctx context.Context) error {
	if err := l.dial(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("the first connection to %s failed: %s", l.cfg.redactedURL(), explain(err))
	}
	ramp, began := l.cfg.ramp.pace(l.cfg.connections), time.Now()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Uint64 // number of the last connection; 0 is open
	var dialling sync.WaitGroup
	for range min(dialAtOnce, l.cfg.connections-1) {
		dialling.Go(func() {
			for {
				n := next.Add(1)
				if n >= uint64(l.cfg.connections) || !precise.until(ctx, began, ramp.at(n)) {
					return
				}
				err := l.dial(ctx)
				if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) {
					cancel(err) // further dials would fail too
				}
				if err != nil && (ctx.Err() == nil || context.Cause(ctx) == err) {
					l.errors.add(dialKind(err))
				}
			}
		})
	}
	dialling.Wait()
	l.opening.Wait()
	return nil
}

// dial opens one connection.
func (l *load) dial(ctx context.Context) error {
	l.opening.Add(1) // OnConnect calls Done
	began := time.Now()
	if _, err := l.dialer.Dial(ctx); err != nil {
		l.opening.Done()
		return err
	}
	l.connects.add(time.Since(began))
	return nil
}

// explain returns the reason of one failed dial, with the answer of the server or with
// advice.
func explain(err error) string {
	var refused *wsmanager.RefusedError
	switch {
	case errors.As(err, &refused):
		return refused.Error()
	case errors.Is(err, syscall.ECONNREFUSED):
		return dialKind(err) + " (is the server running there?)"
	}
	return dialKind(err)
}
