package broadcast

import (
	"sync/atomic"
	"time"

	"github.com/speakingtube/speakingtube/wsmanager/internal/activity"
	"github.com/speakingtube/speakingtube/wsmanager/internal/counters"
	"github.com/speakingtube/speakingtube/wsmanager/internal/timewheel"
)

// Broadcaster delivers broadcasts to sets of the connections of one Manager. It must be set
// up with Init. Exported methods are safe for concurrent use, unless they need the lock of a
// connection.
type Broadcaster[C Conn[C]] struct {
	All Queue[C] // of the set of all connections

	// Alone means that frames are never joined: each connection masks its frames. It must
	// not change once there are connections.
	Alone bool

	// MaxDefer is how long a broadcast is deferred at most: the constant, except in tests.
	MaxDefer time.Duration

	clock    *timewheel.Ticker
	active   *activity.Counter
	counters *counters.Counters

	batcher     batcher[C]
	pending     pendingSets
	order       atomic.Uint64 // of the newest broadcast, among all of the Broadcaster
	compressing atomic.Int32  // see Compressing
}

// Init sets the Broadcaster up. all is the set of all connections. active counts the
// goroutines that deliver, and counts has the drops.
func (br *Broadcaster[C]) Init(all Set[C], clock *timewheel.Ticker, active *activity.Counter, counts *counters.Counters) {
	br.All.Set = all
	br.MaxDefer = MaxDefer
	br.clock, br.active, br.counters = clock, active, counts
	br.batcher.expired = br.flushExpired
}

// Activate is called for each broadcast before it is encoded.
func (br *Broadcaster[C]) Activate() { br.batcher.activate() }

// Compressing changes the number of connections that have agreed on compression by n.
func (br *Broadcaster[C]) Compressing(n int32) { br.compressing.Add(n) }

// Encodings returns the encodings in which a broadcast to the set is needed. If no connection
// has agreed on compression, none of them is compressed.
func (br *Broadcaster[C]) Encodings(q *Queue[C]) EncodingSet {
	s := EncodingSet(q.encodings.Load())
	if br.compressing.Load() == 0 {
		s &^= compressedEncodings
	}
	return s
}

// BeginCallback notes that a callback begins while more messages of its peer have arrived, so
// that its broadcasts are deferred. false: there is nothing to end. Otherwise EndCallback
// must be called with the epoch.
func (br *Broadcaster[C]) BeginCallback() (epoch uint64, ok bool) {
	if !br.batcher.wanted.Load() {
		return 0, false
	}
	return br.batcher.enter(), true
}

// EndCallback notes the end of a callback.
func (br *Broadcaster[C]) EndCallback(epoch uint64) { br.batcher.leave(epoch) }

// FlushDeferred delivers the deferred broadcasts of all queues.
func (br *Broadcaster[C]) FlushDeferred() {
	if br.batcher.any.Load() {
		br.flushDeferred()
	}
}

func (br *Broadcaster[C]) flushDeferred() {
	for _, q := range br.batcher.take() {
		br.flushQueue(q)
	}
}

// flushExpired delivers the deferred broadcasts after MaxDefer. The callbacks that run now
// defer no more broadcasts.
func (br *Broadcaster[C]) flushExpired() {
	br.active.Add() // so that the goroutine of the timer counts as active
	defer br.active.Done()
	br.batcher.nextEpoch()
	br.FlushDeferred()
}
