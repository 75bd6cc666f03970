package wsmanager

import (
	"iter"
	"sync"
)

// recipients is a set of connections that can be broadcast to.
type recipients interface {
	// appendTo appends the connections that are in it now.
	appendTo(list []recipient) []recipient
}

// recipient is a connection in a set.
type recipient struct {
	c *Conn
	m *membership // nil in the set of all connections
}

// delivered is where the connection's place in the broadcasts to the set is noted.
func (r recipient) delivered() *uint32 {
	if r.m != nil {
		return &r.m.delivered
	}
	return &r.c.delivered
}

// receiving reports whether broadcasts to the set are for the connection: it is in the
// set, ready, and not closing. It changes under the connection's lock and the queue's.
func (r recipient) receiving() bool {
	if r.m != nil {
		return r.m.receiving
	}
	return r.c.reception.Load()&receivingBit != 0
}

func (r recipient) setReceiving(on bool) {
	switch {
	case r.m != nil:
		r.m.receiving = on
	case on:
		r.c.reception.Or(receivingBit)
	default:
		r.c.reception.And(^uint32(receivingBit))
	}
}

// snapshots lends the slices through which sets are walked.
var snapshots = sync.Pool{New: func() any { return new([]recipient) }}

// snapshot returns who is in the set now, in a slice to be given back by
// putSnapshot. Those who come later are not seen: so whoever was told of a
// broadcast, and connects because of it, does not get it as well.
func snapshot(of recipients) *[]recipient {
	buf := snapshots.Get().(*[]recipient)
	*buf = of.appendTo((*buf)[:0])
	return buf
}

func putSnapshot(buf *[]recipient) {
	clear(*buf) // a pool must keep no connection alive
	snapshots.Put(buf)
}

// walk walks a snapshot of the set.
func walk(of recipients) iter.Seq[*Conn] {
	return func(yield func(*Conn) bool) {
		buf := snapshot(of)
		defer putSnapshot(buf)
		for _, r := range *buf {
			if !yield(r.c) {
				return
			}
		}
	}
}
