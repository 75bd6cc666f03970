package broadcast

import (
	"cmp"
	"iter"
	"slices"
	"sync"

	"github.com/speakingtube/speakingtube/wsmanager/internal/counters"
)

// The methods in this file need the lock of the connection.

// CatchUp sends the broadcasts that are pending for c, so that the next message to c does not
// overtake them.
func (br *Broadcaster[C]) CatchUp(c C, r *Reception[C]) {
	if br.behind(r) {
		br.catchUp(c, r)
	}
}

// behind reports whether broadcasts may be pending for the connection.
func (br *Broadcaster[C]) behind(r *Reception[C]) bool {
	return r.delivered != br.All.published.Load() || r.sets != nil && br.pending.inAny(r.sets.bits)
}

func (br *Broadcaster[C]) catchUp(c C, r *Reception[C]) {
	e, ok := r.Receiving()
	if !ok {
		return
	}
	p := pooled[pendingList[C]](&pendingLists)
	defer p.release()
	br.takePending(p, r)
	br.sendList(c, p.broadcasts, e, true)
}

// behindElsewhere reports whether broadcasts to sets other than that of q may be pending for
// the connection.
func (br *Broadcaster[C]) behindElsewhere(r *Reception[C], q *Queue[C]) bool {
	if q.bit == 0 {
		return r.sets != nil && br.pending.inAny(r.sets.bits)
	}
	return r.delivered != br.All.published.Load() ||
		r.sets != nil && br.pending.inOthers(r.sets.bits, q.bit)
}

// places walks the sets that the connection is in, with their queues.
func (br *Broadcaster[C]) places(r *Reception[C]) iter.Seq2[place[C], *Queue[C]] {
	return func(yield func(place[C], *Queue[C]) bool) {
		if !yield(place[C]{r: r}, &br.All) {
			return
		}
		for m := range r.memberships() {
			if !yield(place[C]{r, m}, &m.of.Queue) {
				return
			}
		}
	}
}

// takePending adds to p the broadcasts that are pending for the connection in any of its
// sets, and sorts p by the order in which the broadcasts were published.
//
// While the queues are read, an older broadcast may be added to a queue already read and a
// newer one to a queue still to be read. Taking the newer one would reverse them, so
// broadcasts published after upTo stay pending.
func (br *Broadcaster[C]) takePending(p *pendingList[C], r *Reception[C]) {
	upTo := br.order.Load()
	for at, q := range br.places(r) {
		p.broadcasts = q.take(at, upTo, p.broadcasts)
	}
	if len(p.broadcasts) > 1 {
		slices.SortFunc(p.broadcasts, func(a, b *Broadcast[C]) int { return cmp.Compare(a.order, b.order) })
	}
}

// BecomeReady sets the encoding of c, and starts its reception of broadcasts to all its sets,
// unless c is closing.
func (br *Broadcaster[C]) BecomeReady(c C, e Encoding) {
	r := c.Reception()
	r.setEncoding(e)
	if r.IsClosing() {
		return
	}
	for at, q := range br.places(r) {
		q.enter(c, at, e)
	}
}

// Join makes c a member of a group, of which it is no member yet. c does not get broadcasts
// that are pending in the group.
func (br *Broadcaster[C]) Join(c C, groups *Groups[C], name string) {
	r := c.Reception()
	s := r.makeSets()
	m := groups.add(c, name)
	s.groups = append(s.groups, m)
	br.enter(c, r, m)
}

// JoinUser adds c to the connections of its user.
func (br *Broadcaster[C]) JoinUser(c C, users *Groups[C], name string) {
	r := c.Reception()
	s := r.makeSets()
	s.user = users.add(c, name)
	br.enter(c, r, s.user)
}

func (r *Reception[C]) makeSets() *ownSets[C] {
	if r.sets == nil {
		r.sets = &ownSets[C]{}
	}
	return r.sets
}

func (br *Broadcaster[C]) enter(c C, r *Reception[C], m *membership[C]) {
	q := &m.of.Queue
	r.sets.bits |= q.bit
	if e, ok := r.Receiving(); ok {
		q.enter(c, place[C]{r, m}, e)
	}
}

// Leave ends the membership of c in a group, if it is a member. Broadcasts that are pending
// are sent first.
func (br *Broadcaster[C]) Leave(c C, name string) {
	r := c.Reception()
	i := r.find(name)
	if i < 0 {
		return
	}
	m := r.sets.groups[i]
	br.exit(c, r, m)
	m.leave()
	r.sets.groups = slices.Delete(r.sets.groups, i, i+1)
}

func (br *Broadcaster[C]) exit(c C, r *Reception[C], m *membership[C]) {
	e, ok := r.Receiving()
	if !ok {
		return
	}
	p := pooled[pendingList[C]](&pendingLists)
	defer p.release()
	p.broadcasts = m.of.Queue.exit(place[C]{r, m}, e, p.broadcasts)
	br.takePending(p, r) // older broadcasts to other sets must not be overtaken
	br.sendList(c, p.broadcasts, e, true)
}

// LeaveAll ends all memberships of a connection whose reception has ended.
func (r *Reception[C]) LeaveAll() {
	for m := range r.memberships() {
		m.leave()
	}
	r.sets = nil
}

// EndReception ends the reception of broadcasts, because c closes. If send is true, the
// pending broadcasts are sent first. Those still pending then, all of them if send is false,
// count as dropped, except broadcasts whose callers wait for the result.
func (br *Broadcaster[C]) EndReception(c C, send bool) {
	r := c.Reception()
	e, ok := r.Receiving()
	if !ok {
		return
	}
	if send {
		br.CatchUp(c, r)
	}
	p := pooled[pendingList[C]](&pendingLists)
	defer p.release()
	for at, q := range br.places(r) {
		p.broadcasts = q.exit(at, e, p.broadcasts)
	}
	for _, b := range p.broadcasts {
		if !b.awaited && b.isFor(c, e) {
			br.counters.Drop(counters.Closed, 1)
		}
	}
}

var pendingLists, joinedSends sync.Pool // of *pendingList and *joinedSend

// pendingList is scratch memory for the pending broadcasts of one connection.
type pendingList[C comparable] struct{ broadcasts []*Broadcast[C] }

func (p *pendingList[C]) release() {
	clear(p.broadcasts)
	p.broadcasts = p.broadcasts[:0]
	pendingLists.Put(p)
}

// joinedSend is scratch memory of sendList.
type joinedSend[C comparable] struct {
	broadcasts []*Broadcast[C] // those that are sent
	frames     [][]byte        // the frame of each
}

func (j *joinedSend[C]) release() {
	clear(j.broadcasts)
	clear(j.frames)
	j.broadcasts, j.frames = j.broadcasts[:0], j.frames[:0]
	joinedSends.Put(j)
}
