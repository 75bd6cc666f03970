package pipeline

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"sync"
)

// The phases of a Response. It goes back from firing to open where a callback
// panicked or a hijack failed: nothing has been sent then.
const (
	phaseOpen uint32 = iota
	phaseFiring
	phaseStarted
	phaseCompleted
)

// start runs the OnStarting callbacks, the last one first, if nobody has. The
// caller sends the headers when it returns. It leaves the response open if a
// callback panics.
func (res *Response) start(status int) {
	if res.phase.Load() != phaseOpen {
		return // has started; or a callback writes: let it through
	}
	res.mu.Lock()
	if res.phase.Load() != phaseOpen {
		res.mu.Unlock()
		return
	}
	res.phase.Store(phaseFiring) // from now on the list stays as it is
	res.mu.Unlock()
	if len(res.starting) > 0 {
		res.fire(status)
	}
	// A response that was completed meanwhile stays so: this start came from a
	// goroutine that was left behind.
	if !res.phase.CompareAndSwap(phaseFiring, phaseStarted) {
		return
	}
	res.status.Store(int32(status))
	if status == http.StatusSwitchingProtocols || res.extended && status < 300 {
		res.upgraded.Store(true)
	}
}

// fire runs the OnStarting callbacks. If one panics the response is open again,
// without them.
func (res *Response) fire(status int) {
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
	for i := len(res.starting) - 1; i >= 0; i-- {
		res.starting[i].Starting(h, status)
	}
	done = true
}

// reopen takes back a start that sent nothing.
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

// The doors. Once the response is complete all of them are shut: a handler that
// goes on in a goroutine it left behind would otherwise write into net/http's
// buffer, which may be another request's by then.

// over reports whether the response is complete.
func (res *Response) over() bool { return res.phase.Load() == phaseCompleted }

// startStatus is the door WriteHeader. 1xx announces, it does not start; and a
// code that net/http panics about starts nothing either.
func (res *Response) startStatus(code int) (open bool) {
	if code >= 200 && code <= 999 || code == http.StatusSwitchingProtocols && res.final101 {
		res.start(code)
	}
	return !res.over()
}

// startBody is the door of everything that writes.
func (res *Response) startBody() error {
	res.start(http.StatusOK)
	if res.over() {
		return ErrResponseCompleted
	}
	return nil
}

func (res *Response) wrote(n int) { res.bytes.Add(int64(n)) }

// startFlush is the door Flush.
func (res *Response) startFlush() error {
	res.start(http.StatusOK)
	if res.over() {
		return ErrResponseCompleted
	}
	res.flushed.Store(true)
	return nil
}

// header is the header that a handler sees. HTTP/2's panics when it is asked for
// too late.
func (res *Response) header() http.Header {
	if res.over() {
		return http.Header{}
	}
	return res.w.Header()
}

// sniffLen is how much of a source net/http reads by itself, to guess its type,
// before it hands the rest over.
const sniffLen = 512

var sniffBuffers = sync.Pool{New: func() any { return new([sniffLen]byte) }}

// readFrom is the door ReadFrom. A source that fails or is empty starts nothing,
// so the beginning goes through write.
func (res *Response) readFrom(src io.Reader, write io.Writer, rest io.ReaderFrom) (int64, error) {
	var begun int64
	if !res.Started() {
		n, more, err := res.beginFrom(src, write)
		if !more {
			return n, err
		}
		begun = n
	}
	if res.over() {
		return begun, ErrResponseCompleted
	}
	n, err := rest.ReadFrom(src)
	res.bytes.Add(n)
	return begun + n, err
}

// beginFrom copies the first sniffLen bytes, as they come. It reports whether
// there may be more.
func (res *Response) beginFrom(src io.Reader, write io.Writer) (begun int64, more bool, err error) {
	buf := sniffBuffers.Get().(*[sniffLen]byte)
	defer sniffBuffers.Put(buf)
	for begun < sniffLen {
		n, rerr := src.Read(buf[:sniffLen-begun])
		if n > 0 {
			if err := res.startBody(); err != nil {
				return begun, false, err
			}
			m, werr := write.Write(buf[:n])
			res.wrote(m)
			begun += int64(m)
			if werr == nil && m < n {
				werr = io.ErrShortWrite
			}
			if werr != nil {
				return begun, false, werr
			}
		}
		if rerr == io.EOF {
			return begun, false, nil
		}
		if rerr != nil {
			return begun, false, rerr
		}
	}
	return begun, true, nil
}

// hijack is the door Hijack.
func (res *Response) hijack(next func() (net.Conn, *bufio.ReadWriter, error)) (net.Conn, *bufio.ReadWriter, error) {
	started := res.Started()
	res.start(http.StatusSwitchingProtocols)
	if res.over() {
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
	if res.phase.Load() != phaseCompleted && !res.lent {
		res.hijacked = conn
	}
	return conn, rw, nil
}

// handedOver is called when handlers have returned in order: a connection that
// they hijacked is somebody else's now, and no later panic's to close.
func (res *Response) handedOver() {
	if !res.upgraded.Load() {
		return
	}
	res.mu.Lock()
	defer res.mu.Unlock()
	res.hijacked = nil
}

// end completes the response to r, and does for the request that was handed on
// what net/http does for its own only.
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
		// The handlers panicked with the connection in their hands; net/http
		// would leave it open for ever.
		_ = hijacked.Close()
	}
	for i := len(res.completed) - 1; i >= 0; i-- { // to which nothing is added any more
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
