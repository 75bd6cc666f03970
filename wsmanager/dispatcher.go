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
	callTaken                      // a takeover is in progress: the reader calls no callbacks
	callWatched                    // the connection is in Manager.watch
	callCount                      // from this bit on: how many callbacks the reader has called
)

// dispatchHost is the connection as its dispatcher sees it. The Locker is the connection's
// lock.
type dispatchHost interface {
	sync.Locker

	// The dispatcher holds the lock when it calls these methods.

	isOpen() bool
	hasEnded() bool          // the connection has ended for the application, or its transport is closed
	handover() *handover     // nil if the connection never had a takeover
	makeHandover() *handover // the same, made if it is nil
	takeReader() (driver, bool)
	readOn(d driver, tenure uint32)
	resumeReading()     // restarts the peer's idle time, because the reader has waited until now
	maxQueuedSize() int // of queued messages, in bytes

	// The dispatcher does not hold the lock when it calls these methods.

	watch()                      // adds the connection to Manager.watch
	onReceived(m received) error // calls OnMessage or OnPiece, and returns the result of callbackFailed
	onQueued(m received) error   // the same for a queued message
	panicked(v any) error        // records a panic, and returns the error that ends the connection
	endTaken(err error)          // ends the connection after a callback of callQueued has returned err; does nothing if err is nil
	reportClosePanic(err error)  // logs a panic of OnClose
}

// runs reports whether a callback has not returned.
func (d *dispatcher) runs() bool { return d.calling.Load()&callRuns != 0 }

// taken reports whether a goroutine other than the reader calls the callbacks.
func (d *dispatcher) taken() bool { return d.calling.Load()&callTaken != 0 }

// readPaused reports whether a callback keeps the reader from reading at the moment. k is the
// takeover in progress, or nil.
func (d *dispatcher) readPaused(k *takeover) bool {
	v := d.calling.Load()
	if v&callTaken == 0 {
		return v&callRuns != 0
	}
	return k != nil && k.room != nil
}

// begin notes that the reader calls a callback.
func (d *dispatcher) begin(h dispatchHost) {
	if d.calling.Add(callCount|callRuns)&callWatched == 0 {
		d.calling.Or(callWatched)
		h.watch()
	}
}

// returned notes that a callback of the reader has returned err. It reports whether another
// goroutine has become the reader. If so, returned has started a third goroutine, which
// continues with the callbacks. The calling goroutine can't: its stack and its read buffer
// belong to its caller, which must not touch anything that belongs to the reader: see
// frame.ErrTaken.
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
		taken := h.handover().active() != nil // nil if takeOver has undone the takeover
		h.Unlock()
		if taken {
			go d.callQueued(h, err)
			return true
		}
	}
}

// callMessage calls OnMessage or OnPiece, without a closure.
func (d *dispatcher) callMessage(h dispatchHost, m received) (err error) {
	d.begin(h)
	err = errExited // remains if the callback ends the goroutine
	defer func() {
		if v := recover(); v != nil {
			err = h.panicked(v)
		}
		if d.returned(h, err) {
			err = frame.ErrTaken
		}
	}()
	return h.onReceived(m)
}

// call calls OnConnect. f returns the result of callbackFailed.
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
	return f()
}

// callClose calls OnClose, the last callback.
func (d *dispatcher) callClose(h dispatchHost, f func()) {
	if d.calling.Or(callRuns)&callRuns == 0 { // otherwise callQueued has called callClose, and clears the bit
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
func callbackFailed(err error, policy InvalidUTF8) error {
	if err == nil {
		return nil
	}
	var ce *CloseError
	if errors.As(err, &ce) {
		reason := policy.reason(ce.Reason)
		if checkClose(ce.Code, reason) == nil {
			return &CloseError{Code: ce.Code, Reason: reason, Err: ce.Err}
		}
	}
	return &CloseError{Code: StatusInternalError, Err: err}
}
