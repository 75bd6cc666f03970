package wsmanager

import (
	"cmp"

	"github.com/speakingtube/speakingtube/wsmanager/internal/broadcast"
	"github.com/speakingtube/speakingtube/wsmanager/internal/names"
)

// broadcast sends p to the connections of a queue's set, except those with the ids. All
// functions of the application are called before the broadcast is published, because
// another goroutine may deliver it.
func (m *Manager) broadcast(q *broadcast.Queue[*broadcastConn], p *Prepared, except names.Set) Sent {
	m.broadcaster.Activate()
	b := broadcast.NewBroadcast[*broadcastConn]()
	err := m.encodeBroadcast(b, p, q)
	if !except.Empty() {
		for id := range except.All() {
			if c := m.registry.Get(id); c != nil {
				b.Except(c)
			}
		}
	}
	r := m.broadcaster.Publish(q, b)
	return Sent{Queued: r.Queued, Dropped: r.Dropped, Err: err}
}

// encodeBroadcast encodes p for a broadcast to the set of q. An encoding that fails has a nil
// frame. encodeBroadcast logs one error for each variant that failed, and returns the first
// error. An encoding that no connection of the set has now is not an error: a connection that
// enters now is not in the audience.
func (m *Manager) encodeBroadcast(b *broadcast.Broadcast[*broadcastConn], p *Prepared, q *broadcast.Queue[*broadcastConn]) (first error) {
	var failed broadcast.EncodingSet
	for e := range m.broadcaster.Encodings(q).All {
		frame, err := m.frame(p, e)
		if err != nil {
			if !q.Has(e) {
				continue
			}
			if plain := broadcast.EncodingOf(e.Variant(), false); !failed.Has(plain) {
				failed.Add(plain)
				logUnsendable(m, err, e)
			}
			first = cmp.Or(first, err)
			frame = nil
		}
		b.SetFrame(e, frame)
	}
	return first
}

func logUnsendable(m *Manager, err error, e broadcast.Encoding) {
	m.logger().Error("a broadcast can't be sent", "err", err, "variant", int(e.Variant()))
}
