package wsmanager

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/speakingtube/speakingtube/wsmanager/internal/counters"
)

// broadcast is one message that is sent to a set of connections.
type broadcast struct {
	frames  [encodings][]byte // nil for an encoding that failed
	encoded encodingSet       // the encodings in frames; a connection with another one has joined later
	except  []*Conn           // does not get it; without duplicates
	entered []recipient       // the connections of except that are in the set; guarded by the queue's lock until it is published
	order   uint64            // its position among all broadcasts of the Manager
	awaited bool              // its caller waits for the result; otherwise the result has counted all receivers as Queued

	sent          Sent         // counted by the goroutine that delivers the batch
	queued, drops atomic.Int32 // counted by other goroutines: see broadcaster.catchUpLocked
}

var broadcasts = sync.Pool{New: func() any { return new(broadcast) }}

// release returns b to the pool when its batch has been delivered. No other goroutine uses b
// then: a goroutine that takes it for a connection holds the connection's lock until it is
// sent, and the goroutine that delivers the batch has held that lock afterwards.
func (b *broadcast) release() {
	clear(b.frames[:])
	clear(b.except)
	clear(b.entered)
	b.except, b.entered = b.except[:0], b.entered[:0]
	b.encoded, b.order, b.awaited, b.sent = 0, 0, false, Sent{}
	b.queued.Store(0)
	b.drops.Store(0)
	broadcasts.Put(b)
}

// size returns the length of all frames in bytes.
func (b *broadcast) size() (n int) {
	for e := range b.encoded.all {
		n += len(b.frames[e])
	}
	return n
}

// result returns the result of the broadcast when its batch has been delivered.
func (b *broadcast) result() Sent {
	return Sent{Queued: b.sent.Queued + int(b.queued.Load()), Dropped: b.sent.Dropped + int(b.drops.Load())}
}

// isFor reports whether c, with the encoding e, gets the broadcast.
func (b *broadcast) isFor(c *Conn, e encoding) bool {
	return b.encoded.has(e) && !slices.Contains(b.except, c)
}

// note counts the result for one connection. late means that another goroutine than the
// one that delivers the batch has sent it.
func (b *broadcast) note(c *Conn, err error, late bool) {
	switch {
	case err == ErrClosed:
		if !b.awaited { // its result has counted c as Queued
			c.m.counters.Drop(counters.Closed, 1)
		}
	case !late:
		b.sent.count(err)
	case err == nil:
		b.queued.Add(1)
	default:
		b.drops.Add(1)
	}
}

// dropUnsendable counts a connection with an encoding that failed.
func (b *broadcast) dropUnsendable(c *Conn, late bool) {
	c.m.counters.Drop(counters.Unsendable, 1)
	if late {
		b.drops.Add(1)
	} else {
		b.sent.Dropped++
	}
}

// batchFrames has the frames of a batch, concatenated, for each encoding that a receiver
// has.
type batchFrames struct {
	batch []*broadcast
	each  [encodings]struct {
		made bool
		data *[]byte // nil if they can't be concatenated
		all  [][]byte
	}
}

// frames returns the frames of the batch in the encoding e. data is nil if the receiver
// needs only the last n of several, or if they are not concatenated.
func (j *batchFrames) frames(e encoding, n int) (data []byte, frames [][]byte) {
	if n < len(j.batch) || n < 2 {
		return nil, nil
	}
	f := &j.each[e]
	if !f.made {
		f.made = true
		size := 0
		for _, b := range j.batch {
			size += len(b.frames[e])
			f.all = append(f.all, b.frames[e])
		}
		complete := !slices.ContainsFunc(f.all, func(p []byte) bool { return p == nil })
		if complete && size <= maxJoined {
			f.data = getFrame()
			for _, p := range f.all {
				*f.data = append(*f.data, p...)
			}
		}
	}
	if f.data == nil {
		return nil, nil
	}
	return *f.data, f.all
}

// excepts reports whether c does not get one of the broadcasts.
func (j *batchFrames) excepts(c *Conn) bool {
	return slices.ContainsFunc(j.batch, func(b *broadcast) bool { return slices.Contains(b.except, c) })
}

func (j *batchFrames) release() {
	for i := range j.each {
		if buf := j.each[i].data; buf != nil {
			putFrame(buf)
		}
	}
}
