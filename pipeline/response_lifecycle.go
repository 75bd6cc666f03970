package pipeline

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
)

// The phases of a Response. It returns from firing to open if a callback panicked or a
// hijack failed, because nothing has been sent then.
const (
	phaseOpen uint32 = iota
	phaseFiring
	phaseStarted
	phaseCompleted
)

// start runs the OnStarting callbacks, the last one first, unless they have run. The caller
// sends the headers when start returns. If a callback panics, the response stays open.
func (res *Response) start(status int) {
	if res.phase.Load() != phaseOpen {
		return // started already; or a callback writes, which is allowed
	}
	res.mu.Lock()
	if res.phase.Load() != phaseOpen {
		res.mu.Unlock()
		return
	}
	if len(res.starting) == 0 {
		res.phase.Store(phaseStarted)
		res.mu.Unlock()
	} else {
		res.phase.Store(phaseFiring)
		res.mu.Unlock()
		if !res.fire(status) {
			return
		}
	}
	if status >= http.StatusInternalServerError {
		res.noteAbandoned()
	}
	res.status.Store(int32(status))
	if status == http.StatusSwitchingProtocols || res.extended && status < 300 {
		res.upgraded.Store(true)
	}
}

// noteAbandoned finds out whether a failure is answered for a client that has left already.
// One that leaves later may have received the answer.
func (res *Response) noteAbandoned() {
	res.mu.Lock()
	defer res.mu.Unlock()
	res.abandoned = context.Cause(res.parent) == context.Canceled
}

// fire runs the OnStarting callbacks until there are none, since a callback may register
// another one. The response has started then. If one panics, the response is open again,
// without callbacks. A response that was completed meanwhile stays completed, and fire
// returns false: this start came from a goroutine that outlives its handler.
func (res *Response) fire(status int) bool {
	done := false
	defer func() {
		if done {
			return
		}
		res.mu.Lock()
		defer res.mu.Unlock()
		if res.phase.Load() == phaseFiring {
			res.starting = nil
			res.phase.Store(phaseOpen)
		}
	}()
	h := res.w.Header()
	for {
		next, ok := res.nextStarter()
		if next == nil {
			done = true
			return ok
		}
		next.Starting(h, status)
	}
}

// nextStarter removes the callback that was registered last and returns it. If there is
// none, it starts the response, unless that is complete, in the same critical section: a
// callback that is registered is run.
func (res *Response) nextStarter() (s Starter, started bool) {
	res.mu.Lock()
	defer res.mu.Unlock()
	if res.phase.Load() != phaseFiring {
		return nil, false
	}
	last := len(res.starting) - 1
	if last < 0 {
		res.phase.Store(phaseStarted)
		return nil, true
	}
	s = res.starting[last]
	res.starting = res.starting[:last]
	return s, false
}

// reopen undoes a start that has sent nothing.
func (res *Response) reopen() {
	res.mu.Lock()
	defer res.mu.Unlock()
	if res.phase.Load() == phaseStarted {
		res.starting = nil // they have run
		res.phase.Store(phaseOpen)
		res.status.Store(0)
		res.upgraded.Store(false)
	}
}

// The write paths. Once the response is complete all of them fail: a goroutine that
// outlives its handler would otherwise write into net/http's buffer, which may belong to
// another request by then.

// isComplete reports whether the response is complete.
func (res *Response) isComplete() bool { return res.phase.Load() == phaseCompleted }

// startStatus is the write path of WriteHeader. A 1xx status does not start the response;
// neither does a status that makes net/http panic.
func (res *Response) startStatus(code int) (open bool) {
	if code >= 200 && code <= 999 || code == http.StatusSwitchingProtocols && res.final101 {
		res.start(code)
	}
	return !res.isComplete()
}

// startBody is the write path of every method that writes n bytes of a body.
func (res *Response) startBody(n int) error {
	res.start(http.StatusOK)
	if res.isComplete() {
		return ErrResponseCompleted
	}
	if res.body != nil {
		res.body.beforeWrite(n)
	}
	return nil
}

func (res *Response) wrote(n int) { res.bytes.Add(int64(n)) }

// startFlush is the write path of Flush.
func (res *Response) startFlush() error {
	res.start(http.StatusOK)
	if res.isComplete() {
		return ErrResponseCompleted
	}
	if res.body != nil {
		res.body.settle()
	}
	res.flushed.Store(true)
	return nil
}

// header returns the header for a handler. HTTP/2's Header method panics after the end.
func (res *Response) header() http.Header {
	if res.isComplete() {
		return http.Header{}
	}
	return res.w.Header()
}

// hijack is the write path of Hijack.
func (res *Response) hijack(next func() (net.Conn, *bufio.ReadWriter, error)) (net.Conn, *bufio.ReadWriter, error) {
	started := res.Started()
	res.start(http.StatusSwitchingProtocols)
	if res.isComplete() {
		return nil, nil, ErrResponseCompleted
	}
	conn, rw, err := next()
	if err != nil {
		if !started {
			res.reopen()
		}
		return conn, rw, err
	}
	res.upgraded.Store(true)
	res.mu.Lock()
	defer res.mu.Unlock()
	res.taken = true
	if res.phase.Load() != phaseCompleted && !res.ownedByOuter {
		res.hijacked = conn
	}
	return conn, rw, nil
}

// handedOver is called when handlers have returned normally: a connection that they
// hijacked has a new owner then, and a later panic must not close it.
func (res *Response) handedOver() {
	if !res.upgraded.Load() {
		return
	}
	res.mu.Lock()
	defer res.mu.Unlock()
	res.hijacked = nil
}

// end completes the response to r. For the request that was passed on it does the cleanup
// that net/http does only for its own.
func (res *Response) end(r *http.Request) {
	res.complete()
	if form := res.req.MultipartForm; form != nil && form != r.MultipartForm {
		_ = form.RemoveAll()
	}
	if r.Pattern != res.req.Pattern {
		r.Pattern = res.req.Pattern // as if ServeMux had been given r itself
	}
}

// complete ends the life and runs the OnCompleted callbacks.
func (res *Response) complete() {
	res.mu.Lock()
	hijacked := res.hijacked
	res.hijacked = nil
	res.phase.Store(phaseCompleted)
	res.mu.Unlock()

	if hijacked != nil {
		// The handlers panicked after a Hijack; net/http would never close the connection.
		_ = hijacked.Close()
	}
	for i := len(res.completed) - 1; i >= 0; i-- { // nothing is added any more
		runCompleted(res.completed[i])
	}
}

func runCompleted(c Completer) {
	defer func() {
		if v := recover(); v != nil {
			err, ok := v.(error)
			if !ok {
				err = fmt.Errorf("%v", v)
			}
			if errors.Is(err, http.ErrAbortHandler) {
				return
			}
			slog.Error("an OnCompleted callback panicked", "err", err, "stack", string(debug.Stack()))
		}
	}()
	c.Completed()
}
