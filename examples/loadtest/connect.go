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

// dialAtOnce is how many handshakes are under way at most: enough to keep a server
// busy, and few enough for its queue of connections that were not accepted yet.
const dialAtOnce = 64

// spareDescriptors is what the process needs beside its connections.
const spareDescriptors = 32 + dialAtOnce

// checkDescriptors says whether so many connections fit the limit on open files.
func checkDescriptors(connections int, limit uint64) error {
	need := uint64(connections) + spareDescriptors
	if need <= limit {
		return nil
	}
	fewer := ""
	if limit > spareDescriptors {
		fewer = fmt.Sprintf(", or ask for at most %s connections", number(limit-spareDescriptors))
	}
	return fmt.Errorf("%s connections need %s open files, and this process may have %s: raise the limit "+
		"(in the shell that starts it: ulimit -n %d; what it may be raised to: ulimit -Hn)%s",
		number(connections), number(need), number(limit), need, fewer)
}

// connect makes the connections, as fast as the ramp says. It fails if the first one
// can't be made: then the others could not either.
func (l *load) connect(ctx context.Context) error {
	if err := l.dial(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("the first connection to %s could not be made: %s", l.cfg.place(), explain(err))
	}
	ramp, began := l.cfg.ramp.pace(l.cfg.connections), time.Now()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Uint64 // the first is there
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
					cancel(err) // the next ones would meet it as well
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

// dial makes one connection.
func (l *load) dial(ctx context.Context) error {
	l.opening.Add(1) // until OnConnect
	began := time.Now()
	if _, err := l.dialer.Dial(ctx); err != nil {
		l.opening.Done()
		return err
	}
	l.connects.add(time.Since(began))
	return nil
}

// explain is dialKind for one error: with what a refusing server said, and advice where
// there is some.
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
