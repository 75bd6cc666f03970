package wsmanager

import (
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

// flushDeferred delivers the deferred broadcasts of all queues.
func (br *broadcaster) flushDeferred() {
	if !br.batcher.any.Load() {
		return
	}
	for _, q := range br.batcher.take() {
		br.flushQueue(q)
	}
}

// flushExpired delivers the deferred broadcasts after maxDefer. The callbacks that run now
// defer no more broadcasts.
func (br *broadcaster) flushExpired() {
	br.active.Add() // Shutdown waits for this goroutine of the timer
	defer br.active.Done()
	br.batcher.nextEpoch()
	br.flushDeferred()
}
