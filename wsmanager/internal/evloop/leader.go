//go:build linux

package evloop

import (
	"sync"
	"syscall"
	"time"
)

// batchSize is how many events one poll returns at most.
const batchSize = 128

// batch is what one poll has returned. It is written by the leader that it
// belongs to, only while that leads and the loop is idle; when a leader is
// deposed its successor goes on in the same batch, and nobody writes it again.
type batch struct {
	base uint64 // seq of evs[0]
	n    int
	evs  [batchSize]syscall.EpollEvent
}

// at is the event that the value w of Loop.w stands for, or nil past the end.
func (b *batch) at(w uint64) *syscall.EpollEvent {
	if i := w>>1 - b.base; i < uint64(b.n) {
		return &b.evs[i]
	}
	return nil
}

const bufferSize = 16 << 10

// buffers are taken once a socket is readable.
var buffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}

// leader is the goroutine that polls and serves events, one at any time in a
// loop. A deposed leader finishes its event and ends.
type leader struct {
	loop *Loop
	me   uint64 // the value of Loop.w that it owns, or owned
	b    *batch // being served: its own, or the rest of its predecessor's
	own  batch
	buf  *[bufferSize]byte // nil while it waits

	s      *Socket // of the event being served
	phase  phase
	end    bool               // it ends as it should
	poll   func(uintptr) bool // gather, for RawConn.Read
	polled int                // what poll found
}

// phase is what runs when a handler panics or ends its goroutine.
type phase uint8

const (
	ours     phase = iota // our own code
	owning                // Data or Kicked: the socket has to be ended
	lending               // Writable
	finished              // End
)

// stopped is gather's result when the leader is to end.
const stopped = -1

func newLeader(l *Loop, me uint64, b *batch) *leader {
	ld := &leader{loop: l, me: me, b: b}
	ld.poll = func(uintptr) bool {
		ld.polled = ld.gather()
		return ld.polled != 0
	}
	return ld
}

func (l *Loop) lead(ld *leader) {
	l.goroutines.Add(1)
	defer ld.leave()
	ld.run()
	ld.end = true
}

func (ld *leader) run() {
	l := ld.loop
	for {
		if ld.me&1 == 0 { // idle
			n := ld.wait()
			if n == stopped {
				l.tearDown()
				return
			}
			ld.own.n, ld.own.base = n, ld.me>>1
			ld.b, l.cur = &ld.own, &ld.own
			ld.me |= 1
			l.w.Store(ld.me) // publishes the batch and cur
			l.watchdog.noticeWork()
		}
		if ev := ld.b.at(ld.me); ev != nil {
			ld.serve(ev)
		}
		if !ld.advance() {
			return
		}
	}
}

// advance goes to the next event, or to idle. false: the watchdog was faster,
// and another goroutine leads.
func (ld *leader) advance() bool {
	next := ld.me + 1 // idle
	if ld.b.at(ld.me+2) != nil {
		next = ld.me + 2
	}
	if !ld.loop.w.CompareAndSwap(ld.me, next) {
		ld.afterDeposed()
		return false
	}
	ld.me = next
	return true
}

// wait polls, and waits if there is nothing. It returns how many events are in
// the leader's own batch, or stopped.
//
// While the leader is busy, each arrival would be an edge at B that wakes
// whichever thread sits in Go's netpoller. So A is silenced in B from the second
// poll in a row that finds something until one finds nothing. Registering A anew
// polls it, so nothing is lost.
func (ld *leader) wait() int {
	l := ld.loop
	ld.s = nil
	for {
		if n := ld.gather(); n != 0 {
			if l.streak++; l.streak == 2 {
				l.silence(true)
			}
			return n
		}
		l.streak = 0
		l.silence(false)
		ld.dropBuffer()
		if err := l.raw.Read(ld.poll); err != nil {
			l.opts.Logf("evloop: waiting: %v", err)
			time.Sleep(l.opts.shortTick) // nothing is known that leads here; polling still serves
			continue
		}
		l.streak = 1
		return ld.polled
	}
}

func (ld *leader) dropBuffer() {
	if ld.buf != nil {
		buffers.Put(ld.buf)
		ld.buf = nil
	}
}

// gather fills the leader's own batch with what there is, without waiting.
func (ld *leader) gather() int {
	l := ld.loop
	n := 0
	if l.posts.attention.Load() {
		var stop bool
		if n, stop = l.posts.take(ld.own.evs[:maxPosts]); stop {
			return stopped
		}
	}
	polled, errno := epollPoll(l.epfd, ld.own.evs[n:])
	if errno != 0 && errno != syscall.EINTR {
		l.opts.Logf("evloop: polling: %v", errno)
	}
	return n + polled
}

// silence has B listen to A, or not.
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

// leave is what the leader's goroutine does at its end. If a handler ended it,
// by a panic or runtime.Goexit, another takes its place, with its leadership and
// its socket.
func (ld *leader) leave() {
	ld.loop.goroutines.Add(-1)
	if ld.end {
		ld.dropBuffer()
		return
	}
	if ld.phase == ours {
		return // a bug of this package: the panic goes on
	}
	go ld.loop.resume(ld, failure(recover()))
}

func (l *Loop) resume(ld *leader, err error) {
	l.goroutines.Add(1)
	defer ld.leave()
	switch {
	case ld.phase == owning && !ld.s.takenFrom(ld.me):
		ld.finish(err)
	case ld.phase == finished:
		l.opts.Logf("%v", err) // no handler is left to be told
	default:
		l.logUntold(err)
	}
	ld.phase = ours
	if ld.advance() {
		ld.run()
	}
	ld.end = true
}
