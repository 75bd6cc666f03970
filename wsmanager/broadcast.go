package wsmanager

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/speakingtube/speakingtube/wsmanager/internal/counters"
	"github.com/speakingtube/speakingtube/wsmanager/internal/frame"
)

// broadcast is one message that is sent to a set of connections.
type broadcast struct {
	frames [encodings][]byte // nil for an encoding that failed
	except []*Conn           // the connections that do not get b; without duplicates
	order  uint64            // the position of b among all broadcasts of the Manager

	// encoded are the encodings that were tried. A connection with another one became a
	// receiver later and does not get b.
	encoded encodingSet

	// awaited means that the caller waits for the result. Otherwise the caller's result has
	// counted each receiver as Queued, or as Dropped if its encoding failed.
	awaited bool

	// exceptedMembers are the members of the set that except names; guarded by the queue's lock
	// until the broadcast is published.
	exceptedMembers []recipient

	sent   Sent         // counted by the goroutine that delivers the batch
	queued atomic.Int32 // for Sent.Queued; counted by goroutines that catch a connection up before this batch reaches it
	drops  atomic.Int32 // for Sent.Dropped; counted by the same goroutines
}

var broadcasts = sync.Pool{New: func() any { return new(broadcast) }}

// release returns b to the pool when its batch has been delivered. No other goroutine uses b
// then. One that catches a connection up uses b only while it holds the connection's lock, and
// delivering the batch takes that lock afterwards.
func (b *broadcast) release() {
	clear(b.frames[:])
	clear(b.except)
	clear(b.exceptedMembers)
	b.except, b.exceptedMembers = b.except[:0], b.exceptedMembers[:0]
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

// isFor reports whether b is for c, a receiver with the encoding e.
func (b *broadcast) isFor(c *Conn, e encoding) bool {
	return b.encoded.has(e) && !slices.Contains(b.except, c)
}

// note counts the result for one connection. catchUp: sent by a goroutine other than the one
// that delivers the batch.
func (b *broadcast) note(c *Conn, err error, catchUp bool) {
	switch {
	case err == ErrClosed:
		if !b.awaited { // the caller's result has counted c as Queued
			c.m.counters.Drop(counters.Closed, 1)
		}
	case !catchUp:
		b.sent.count(err)
	case err == nil:
		b.queued.Add(1)
	default:
		b.drops.Add(1)
	}
}

// dropUnsendable counts the drop for a connection whose encoding failed. catchUp is that of
// note.
func (b *broadcast) dropUnsendable(c *Conn, catchUp bool) {
	c.m.counters.Drop(counters.Unsendable, 1)
	if catchUp {
		b.drops.Add(1)
	} else {
		b.sent.Dropped++
	}
}

// batchFrames has the frames of a batch for each encoding that a receiver has.
type batchFrames struct {
	batch      []*broadcast
	byEncoding [encodings]struct {
		made   bool
		frames [][]byte
		joined *[]byte // the concatenation of frames; nil if they are not joined
	}
}

// joined returns the frames of the batch in the encoding e, and their concatenation. n is the
// number of broadcasts that the receiver needs. joined returns nil if n is less than the whole
// batch (the receiver needs only the last n), if there is only one broadcast, or if the frames
// are too long to join or one is missing.
func (bf *batchFrames) joined(e encoding, n int) (data []byte, frames [][]byte) {
	if n < len(bf.batch) || n < 2 {
		return nil, nil
	}
	f := &bf.byEncoding[e]
	if !f.made {
		f.made = true
		size := 0
		for _, b := range bf.batch {
			size += len(b.frames[e])
			f.frames = append(f.frames, b.frames[e])
		}
		complete := !slices.ContainsFunc(f.frames, func(p []byte) bool { return p == nil })
		if complete && size <= maxJoined {
			f.joined = frame.GetBuffer()
			for _, p := range f.frames {
				*f.joined = append(*f.joined, p...)
			}
		}
	}
	if f.joined == nil {
		return nil, nil
	}
	return *f.joined, f.frames
}

// excepts reports whether one of the broadcasts excepts c.
func (bf *batchFrames) excepts(c *Conn) bool {
	return slices.ContainsFunc(bf.batch, func(b *broadcast) bool { return slices.Contains(b.except, c) })
}

func (bf *batchFrames) release() {
	for i := range bf.byEncoding {
		if buf := bf.byEncoding[i].joined; buf != nil {
			frame.PutBuffer(buf)
		}
	}
}
