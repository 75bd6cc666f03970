package wsmanager

import (
	"hash/maphash"
	"iter"
	"sync"
	"sync/atomic"
)

// registry holds the connections of a Manager by id. No I/O and no callback ever
// happens under one of its locks.
type registry struct {
	seed   maphash.Seed
	count  atomic.Int64
	shards [registryShards]shard
	lane   lane
}

const registryShards = 16

type shard struct {
	mu    sync.RWMutex
	conns map[string]*Conn
	past  total // of connections that have left
}

func (r *registry) init() {
	r.seed = maphash.MakeSeed()
	for i := range r.shards {
		r.shards[i].conns = make(map[string]*Conn)
	}
}

func (r *registry) shard(id string) *shard {
	return &r.shards[maphash.String(r.seed, id)%registryShards]
}

func (r *registry) add(c *Conn) {
	s := r.shard(c.id)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns[c.id] = c
	r.count.Add(1)
}

func (r *registry) remove(c *Conn) {
	s := r.shard(c.id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conns[c.id] == c {
		delete(s.conns, c.id)
		r.count.Add(-1)
	}
	s.past.fold(&c.traffic)
}

func (r *registry) get(id string) *Conn {
	s := r.shard(id)
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.conns[id]
}

// traffic sums up what went over all connections that are or were registered.
func (r *registry) traffic() (sum total) {
	for i := range r.shards {
		s := &r.shards[i]
		s.mu.RLock()
		sum.messagesIn += s.past.messagesIn
		sum.bytesIn += s.past.bytesIn
		sum.messagesOut += s.past.messagesOut
		sum.bytesOut += s.past.bytesOut
		for _, c := range s.conns {
			sum.add(&c.traffic)
		}
		s.mu.RUnlock()
	}
	return sum
}

// fold counts what a connection has sent since it left the registry.
func (r *registry) fold(c *Conn) {
	s := r.shard(c.id)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.past.fold(&c.traffic)
}

func (r *registry) appendTo(conns []*Conn) []*Conn {
	for i := range r.shards {
		s := &r.shards[i]
		s.mu.RLock()
		for _, c := range s.conns {
			conns = append(conns, c)
		}
		s.mu.RUnlock()
	}
	return conns
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
