package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
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
	return fmt.Errorf("%s connections need %s open files, and this process may have %s: raise the limit "+
		"(in the shell that starts it: ulimit -n %d; what it may be raised to: ulimit -Hn), or ask for at most %s connections",
		number(connections), number(need), number(limit), need, number(max(limit, spareDescriptors)-spareDescriptors))
}

// connect makes the connections, as fast as the ramp says. It fails if the first one
// can't be made: then the others could not either.
func (l *load) connect(ctx context.Context) error {
	if err := l.dial(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("the first connection to %s could not be made: %w%s", l.cfg.place(), rootCause(err), advice(err))
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
				if n >= uint64(l.cfg.connections) || !sleepUntil(ctx, began, ramp.at(n)) {
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

// rootCause strips what the message around it says already.
func rootCause(err error) error { return errors.New(dialKind(err)) }

// advice is what to look at after an error, if there is something.
func advice(err error) string {
	if errors.Is(err, syscall.ECONNREFUSED) {
		return " (is the server running there?)"
	}
	return ""
}
