//go:build linux

package evloop

import (
	"sync"
	"syscall"
	"time"
)

// batchSize is the maximum number of events that one poll returns.
const batchSize = 128

// batch holds the events of one poll. The leader that owns the batch writes it while it
// leads and the loop is idle. When that leader is deposed, its successor continues in the
// same batch, which is never written again.
type batch struct {
	base uint64 // seq of evs[0]
	n    int
	evs  [batchSize]syscall.EpollEvent
}

// at returns the event for the value w of Loop.w, or nil past the end.
func (b *batch) at(w uint64) *syscall.EpollEvent {
	if i := w>>1 - b.base; i < uint64(b.n) {
		return &b.evs[i]
	}
	return nil
}

const bufferSize = 16 << 10

// A buffer is taken from buffers once a socket is readable, and returned before the leader
// waits.
var buffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}

// leader is the goroutine that polls and serves events. A loop has one at any time. A
// deposed leader finishes its event and ends.
type leader struct {
	loop  *Loop
	w     uint64 // the value of Loop.w that it owns or owned
	batch *batch // the batch being served: its own, or the rest of its predecessor's
	own   batch
	buf   *[bufferSize]byte // nil while the leader waits

	socket   *Socket // of the event being served
	settles  bool    // Data may have been called for the event: FollowUp is next
	phase    phase
	returned bool               // run has returned: no handler ended the goroutine
	poll     func(uintptr) bool // calls gather, for RawConn.Read
	polled   int                // result of poll
}

// phase tells exit which code was running when a handler panicked or ended its goroutine.
type phase uint8

const (
	phaseLoop     phase = iota // code of this package
	phaseHandler               // Data or Kicked: the socket has to be ended
	phaseWritable              // Writable
	phaseEnd                   // End
	phaseFollowUp              // Options.FollowUp: the leader owns no socket
)

// stopped is the result of gather if the leader has to end.
const stopped = -1

func newLeader(l *Loop, w uint64, b *batch) *leader {
	ld := &leader{loop: l, w: w, batch: b}
	ld.poll = func(uintptr) bool {
		ld.polled = ld.gather()
		return ld.polled != 0
	}
	return ld
}

func (l *Loop) lead(ld *leader) {
	l.goroutines.Add(1)
	defer ld.exit()
	ld.run()
	ld.returned = true
}

func (ld *leader) run() {
	l := ld.loop
	for {
		if ld.w&1 == 0 { // idle
			n := ld.wait()
			if n == stopped {
				l.tearDown()
				return
			}
			ld.own.n, ld.own.base = n, ld.w>>1
			ld.batch, l.batch = &ld.own, &ld.own
			ld.w |= 1
			l.w.Store(ld.w) // publishes the batch and cur
			l.watchdog.wake()
		}
		if ev := ld.batch.at(ld.w); ev != nil {
			ld.serve(ev)
		}
		if ld.settles && l.opts.FollowUp != nil {
			ld.followUp()
		}
		if !ld.advance() {
			return
		}
	}
}

// advance moves to the next event, or to idle. It returns false if the watchdog has deposed
// this leader.
func (ld *leader) advance() bool {
	next := ld.w + 1 // idle
	if ld.batch.at(ld.w+2) != nil {
		next = ld.w + 2
	}
	if !ld.loop.w.CompareAndSwap(ld.w, next) {
		ld.afterDeposed()
		return false
	}
	ld.w = next
	return true
}

// wait polls, and waits if there are no events. It returns the number of events in the
// leader's own batch, or stopped.
//
// While the leader is busy, each arrival would trigger an edge at B that wakes a thread in
// Go's netpoller. So A is silenced in B from the second successful poll in a row until a
// poll finds nothing. Registering A anew polls it, so no event is lost.
func (ld *leader) wait() int {
	l := ld.loop
	ld.socket = nil
	for {
		if n := ld.gather(); n != 0 {
			if l.busyPolls++; l.busyPolls == 2 {
				l.silence(true)
			}
			return n
		}
		l.busyPolls = 0
		l.silence(false)
		ld.releaseBuffer()
		if err := l.raw.Read(ld.poll); err != nil {
			l.opts.Logf("evloop: waiting: %v", err)
			time.Sleep(l.opts.shortTick) // no known error leads here; polling still serves the sockets
			continue
		}
		l.busyPolls = 1
		return ld.polled
	}
}

func (ld *leader) releaseBuffer() {
	if ld.buf != nil {
		buffers.Put(ld.buf)
		ld.buf = nil
	}
}

// gather fills the leader's own batch with posts and events, without waiting.
func (ld *leader) gather() int {
	l := ld.loop
	n := 0
	if l.posts.pending.Load() {
		var stop bool
		if n, stop = l.posts.moveTo(ld.own.evs[:maxPosts]); stop {
			return stopped
		}
	}
	polled, errno := epollPoll(l.epfd, ld.own.evs[n:])
	if errno != 0 && errno != syscall.EINTR {
		l.opts.Logf("evloop: polling: %v", errno)
	}
	return n + polled
}

// silence(true) stops B from reporting A; silence(false) resumes it.
func (l *Loop) silence(on bool) {
	if l.silent == on {
		return
	}
	l.silent = on
	var events uint32 = syscall.EPOLLIN
	if on {
		events = 0
	}
	if err := epollCtl(l.outfd, syscall.EPOLL_CTL_MOD, l.epfd, events, 0); err != nil {
		l.opts.Logf("evloop: silencing: %v", err)
	}
}

// exit runs when the leader's goroutine ends. If a handler ended it with a panic or
// runtime.Goexit, a new goroutine takes over its leadership and its socket.
func (ld *leader) exit() {
	ld.loop.goroutines.Add(-1)
	if ld.returned {
		ld.releaseBuffer()
		return
	}
	if ld.phase == phaseLoop {
		return // a bug in this package: the panic continues
	}
	go ld.loop.resume(ld, recoveredError(recover()))
}

func (l *Loop) resume(ld *leader, err error) {
	l.goroutines.Add(1)
	defer ld.exit()
	switch {
	case ld.phase == phaseHandler && !ld.socket.takenFrom(ld.w):
		ld.finish(err)
	case ld.phase == phaseEnd:
		l.opts.Logf("%v", err) // there is no handler call left for the error
	default:
		l.logUnhandled(err)
	}
	ld.phase = phaseLoop
	if ld.advance() {
		ld.run()
	}
	ld.returned = true
}
