package wsmanager

import (
	"iter"
	"sync"
)

// audience is a set of connections that can be broadcast to.
type audience interface {
	// appendTo appends the connections that are in it now.
	appendTo(conns []*Conn) []*Conn
}

// snapshots lends the slices through which audiences are walked.
var snapshots = sync.Pool{New: func() any { return new([]*Conn) }}

// snapshot returns who is in the audience now, in a slice to be given back by
// putSnapshot. Those who come later are not seen: so whoever was told of a
// broadcast, and connects because of it, does not get it as well.
func snapshot(of audience) *[]*Conn {
	buf := snapshots.Get().(*[]*Conn)
	*buf = of.appendTo((*buf)[:0])
	return buf
}

func putSnapshot(buf *[]*Conn) {
	clear(*buf) // a pool must keep no connection alive
	snapshots.Put(buf)
}

// walk walks a snapshot of the audience.
func walk(of audience) iter.Seq[*Conn] {
	return func(yield func(*Conn) bool) {
		buf := snapshot(of)
		defer putSnapshot(buf)
		for _, c := range *buf {
			if !yield(c) {
				return
			}
		}
	}
}
