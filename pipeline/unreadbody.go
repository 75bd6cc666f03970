package pipeline

import (
	"io"
	"net/http"
	"time"

	"github.com/speakingtube/speakingtube/internal/httpx"
)

const (
	// settleTime is how long an answer waits for the rest of the body. A body that is on its
	// way arrives in this time, and the connection can be used again. It is also the time for
	// which a connection lingers that a handler closes.
	settleTime = 500 * time.Millisecond

	// maxUnread is the size up to which an unread body is read to use the connection again.
	// net/http has the same limit.
	maxUnread = 256 << 10

	// unflushed is the size of net/http's buffer for the beginning of an answer. While the
	// answer fits, its headers have not been sent, and the body can still be read.
	unflushed = 2048
)

// end is called when the handlers have returned.
func (b *pacedBody) end(w http.ResponseWriter) {
	b.stop()
	if _, expired := b.state(); expired && !b.res.Started() {
		w.WriteHeader(http.StatusRequestTimeout)
	}
	b.duplex.Store(false) // it ends with the handlers
	b.settle()
	b.finish()
}

// abandon is called when the handlers have panicked. A component above may answer.
func (b *pacedBody) abandon() {
	b.stop()
	b.answer.Lock()
	if done, _ := b.state(); b.http1 && !done && !b.settled && !b.res.Upgraded() {
		b.settled, b.lingers = true, settleTime
		httpx.CloseAfterAnswer(httpx.Innermost(b.res.raw))
	}
	b.answer.Unlock()
	b.finish()
}

// finish sets the deadline for what net/http still reads of the body.
func (b *pacedBody) finish() {
	if !b.http1 || b.res.Upgraded() {
		return
	}
	b.answer.Lock()
	defer b.answer.Unlock()
	if done, _ := b.state(); done {
		return
	}
	if b.drained != nil {
		_ = b.setReadDeadline(inThePast) // ends drain; the connection may be gone
		<-b.drained
	}
	// net/http reads the rest of the body after the answer. A client that sends its request
	// before it reads would not see the answer if the connection were closed at once.
	deadline := inThePast
	if b.lingers > 0 {
		deadline = time.Now().Add(b.lingers)
	}
	_ = b.setReadDeadline(deadline)
}

// state reports whether nothing of the body is left, and whether the client was too slow.
func (b *pacedBody) state() (done, expired bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.done, b.expired
}

// wasTooSlow reports whether the body has ended because the client was too slow.
func (b *pacedBody) wasTooSlow() bool {
	done, expired := b.state()
	return expired && !done
}

// beforeWrite is called before n bytes of the answer are written. Those that don't fit into
// net/http's buffer send the headers.
func (b *pacedBody) beforeWrite(n int) {
	b.answer.Lock()
	b.written += int64(n)
	sends := b.written > unflushed
	b.answer.Unlock()
	if sends {
		b.settle()
	}
}

// isSettled reports whether the headers of the answer may have been sent.
func (b *pacedBody) isSettled() bool {
	b.answer.Lock()
	defer b.answer.Unlock()
	return b.settled
}

// settle decides what becomes of an unread body, before the headers of the answer are sent. If
// the rest of the body arrives soon, it is read, as net/http would do. Otherwise net/http is
// told to close the connection after the answer, so that it sends the answer now.
func (b *pacedBody) settle() {
	if !b.http1 || b.duplex.Load() || b.res.Upgraded() {
		return
	}
	b.answer.Lock()
	defer b.answer.Unlock()
	if b.settled {
		return
	}
	b.settled = true
	b.mu.Lock()
	begun, done, failed, left := b.begun, b.done, b.failed, b.announced-b.read
	b.lingers = b.rate.Grace
	b.mu.Unlock()
	switch {
	case failed: // too slow, malformed, or a deadline of the handler's
		b.lingers = 0
	case done:
		return
	case b.expects && !begun: // net/http closes the connection of a client that waits for a 100
		b.lingers = min(b.lingers, settleTime)
		if b.isRefused() {
			b.lingers = 0
		}
		return
	case b.closes, b.isRefused():
		b.lingers = min(b.lingers, settleTime)
	case b.announced >= 0 && left > maxUnread:
		b.lingers = 0
	default:
		if b.drain() {
			return
		}
	}
	httpx.CloseAfterAnswer(httpx.Innermost(b.res.raw))
}

// isRefused reports whether the handlers close the connection after the answer.
func (b *pacedBody) isRefused() bool {
	return httpx.ListContains(b.res.header().Values("Connection"), "close")
}

// drain reads the rest of the body, and reports whether that was all. It goes on after
// settleTime, since a client that sends its request before it reads might wait for it. A read
// deadline would end the request's context.
func (b *pacedBody) drain() (all bool) {
	b.closed.Store(true) // for the handlers
	b.drained = make(chan struct{})
	go func() {
		defer close(b.drained)
		n, err := io.CopyN(io.Discard, b.raw, maxUnread+1)
		b.mu.Lock()
		defer b.mu.Unlock()
		b.read += n
		b.done, b.failed = err == io.EOF, err != nil && err != io.EOF
	}()
	timer := time.NewTimer(settleTime)
	defer timer.Stop()
	select {
	case <-b.drained:
		if done, _ := b.state(); done {
			return true
		}
		b.lingers = 0 // it is too long, or malformed
	case <-timer.C:
	}
	return false
}

func (b *pacedBody) setReadDeadline(t time.Time) error {
	return http.NewResponseController(b.res.raw).SetReadDeadline(t)
}
