package wsmanager

import (
	"iter"
	"sync"
)

// recipients is a set of connections that can be broadcast to.
type recipients interface {
	// appendTo appends the connections that are in the set now.
	appendTo(list []recipient) []recipient
}

// recipient is a connection in a set.
type recipient struct {
	c *Conn
	m *membership // nil in the set of all connections
}

// delivered returns the number of the last broadcast to the set that was sent to the
// connection.
func (r recipient) delivered() *uint32 {
	if r.m != nil {
		return &r.m.delivered
	}
	return &r.c.delivered
}

// receiving reports whether the connection gets broadcasts to the set: it is in the set,
// ready, and not closing. It changes under the connection's lock and the queue's.
func (r recipient) receiving() bool {
	if r.m != nil {
		return r.m.receiving
	}
	_, ok := r.c.reception.receiving()
	return ok
}

func (r recipient) setReceiving(on bool) {
	if r.m != nil {
		r.m.receiving = on
		return
	}
	r.c.reception.setReceiving(on)
}

// snapshots has the slices through which sets are walked.
var snapshots = sync.Pool{New: func() any { return new([]recipient) }}

// snapshot returns the connections that are in the set now. putSnapshot takes the slice
// back. A connection that joins later is not in it: if a client connects because it was
// told of a broadcast, it does not get that broadcast as well.
func snapshot(of recipients) *[]recipient {
	buf := snapshots.Get().(*[]recipient)
	*buf = of.appendTo((*buf)[:0])
	return buf
}

func putSnapshot(buf *[]recipient) {
	clear(*buf) // the pool must not keep connections alive
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
