package wsmanager

import (
	"cmp"
	"log/slog"
	"sync/atomic"

	"github.com/speakingtube/speakingtube/wsmanager/internal/activity"
	"github.com/speakingtube/speakingtube/wsmanager/internal/timewheel"
)

// broadcaster sends messages to sets of connections. It encodes a message once for each
// encoding among the receivers, and passes it to the queue of the set. It does no I/O:
// connections write, or queue in their outbox.
type broadcaster struct {
	registry *allConns
	clock    *timewheel.Ticker
	active   *activity.Counter // counts the goroutines that deliver
	logger   func() *slog.Logger
	frame    func(*Prepared, encoding) ([]byte, error) // Manager.frame

	batcher     batcher
	pending     pendingSets
	order       atomic.Uint64 // of the newest broadcast, among all of the Manager
	compressing atomic.Int32  // registered connections that have agreed on compression
}

func (br *broadcaster) init(m *Manager) {
	br.registry, br.clock, br.active, br.logger, br.frame = &m.registry, &m.wheel.Ticker, &m.active, m.logger, m.frame
	br.batcher.expired = br.flushExpired
}

// send sends p to the connections of a queue's set, except those with the ids. All
// functions of the application are called before the broadcast is published, because
// another goroutine may deliver it.
func (br *broadcaster) send(q *broadcastQueue, p *Prepared, except names) Sent {
	br.batcher.activate()
	b := broadcasts.Get().(*broadcast)
	err := br.encode(b, p, q)
	if !except.empty() {
		for id := range except.all() {
			if c := br.registry.get(id); c != nil {
				b.except = append(b.except, c)
			}
		}
	}
	sent := br.publish(q, b)
	sent.Err = err
	return sent
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

// encode encodes p for a broadcast to the set of q. An encoding that fails has a nil frame; the
// error is logged once for each variant, and the first one is returned. It does not matter if
// no connection of the set has the encoding at the moment.
func (br *broadcaster) encode(b *broadcast, p *Prepared, q *broadcastQueue) (first error) {
	needed := br.encodings(q)
	b.encoded = needed
	var failed encodingSet
	for e := range needed.all {
		frame, err := br.frame(p, e)
		if err != nil {
			if !q.has(e) {
				b.encoded &^= 1 << e // a connection that enters now is not in the audience
				continue
			}
			if plain := encodingOf(e.variant(), false); !failed.has(plain) {
				failed |= 1 << plain
				br.logUnsendable(err, e)
			}
			first = cmp.Or(first, err)
			frame = nil
		}
		b.frames[e] = frame
	}
	return first
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
	br.active.Add() // Shutdown waits for this goroutine of the timer
	defer br.active.Done()
	br.batcher.nextEpoch()
	br.flushDeferred()
}
