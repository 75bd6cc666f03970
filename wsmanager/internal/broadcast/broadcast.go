package broadcast

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/speakingtube/speakingtube/wsmanager/internal/counters"
	"github.com/speakingtube/speakingtube/wsmanager/internal/frame"
)

// Broadcast is one message that is sent to a set of connections. Make one with
// [NewBroadcast], and add frames and exceptions before it is published.
type Broadcast[C comparable] struct {
	frames [encodings][]byte // nil for an encoding that failed
	except []C               // the connections that do not get b; without duplicates
	order  uint64            // the position of b among all broadcasts of the Broadcaster

	// encoded are the encodings that were tried. A connection with another one became a
	// receiver later and does not get b.
	encoded EncodingSet

	// awaited means that the caller waits for the result. Otherwise the caller's result has
	// counted each receiver as Queued, or as Dropped if its encoding failed.
	awaited bool

	// exceptedMembers are the members of the set that except names; guarded by the queue's lock
	// until the broadcast is published.
	exceptedMembers []place[C]

	sent   Result       // counted by the goroutine that delivers the batch
	queued atomic.Int32 // for Result.Queued; counted by goroutines that catch a connection up before this batch reaches it
	drops  atomic.Int32 // for Result.Dropped; counted by the same goroutines
}

var broadcasts sync.Pool // of *Broadcast

// NewBroadcast returns a broadcast without frames.
func NewBroadcast[C comparable]() *Broadcast[C] { return pooled[Broadcast[C]](&broadcasts) }

// SetFrame sets the frame for an encoding: nil if the message can't be encoded so.
func (b *Broadcast[C]) SetFrame(e Encoding, frame []byte) {
	b.encoded.Add(e)
	b.frames[e] = frame
}

// Except excepts a connection, which must not be excepted yet.
func (b *Broadcast[C]) Except(c C) { b.except = append(b.except, c) }

// release returns b to the pool when its batch has been delivered. No other goroutine uses b
// then. One that catches a connection up uses b only while it holds the connection's lock, and
// delivering the batch takes that lock afterwards.
func (b *Broadcast[C]) release() {
	clear(b.frames[:])
	clear(b.except)
	clear(b.exceptedMembers)
	b.except, b.exceptedMembers = b.except[:0], b.exceptedMembers[:0]
	b.encoded, b.order, b.awaited, b.sent = 0, 0, false, Result{}
	b.queued.Store(0)
	b.drops.Store(0)
	broadcasts.Put(b)
}

// size returns the length of all frames in bytes.
func (b *Broadcast[C]) size() (n int) {
	for e := range b.encoded.All {
		n += len(b.frames[e])
	}
	return n
}

// result returns the result of the broadcast when its batch has been delivered.
func (b *Broadcast[C]) result() Result {
	return Result{Queued: b.sent.Queued + int(b.queued.Load()), Dropped: b.sent.Dropped + int(b.drops.Load())}
}

// isFor reports whether b is for c, a receiver with the encoding e.
func (b *Broadcast[C]) isFor(c C, e Encoding) bool {
	return b.encoded.Has(e) && (len(b.except) == 0 || !slices.Contains(b.except, c))
}

// note counts the result for one connection. catchUp: sent by a goroutine other than the one
// that delivers the batch.
func (br *Broadcaster[C]) note(b *Broadcast[C], o Outcome, catchUp bool) {
	switch {
	case o == Queued:
		b.countQueued(catchUp)
	case o == Closed:
		if !b.awaited { // the caller's result has counted the connection as Queued
			br.counters.Drop(counters.Closed, 1)
		}
	case catchUp:
		b.drops.Add(1)
	default:
		b.sent.Dropped++
	}
}

func (b *Broadcast[C]) countQueued(catchUp bool) {
	if catchUp {
		b.queued.Add(1)
	} else {
		b.sent.Queued++
	}
}

// dropUnsendable counts the drop for a connection whose encoding failed. catchUp is that of
// note.
func (br *Broadcaster[C]) dropUnsendable(b *Broadcast[C], catchUp bool) {
	br.counters.Drop(counters.Unsendable, 1)
	if catchUp {
		b.drops.Add(1)
	} else {
		b.sent.Dropped++
	}
}

// batchFrames has the frames of a batch for each encoding that a receiver has.
type batchFrames[C comparable] struct {
	batch      []*Broadcast[C]
	exceptions bool // a broadcast of the batch has exceptions
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
func (bf *batchFrames[C]) joined(e Encoding, n int) (data []byte, frames [][]byte) {
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
		if complete && size <= MaxJoined {
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
func (bf *batchFrames[C]) excepts(c C) bool {
	return bf.exceptions && slices.ContainsFunc(bf.batch, func(b *Broadcast[C]) bool { return slices.Contains(b.except, c) })
}

func (bf *batchFrames[C]) release() {
	for i := range bf.byEncoding {
		if buf := bf.byEncoding[i].joined; buf != nil {
			frame.PutBuffer(buf)
		}
	}
}
