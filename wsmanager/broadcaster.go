package wsmanager

import (
	"log/slog"
	"slices"
	"sync/atomic"

	"github.com/speakingtube/speakingtube/wsmanager/internal/activity"
	"github.com/speakingtube/speakingtube/wsmanager/internal/counters"
	"github.com/speakingtube/speakingtube/wsmanager/internal/timewheel"
)

// broadcaster sends messages to sets of connections. It encodes a message once for each
// encoding among the receivers, and passes it to the queue of the set. It does no I/O:
// connections write, or queue in their outbox.
type broadcaster struct {
	registry *allConns
	clock    *timewheel.Wheel[*session]
	active   *activity.Counter // counts the goroutines that deliver
	logger   func() *slog.Logger
	frame    func(*Prepared, encoding) ([]byte, error) // Manager.frame

	batcher     batcher
	pending     pendingSets
	order       atomic.Uint64 // of the newest broadcast, among all of the Manager
	compressing atomic.Int32  // registered connections that have agreed on compression
}

func (br *broadcaster) init(m *Manager) {
	br.registry, br.clock, br.active, br.logger, br.frame = &m.registry, &m.wheel, &m.active, m.logger, m.frame
	br.batcher.expired = br.flushExpired
}

// send sends p to the connections of a queue's set, except those with the ids. All
// functions of the application are called before the broadcast is published, because
// another goroutine may deliver it.
func (br *broadcaster) send(q *broadcastQueue, p *Prepared, except names) Sent {
	br.batcher.activate()
	b := broadcasts.Get().(*broadcast)
	br.encode(b, p, br.encodings(q))
	for id := range except.all() {
		if c := br.registry.get(id); c != nil && !slices.Contains(b.except, c) {
			b.except = append(b.except, c)
		}
	}
	return br.publish(q, b)
}

// encodings returns the encodings that a broadcast to the set is needed in. If no
// registered connection has agreed on compression, none of them is compressed.
func (br *broadcaster) encodings(q *broadcastQueue) encodingSet {
	s := encodingSet(q.encodings.Load())
	if br.compressing.Load() == 0 {
		s &^= compressedEncodings
	}
	return s
}

// encode encodes p for a broadcast. It logs an error once for each variant; the frame
// is nil then.
func (br *broadcaster) encode(b *broadcast, p *Prepared, needed encodingSet) {
	b.encoded = needed
	var failed encodingSet
	for e := range needed.all {
		frame, err := br.frame(p, e)
		if err != nil {
			if plain := encodingOf(e.variant(), false); !failed.has(plain) {
				failed |= 1 << plain
				br.logUnsendable(err, e)
			}
			frame = nil
		}
		b.frames[e] = frame
	}
}

// sendEach sends p to the connections of a set for which want returns true, one by one.
func (br *broadcaster) sendEach(to recipients, p *Prepared, want func(*Conn) bool) (sent Sent) {
	logged := false
	for c := range walk(to) {
		e, ok := c.reception.encoding()
		if !ok || !want(c) {
			continue
		}
		frame, err := br.frame(p, e)
		if err == nil {
			sent.count(c.session().send(frame, true))
			continue
		}
		sent.Dropped++
		c.m.counters.Drop(counters.Unsendable, 1)
		if !logged {
			logged = true
			br.logUnsendable(err, e)
		}
	}
	return sent
}

func (br *broadcaster) logUnsendable(err error, e encoding) {
	br.logger().Error("a broadcast can't be sent", "err", err, "variant", int(e.variant()))
}

// flushDeferred delivers the deferred broadcasts of all queues.
func (br *broadcaster) flushDeferred() {
	if !br.batcher.any.Load() {
		return
	}
	for _, q := range br.batcher.take() {
		br.flushQueue(q)
	}
}

// flushExpired delivers the deferred broadcasts after maxDefer. Broadcasts of the callbacks
// that run now are not deferred.
func (br *broadcaster) flushExpired() {
	br.active.Add() // Shutdown waits for the timer's goroutine, too
	defer br.active.Done()
	br.batcher.nextEpoch()
	br.flushDeferred()
}
