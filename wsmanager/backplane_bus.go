package wsmanager

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// bus is the Manager's side of its Backplane. One goroutine connects, subscribes and
// publishes: so the node is subscribed to the topic of a group before it publishes anything
// that the group's first member has caused. Only that goroutine, Shutdown and FlushBackplane
// wait for the Backplane.
type bus struct {
	m            *Manager
	node         string // id of the node
	topic        string // topic of the node
	queue        *busQueue
	senders      deduplicator
	pendingJoins pendingRemoteJoins
	stats        busStats
	unsent       atomic.Int64 // publications that were dropped at the end

	ctx      context.Context // ends all calls of the Backplane
	cancel   context.CancelFunc
	stopOnce sync.Once
	stopping chan struct{} // closed: the bus ends when the queue is empty

	// callStart is the start of the call of the Backplane that runs, in nanoseconds of the
	// Manager's wheel plus one; 0 if none runs.
	callStart atomic.Int64

	mu     sync.Mutex    // guards the following
	link   BackplaneLink // nil without a connection
	err    error         // why there is none
	failed bool          // a connection was lost or could not be made
}

// busStats are the counters of a bus; see BackplaneStats.
type busStats struct {
	published, received                     atomic.Uint64
	queueFull, expired, refused, shutDown   atomic.Uint64
	errors, duplicates, malformed, versions atomic.Uint64
	missed                                  atomic.Uint64
}

const (
	// minBusDelay and maxBusDelay bound the delay after a failure, which varies by a half.
	minBusDelay = 50 * time.Millisecond
	maxBusDelay = 2 * time.Second

	// busStalledAfter is the duration of a call after which the bus is not healthy.
	busStalledAfter = time.Second

	// maxTopics is how many topics one call subscribes to.
	maxTopics = 256
)

// startBus starts the bus of a Manager with a Backplane.
func startBus(m *Manager) {
	b := &bus{
		m: m, node: newNodeID(),
		queue:    newBusQueue(m.opts.BackplaneMessages, m.opts.BackplaneBytes),
		stopping: make(chan struct{}),
		err:      errNoLink,
	}
	b.topic = topicOfNode(b.node)
	b.ctx, b.cancel = context.WithCancel(context.WithoutCancel(m.opts.BaseContext))
	b.queue.setSubscribed(topicAll, true)
	b.queue.setSubscribed(b.topic, true)
	m.bus = b
	m.groups.OnChange = func(name string, on bool) { b.queue.setSubscribed(topicOf("group", name), on) }
	m.users.OnChange = func(name string, on bool) { b.queue.setSubscribed(topicOf("user", name), on) }
	go b.run()
}

// run connects, and reconnects after a link has ended, until the bus is stopped.
func (b *bus) run() {
	defer close(b.queue.done)
	defer b.dropQueued()
	var delay backOff
	for {
		var link BackplaneLink
		err := b.call(b.m.opts.BackplaneTimeout, func(ctx context.Context) (err error) {
			link, err = b.m.opts.Backplane.Connect(ctx, BackplaneNode{ID: b.node, Receive: b.receive})
			if err == nil && link == nil {
				err = errNoLink
			}
			return err
		})
		if err == nil {
			b.connected(link)
			ended := b.serve(link, &delay)
			b.disconnected(link)
			if ended {
				return
			}
		} else {
			b.countFailure("connect", err)
			b.queue.compact(nil)
			b.mu.Lock()
			b.err, b.failed = err, true
			b.mu.Unlock()
		}
		b.expire()
		if b.isStopping() && b.queue.len() == 0 || !b.pause(delay.next(), nil, false) {
			return
		}
	}
}

// serve uses a link until it has ended, or until the bus is stopped: then it returns true.
func (b *bus) serve(link BackplaneLink, delay *backOff) (stopped bool) {
	linkDone := link.Done()
	subscribed := make(map[string]struct{})
	var topicsDelay backOff // for a link that can publish and cannot subscribe
	var topicsDue time.Duration
	b.queue.resubscribe()
	for {
		select {
		case <-linkDone:
			return false
		case <-b.ctx.Done():
			return true
		default:
		}
		b.expire()
		p, ok := b.queue.peek()
		if !ok && b.isStopping() {
			return true
		}
		if link.Health() != nil {
			b.queue.compact(subscribed)
			b.pause(minBusDelay, linkDone, false)
			continue
		}
		if topicsDue == 0 || b.m.wheel.Elapsed() >= topicsDue {
			if topicsDue = 0; b.subscribe(link, subscribed) {
				topicsDelay.reset()
			} else {
				topicsDue = b.m.wheel.Elapsed() + topicsDelay.next()
			}
		}
		switch {
		case !ok && topicsDue == 0:
			b.pause(0, linkDone, true)
		case !ok:
			b.pause(topicsDue-b.m.wheel.Elapsed(), linkDone, true)
		case b.publish(link, p):
			delay.reset()
		default:
			b.pause(delay.next(), linkDone, false)
		}
	}
}

// subscribe applies the changes of the topics. It reports whether all calls have succeeded.
func (b *bus) subscribe(link BackplaneLink, subscribed map[string]struct{}) bool {
	add, remove, change := b.queue.takeChanges(subscribed)
	ok := true
	for topics := range slices.Chunk(add, maxTopics) {
		if err := b.call(b.m.opts.BackplaneTimeout, func(ctx context.Context) error { return link.Subscribe(ctx, topics) }); err != nil {
			b.countFailure("subscribe", err)
			b.queue.requeue(topics)
			ok = false
			continue
		}
		for _, topic := range topics {
			subscribed[topic] = struct{}{}
		}
	}
	for topics := range slices.Chunk(remove, maxTopics) {
		if err := b.call(b.m.opts.BackplaneTimeout, func(ctx context.Context) error { return link.Unsubscribe(ctx, topics) }); err != nil {
			b.countFailure("unsubscribe", err)
			b.queue.requeue(topics)
			ok = false
			continue
		}
		for _, topic := range topics {
			delete(subscribed, topic)
		}
	}
	if ok {
		b.queue.apply(change)
	}
	return ok
}

// publish publishes the oldest publication. It reports whether that was removed from the queue:
// it has been published, or a healthy link has refused it.
func (b *bus) publish(link BackplaneLink, p publication) bool {
	left := p.queuedAt + b.m.opts.BackplaneTimeout - b.m.wheel.Elapsed()
	err := b.call(left, func(ctx context.Context) error { return link.Publish(ctx, p.topic, p.envelope) })
	if err == nil {
		b.stats.published.Add(1)
		b.queue.pop()
		return true
	}
	b.countFailure("publish", err)
	select {
	case <-link.Done():
		return false
	default:
	}
	if link.Health() != nil || b.ctx.Err() != nil || b.m.wheel.Elapsed()-p.queuedAt >= b.m.opts.BackplaneTimeout {
		return false
	}
	b.stats.refused.Add(1)
	b.queue.pop()
	return true
}

// call calls the Backplane and notes the start of the call.
func (b *bus) call(timeout time.Duration, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(b.ctx, timeout)
	defer cancel()
	b.callStart.Store(int64(b.m.wheel.Elapsed()) + 1)
	defer b.callStart.Store(0)
	return f(ctx)
}

// expire drops the publications that have waited for BackplaneQueue.Timeout.
func (b *bus) expire() {
	for {
		p, ok := b.queue.peek()
		if !ok || b.m.wheel.Elapsed()-p.queuedAt < b.m.opts.BackplaneTimeout {
			return
		}
		b.stats.expired.Add(1)
		b.queue.pop()
	}
}

// pause waits for d, or until the link or the bus ends. If untilWork is set, it also ends when
// there is work, and a d of 0 has no limit. It returns false if all calls have to end.
func (b *bus) pause(d time.Duration, linkDone <-chan struct{}, untilWork bool) bool {
	var timer <-chan time.Time
	if d > 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		timer = t.C
	}
	wake, stopping := b.queue.wake, b.stopping
	if !untilWork {
		wake = nil
		if b.isStopping() {
			stopping = nil // the queue still has to be published
		}
	}
	select {
	case <-timer:
	case <-wake:
	case <-stopping:
	case <-linkDone:
	case <-b.ctx.Done():
		return false
	}
	return true
}

// connected notes a new link.
func (b *bus) connected(link BackplaneLink) {
	b.mu.Lock()
	reconnected := b.failed
	b.link, b.err, b.failed = link, nil, false
	b.mu.Unlock()
	if reconnected {
		b.m.logger().Info("the backplane is connected again")
	}
}

// disconnected closes a link.
func (b *bus) disconnected(link BackplaneLink) {
	err := link.Health()
	if err == nil {
		err = errNoLink
	}
	b.mu.Lock()
	b.link, b.err, b.failed = nil, err, true
	b.mu.Unlock()
	// Close has its own deadline, because the context of the other calls may have ended.
	timeout := b.m.opts.BackplaneTimeout
	if b.ctx.Err() != nil {
		timeout = shutdownGrace / 2
	} else if !b.isStopping() {
		b.m.logger().Warn("the connection of the backplane has ended", "err", err)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(b.ctx), timeout)
	defer cancel()
	stop := context.AfterFunc(b.ctx, func() { time.AfterFunc(shutdownGrace/2, cancel) })
	defer stop()
	b.callStart.Store(int64(b.m.wheel.Elapsed()) + 1)
	defer b.callStart.Store(0)
	if err := link.Close(ctx); err != nil {
		b.countFailure("close", err)
	}
}

// countFailure counts a failed call of the Backplane. It logs the 1st, the 2nd, the 4th, the 8th
// and so on.
func (b *bus) countFailure(call string, err error) {
	if n := b.stats.errors.Add(1); n&(n-1) == 0 {
		b.m.logger().LogAttrs(b.m.opts.BaseContext, slog.LevelWarn, "the backplane failed",
			slog.String("call", call), slog.Any("err", err), slog.Uint64("errors", n))
	}
}

// dropQueued drops the publications that are left at the end.
func (b *bus) dropQueued() {
	b.queue.close()
	for b.queue.len() > 0 {
		b.unsent.Add(1)
		b.stats.shutDown.Add(1)
		b.queue.pop()
	}
}

// isStopping reports whether stop was called.
func (b *bus) isStopping() bool {
	select {
	case <-b.stopping:
		return true
	default:
		return false
	}
}

// stop waits until the queue has been published or ctx ends, and closes the link.
func (b *bus) stop(ctx context.Context) error {
	b.stopOnce.Do(func() { close(b.stopping) })
	select {
	case <-b.queue.done:
		b.cancel()
		return nil
	case <-ctx.Done():
	}
	b.cancel()
	grace := time.NewTimer(shutdownGrace)
	defer grace.Stop()
	select {
	case <-b.queue.done:
		if n := b.unsent.Load(); n > 0 {
			return fmt.Errorf("wsmanager: shutdown: %d messages were not published to the backplane: %w", n, context.Cause(ctx))
		}
		return nil
	case <-grace.C:
		return fmt.Errorf("wsmanager: shutdown: a call of the backplane has not returned: %w", context.Cause(ctx))
	}
}

// health returns an error if the backplane cannot be used at present.
func (b *bus) health() error {
	b.mu.Lock()
	link, err := b.link, b.err
	b.mu.Unlock()
	if err != nil {
		return inContext("backplane", err)
	}
	if since := b.callStart.Load(); since != 0 && b.m.wheel.Elapsed()-time.Duration(since-1) >= busStalledAfter {
		return errStalled
	}
	if err := link.Health(); err != nil {
		return inContext("backplane", err)
	}
	return nil
}

// backOff is the delay before a failed call is repeated. It doubles with each failure.
type backOff time.Duration

func (d *backOff) reset() { *d = 0 }

func (d *backOff) next() time.Duration {
	*d = min(max(2*(*d), backOff(minBusDelay)), backOff(maxBusDelay))
	return time.Duration(*d)/2 + rand.N(time.Duration(*d))
}

// snapshot returns Stats.Backplane.
func (b *bus) snapshot() BackplaneStats {
	s := &b.stats
	return BackplaneStats{
		Node: b.node, Connected: b.health() == nil, Queued: b.queue.len(),
		Published: s.published.Load(),
		Dropped: BackplaneDropped{
			QueueFull: s.queueFull.Load(), Expired: s.expired.Load(),
			Refused: s.refused.Load(), Shutdown: s.shutDown.Load(),
		},
		Received: s.received.Load(), Missed: s.missed.Load(), Duplicates: s.duplicates.Load(),
		Malformed: s.malformed.Load(), Unknown: s.versions.Load(),
		Errors: s.errors.Load(),
	}
}
