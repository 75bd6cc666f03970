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

// bus is a Manager's side of its Backplane. One goroutine connects, subscribes and
// publishes, so that the bus knows of a group's first member before it gets what that
// member has caused. Nothing else ever waits for the bus.
type bus struct {
	m       *Manager
	node    string
	topic   string // the node's own
	queue   *busQueue
	senders senders
	distant distant
	stats   busStats
	unsent  atomic.Int64 // were queued when Shutdown gave up

	ctx      context.Context // ends what waits for the bus
	cancel   context.CancelFunc
	stopOnce sync.Once
	stopping chan struct{} // closed: end when nothing is queued

	since atomic.Int64 // when the call of the bus that is under way began, a nanosecond after it, as the wheel has it; 0 for none

	mu   sync.Mutex    // guards what follows
	link BackplaneLink // nil without one
	err  error         // why there is none
	lost bool          // something has gone wrong since the last one
}

// busStats is the counters; see BackplaneStats.
type busStats struct {
	published, received                     atomic.Uint64
	queueFull, expired, refused, shutDown   atomic.Uint64
	errors, duplicates, malformed, versions atomic.Uint64
	missed                                  atomic.Uint64
}

const (
	// How long is waited before the bus is tried again, give or take a half.
	minBusDelay = 50 * time.Millisecond
	maxBusDelay = 2 * time.Second

	// busStuckAfter is how long a call may take until the bus is not healthy.
	busStuckAfter = time.Second

	// maxTopics is how many topics a bus is told of at once.
	maxTopics = 256
)

func (m *Manager) startBus() {
	b := &bus{
		m: m, node: newNodeID(),
		queue:    newBusQueue(m.opts.BackplaneMessages, m.opts.BackplaneBytes),
		stopping: make(chan struct{}),
		err:      errNoLink,
	}
	b.topic = topicOfNode(b.node)
	b.ctx, b.cancel = context.WithCancel(context.WithoutCancel(m.opts.BaseContext))
	b.queue.want(topicAll, true)
	b.queue.want(b.topic, true)
	m.bus = b
	m.groups.onChange = func(name string, on bool) { b.queue.want(topicOf("group", name), on) }
	m.users.onChange = func(name string, on bool) { b.queue.want(topicOf("user", name), on) }
	go b.run()
}

// run connects, again and again.
func (b *bus) run() {
	defer close(b.queue.done)
	defer b.giveUp()
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
			b.failed("connect", err)
			b.queue.tidy(nil)
			b.mu.Lock()
			b.err, b.lost = err, true
			b.mu.Unlock()
		}
		b.expire()
		if b.isStopping() && b.queue.len() == 0 || !b.pause(delay.next(), nil, false) {
			return
		}
	}
}

// serve uses a link until it has ended, or nothing is left to do: then it returns true.
func (b *bus) serve(link BackplaneLink, delay *backOff) (ended bool) {
	gone := link.Done()
	subscribed := make(map[string]struct{})
	var topicsDelay backOff // of a link that publishes, but does not subscribe
	var topicsDue time.Duration
	b.queue.allDirty()
	for {
		select {
		case <-gone:
			return false
		case <-b.ctx.Done():
			return true
		default:
		}
		b.expire()
		p, some := b.queue.front()
		if !some && b.isStopping() {
			return true
		}
		if link.Health() != nil {
			b.queue.tidy(subscribed)
			b.pause(minBusDelay, gone, false)
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
		case !some && topicsDue == 0:
			b.pause(0, gone, true)
		case !some:
			b.pause(topicsDue-b.m.wheel.Elapsed(), gone, true)
		case b.publish(link, p):
			delay.reset()
		default:
			b.pause(delay.next(), gone, false)
		}
	}
}

// subscribe tells the bus of the topics that have changed. It reports whether it could.
func (b *bus) subscribe(link BackplaneLink, subscribed map[string]struct{}) bool {
	add, remove, change := b.queue.changed(subscribed)
	ok := true
	for topics := range slices.Chunk(add, maxTopics) {
		if err := b.call(b.m.opts.BackplaneTimeout, func(ctx context.Context) error { return link.Subscribe(ctx, topics) }); err != nil {
			b.failed("subscribe", err)
			b.queue.again(topics)
			ok = false
			continue
		}
		for _, topic := range topics {
			subscribed[topic] = struct{}{}
		}
	}
	for topics := range slices.Chunk(remove, maxTopics) {
		if err := b.call(b.m.opts.BackplaneTimeout, func(ctx context.Context) error { return link.Unsubscribe(ctx, topics) }); err != nil {
			b.failed("unsubscribe", err)
			b.queue.again(topics)
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

// publish gives the bus the oldest parcel. It reports whether that is dealt with.
func (b *bus) publish(link BackplaneLink, p parcel) bool {
	left := p.since + b.m.opts.BackplaneTimeout - b.m.wheel.Elapsed()
	err := b.call(left, func(ctx context.Context) error { return link.Publish(ctx, p.topic, p.envelope) })
	if err == nil {
		b.stats.published.Add(1)
		b.queue.pop()
		return true
	}
	b.failed("publish", err)
	select {
	case <-link.Done():
		return false
	default:
	}
	if link.Health() != nil || b.ctx.Err() != nil || b.m.wheel.Elapsed()-p.since >= b.m.opts.BackplaneTimeout {
		return false
	}
	b.stats.refused.Add(1)
	b.queue.pop()
	return true
}

// call calls the bus, and notes how long that takes.
func (b *bus) call(timeout time.Duration, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(b.ctx, timeout)
	defer cancel()
	b.since.Store(int64(b.m.wheel.Elapsed()) + 1)
	defer b.since.Store(0)
	return f(ctx)
}

// expire drops what has waited too long.
func (b *bus) expire() {
	for {
		p, some := b.queue.front()
		if !some || b.m.wheel.Elapsed()-p.since < b.m.opts.BackplaneTimeout {
			return
		}
		b.stats.expired.Add(1)
		b.queue.pop()
	}
}

// pause waits for d, or for the link or the Manager to end; if awake, also for
// something to do, and d may be 0 for ever. It reports whether to go on.
func (b *bus) pause(d time.Duration, gone <-chan struct{}, awake bool) bool {
	var timer <-chan time.Time
	if d > 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		timer = t.C
	}
	wake, stopping := b.queue.wake, b.stopping
	if !awake {
		wake = nil
		if b.isStopping() {
			stopping = nil // known, and what is queued is still to be tried
		}
	}
	select {
	case <-timer:
	case <-wake:
	case <-stopping:
	case <-gone:
	case <-b.ctx.Done():
		return false
	}
	return true
}

func (b *bus) connected(link BackplaneLink) {
	b.mu.Lock()
	again := b.lost
	b.link, b.err, b.lost = link, nil, false
	b.mu.Unlock()
	if again {
		b.m.logger().Info("the backplane is connected again")
	}
}

// disconnected ends a link.
func (b *bus) disconnected(link BackplaneLink) {
	err := link.Health()
	if err == nil {
		err = errNoLink
	}
	b.mu.Lock()
	b.link, b.err, b.lost = nil, err, true
	b.mu.Unlock()
	// With a deadline of its own: what ended the rest must not keep it from ending.
	timeout := b.m.opts.BackplaneTimeout
	if b.ctx.Err() != nil {
		timeout = shutdownGrace / 2
	} else if !b.isStopping() {
		b.m.logger().Warn("the backplane's connection has ended", "err", err)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(b.ctx), timeout)
	defer cancel()
	stop := context.AfterFunc(b.ctx, func() { time.AfterFunc(shutdownGrace/2, cancel) })
	defer stop()
	b.since.Store(int64(b.m.wheel.Elapsed()) + 1)
	defer b.since.Store(0)
	if err := link.Close(ctx); err != nil {
		b.failed("close", err)
	}
}

// failed counts a call of the bus that went wrong, and logs it unless it is one of many.
func (b *bus) failed(what string, err error) {
	if n := b.stats.errors.Add(1); n&(n-1) == 0 { // the 1st, 2nd, 4th …
		b.m.logger().LogAttrs(b.m.opts.BaseContext, slog.LevelWarn, "the backplane failed",
			slog.String("call", what), slog.Any("err", err), slog.Uint64("errors", n))
	}
}

// giveUp drops what nobody will publish any more.
func (b *bus) giveUp() {
	b.queue.close()
	for b.queue.len() > 0 {
		b.unsent.Add(1)
		b.stats.shutDown.Add(1)
		b.queue.pop()
	}
}

func (b *bus) isStopping() bool {
	select {
	case <-b.stopping:
		return true
	default:
		return false
	}
}

// stop publishes what is queued, until ctx ends, and ends the link.
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

// health is why the bus can't be used, nil if it can.
func (b *bus) health() error {
	b.mu.Lock()
	link, err := b.link, b.err
	b.mu.Unlock()
	if err != nil {
		return err
	}
	if since := b.since.Load(); since != 0 && b.m.wheel.Elapsed()-time.Duration(since-1) >= busStuckAfter {
		return errStalled
	}
	return link.Health()
}

// flush is FlushBackplane.
func (b *bus) flush(ctx context.Context) error { return b.queue.flush(ctx) }

// backOff is how long to wait before something that has failed is tried again.
type backOff time.Duration

func (d *backOff) reset() { *d = 0 }

func (d *backOff) next() time.Duration {
	*d = min(max(2*(*d), backOff(minBusDelay)), backOff(maxBusDelay))
	return time.Duration(*d)/2 + rand.N(time.Duration(*d))
}

// figures is Stats.Backplane.
func (b *bus) figures() BackplaneStats {
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
