package pipeline

import (
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// inThePast is a deadline that has passed.
var inThePast = time.Unix(1, 0)

// pacedBody is the body of a request, whose client has to keep to a minimum rate. Like any
// body it is read by one goroutine at a time, which need not be the handler's.
type pacedBody struct {
	res     *Response
	raw     io.ReadCloser
	http1   bool
	closes  bool // the request says Connection: close
	expects bool // the client waits for a 100 before it sends the body

	off    atomic.Bool // DisableMinBodyRate
	duplex atomic.Bool // EnableFullDuplex
	closed atomic.Bool // by the handler

	mu        sync.Mutex // guards the fields below
	rate      BodyRate
	credit    time.Duration // for which the client may still send nothing
	waiting   bool          // a Read is in progress
	deadline  time.Time     // of that Read
	timer     *time.Timer
	timerAt   time.Time // when the timer fires; zero if it is not armed
	stopped   bool
	expired   bool  // the client was too slow
	begun     bool  // a Read has begun
	done      bool  // the end of the body was read
	failed    bool  // a Read has failed
	read      int64 // bytes
	announced int64 // Content-Length, or -1

	answer sync.Mutex // guards the fields below, which belong to the answer

	written int64         // bytes, until it is settled
	settled bool          // its headers may be sent
	lingers time.Duration // for which the rest of the body may come after it
	drained chan struct{} // closed when drain ends; nil if it has not begun
}

func newPacedBody(res *Response, r *http.Request, rate BodyRate) *pacedBody {
	rate = rate.withDefaults()
	return &pacedBody{
		res:       res,
		raw:       r.Body,
		http1:     r.ProtoMajor == 1,
		closes:    r.Close,
		expects:   r.ProtoMajor == 1 && strings.EqualFold(r.Header.Get("Expect"), "100-continue"),
		rate:      rate,
		credit:    rate.Grace,
		announced: r.ContentLength,
	}
}

func (b *pacedBody) setRate(rate BodyRate) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rate = rate.withDefaults()
	b.credit = b.rate.Grace
}

// isExempt reports whether the rate does not apply. An answer that was flushed makes a
// dialogue of the request, as streams over HTTP/2 are.
func (b *pacedBody) isExempt() bool {
	return b.off.Load() || b.duplex.Load() || b.res.Flushed() || b.res.Upgraded()
}

// Read implements io.Reader.
func (b *pacedBody) Read(p []byte) (int, error) {
	if b.closed.Load() {
		return 0, http.ErrBodyReadAfterClose
	}
	start := time.Now()
	b.beginRead(start)
	n, err := b.raw.Read(p)
	return n, b.endRead(start, n, err)
}

func (b *pacedBody) beginRead(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.begun = true
	if b.stopped || b.done || b.failed || b.isExempt() {
		return
	}
	b.waiting = true
	b.deadline = now.Add(b.credit)
	if b.timerAt.IsZero() || b.deadline.Before(b.timerAt) {
		b.arm(now)
	}
}

// arm sets the timer to the deadline. It runs on over Reads that end in time.
func (b *pacedBody) arm(now time.Time) {
	b.timerAt = b.deadline
	if b.timer == nil {
		b.timer = time.AfterFunc(b.deadline.Sub(now), b.check)
		return
	}
	b.timer.Reset(b.deadline.Sub(now))
}

// check ends the Read that is in progress, if its deadline has passed.
func (b *pacedBody) check() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.timerAt = time.Time{}
	if b.stopped || !b.waiting || b.isExempt() {
		return
	}
	if now := time.Now(); now.Before(b.deadline) {
		b.arm(now)
		return
	}
	b.expired = b.setReadDeadline(inThePast) == nil
}

func (b *pacedBody) endRead(start time.Time, n int, err error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.read += int64(n)
	if b.waiting {
		b.waiting = false
		earned := time.Duration(float64(n) / float64(b.rate.BytesPerSecond) * float64(time.Second))
		b.credit = min(b.credit-time.Since(start)+earned, 2*b.rate.Grace)
	}
	switch err {
	case nil:
		return nil
	case io.EOF:
		b.done = true
		return err
	}
	b.failed = true
	if b.expired && errors.Is(err, os.ErrDeadlineExceeded) {
		return ErrBodyTooSlow
	}
	return err
}

// Close implements io.Closer. Over HTTP/1 net/http's own Close would wait for the rest of the
// body; net/http calls it when the handler has returned.
func (b *pacedBody) Close() error {
	b.closed.Store(true)
	if b.http1 {
		return nil
	}
	return b.raw.Close()
}

// stop stops the timer for good.
func (b *pacedBody) stop() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stopped = true
	if b.timer != nil {
		b.timer.Stop()
	}
}
