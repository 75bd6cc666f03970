package wsmanager

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/speakingtube/speakingtube/wsmanager/internal/frame"
)

// dispatcher calls the callbacks of a connection, one at a time. They run on the goroutine
// that reads the connection, so that a message whose callback returns soon costs no change
// of goroutines. If a callback does not return soon, another goroutine takes over the
// reading: see takeover.
type dispatcher struct {
	// calling has the bits below. It changes from "the reader calls" to "taken over" with a
	// compare-and-swap, which competes with the return of the callback: one of them fails.
	calling atomic.Uint32
}

// The bits of dispatcher.calling.
const (
	callRuns    uint32 = 1 << iota // a callback has not returned, or queued callbacks follow it
	callTaken                      // the reader does not call: there is a takeover
	callWatched                    // the connection is in Manager.watch
	callCount                      // from this bit on: the number of the reader's callbacks
)

// dispatchHost is the connection as its dispatcher sees it. The Locker is the connection's
// lock.
type dispatchHost interface {
	sync.Locker

	// The dispatcher holds the lock when it calls these methods.

	isOpen() bool
	hasEnded() bool          // for the application, or the transport is closed
	handover() *handover     // nil if no callback was taken over from
	makeHandover() *handover // makes it if there is none
	takeReader() (driver, bool)
	readOn(d driver, tenure uint32)
	resumeReading()     // nothing was read until now, which is not the peer's fault
	maxQueuedSize() int // of queued messages, in bytes

	// The dispatcher does not hold the lock when it calls these methods.

	watch() // adds the connection to Manager.watch
	onMessage(m Message) error
	onQueued(m received) error
	panicked(v any) error       // records a panic, and returns the error that ends the connection
	endTaken(err error)         // ends the connection after a callback of callQueued; nil: does not
	reportClosePanic(err error) // logs a panic of OnClose
}

// runs reports whether a callback has not returned.
func (d *dispatcher) runs() bool { return d.calling.Load()&callRuns != 0 }

// taken reports whether another goroutine than the reader's calls the callbacks.
func (d *dispatcher) taken() bool { return d.calling.Load()&callTaken != 0 }

// begin notes that the reader calls a callback.
func (d *dispatcher) begin(h dispatchHost) {
	if d.calling.Add(callCount|callRuns)&callWatched == 0 {
		d.calling.Or(callWatched)
		h.watch()
	}
}

// returned notes that a callback of the reader has returned, with err. It reports whether
// another goroutine has become the reader. Then a third one continues with the callbacks,
// because the stack and the buffer of this one belong to its caller, and the caller must not
// touch anything that belongs to the reader: see frame.ErrTaken.
func (d *dispatcher) returned(h dispatchHost, err error) (taken bool) {
	for {
		v := d.calling.Load()
		if v&callTaken == 0 {
			if d.calling.CompareAndSwap(v, v&^callRuns) {
				return false
			}
			continue
		}
		h.Lock()
		taken := h.handover().active() != nil // or the takeover was undone
		h.Unlock()
		if taken {
			go d.callQueued(h, err)
			return true
		}
	}
}

// callMessage calls OnMessage, without a closure.
func (d *dispatcher) callMessage(h dispatchHost, m Message) (err error) {
	d.begin(h)
	err = errExited // stands if the callback ends the goroutine
	defer func() {
		if v := recover(); v != nil {
			err = h.panicked(v)
		}
		if d.returned(h, err) {
			err = frame.ErrTaken
		}
	}()
	return callbackFailed(h.onMessage(m))
}

// call calls another callback than OnMessage and OnClose.
func (d *dispatcher) call(h dispatchHost, f func() error) (err error) {
	d.begin(h)
	err = errExited
	defer func() {
		if v := recover(); v != nil {
			err = h.panicked(v)
		}
		if d.returned(h, err) {
			err = frame.ErrTaken
		}
	}()
	return callbackFailed(f())
}

// callClose calls OnClose, the last callback.
func (d *dispatcher) callClose(h dispatchHost, f func()) {
	if d.calling.Or(callRuns)&callRuns == 0 { // otherwise the callbacks before it have set it, and clear it
		defer d.calling.And(^callRuns)
	}
	defer func() {
		if v := recover(); v != nil {
			h.reportClosePanic(h.panicked(v))
		}
	}()
	f()
}

// errExited ends a connection whose callback has called runtime.Goexit.
var errExited error = &CloseError{Code: StatusInternalError, Err: fmt.Errorf("%w: it ended its goroutine", ErrPanic)}

// callbackFailed converts the error of a callback to the *CloseError that ends the
// connection.
func callbackFailed(err error) error {
	if err == nil {
		return nil
	}
	var ce *CloseError
	if errors.As(err, &ce) && checkClose(ce.Code, ce.Reason) == nil {
		return &CloseError{Code: ce.Code, Reason: ce.Reason, Err: ce.Err}
	}
	return &CloseError{Code: StatusInternalError, Err: err}
}
