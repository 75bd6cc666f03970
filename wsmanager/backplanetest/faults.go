package backplanetest

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/speakingtube/speakingtube/wsmanager"
)

// Faults is a Backplane that passes everything on to another one, with configurable faults.
// Without faults it changes nothing. It is safe for concurrent use, also by several
// Managers.
type Faults struct {
	bus wsmanager.Backplane

	mu    sync.Mutex // guards the fields below
	cut   bool
	stall chan struct{} // nil: nothing is stalled; closed: the stall has ended
	delay func() time.Duration
	lose  func() bool
	links map[*faultyLink]struct{}
}

var _ wsmanager.Backplane = (*Faults)(nil)

// NewFaults returns a Faults around another Backplane.
func NewFaults(bus wsmanager.Backplane) *Faults {
	return &Faults{bus: bus, links: make(map[*faultyLink]struct{})}
}

// errCut is returned by all calls while the bus is cut.
var errCut = errors.New("backplanetest: the bus is cut")

// Cut ends all links, with the envelopes in flight, and refuses connections until restore
// is called.
func (f *Faults) Cut() (restore func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cut = true
	for l := range f.links {
		l.endLocked()
	}
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.cut = false
	}
}

// Stall makes every Publish and Subscribe wait until its context ends or resume is called.
// Links report no error meanwhile.
func (f *Faults) Stall() (resume func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	stall := make(chan struct{})
	f.stall = stall
	return sync.OnceFunc(func() { close(stall) })
}

// Delay delays each envelope that is published from now on by the result of one call of
// delay; nil for no delay. The envelopes of one node keep their order and may take longer
// for that; those of different nodes may overtake each other.
func (f *Faults) Delay(delay func() time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.delay = delay
}

// Lose drops every envelope for which lose returns true; nil drops none.
func (f *Faults) Lose(lose func() bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lose = lose
}

// Links returns the number of open links: the number of Managers, unless the bus is cut or
// a Manager has been shut down.
func (f *Faults) Links() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.links)
}

// Connect implements wsmanager.Backplane.
func (f *Faults) Connect(ctx context.Context, node wsmanager.BackplaneNode) (wsmanager.BackplaneLink, error) {
	f.mu.Lock()
	cut := f.cut
	f.mu.Unlock()
	if cut {
		return nil, errCut
	}
	link, err := f.bus.Connect(ctx, node)
	if err != nil {
		return nil, err
	}
	l := &faultyLink{f: f, BackplaneLink: link, done: make(chan struct{}), stop: make(chan struct{}), sent: make(chan struct{}), wake: make(chan struct{}, 1)}
	go l.deliver()
	if gone := link.Done(); gone != nil {
		go l.follow(gone)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.links[l] = struct{}{}
	if f.cut {
		l.endLocked()
	}
	return l, nil
}

// faultyLink is a link of Faults.
type faultyLink struct {
	f *Faults
	wsmanager.BackplaneLink

	calls sync.Mutex // held while the link below is used: it may not be safe for concurrent use

	done chan struct{} // closed when cut, or when the link below has ended
	stop chan struct{} // closed to send the delayed envelopes and end
	sent chan struct{} // closed when deliver has ended
	wake chan struct{}

	mu      sync.Mutex // guards the fields below
	delayed []delayed
}

// delayed is an envelope in flight.
type delayed struct {
	topic    string
	envelope []byte
	due      time.Time
}

// follow ends the link when the one below ends.
func (l *faultyLink) follow(gone <-chan struct{}) {
	select {
	case <-gone:
		l.f.mu.Lock()
		defer l.f.mu.Unlock()
		l.endLocked()
	case <-l.sent:
	}
}

// endLocked requires f.mu.
func (l *faultyLink) endLocked() {
	select {
	case <-l.done:
	default:
		close(l.done)
	}
}

// wait delays a call while the bus is stalled, and returns an error if it is cut.
func (l *faultyLink) wait(ctx context.Context) error {
	l.f.mu.Lock()
	stall := l.f.stall
	l.f.mu.Unlock()
	if stall == nil {
		stall = make(chan struct{})
		close(stall)
	}
	select {
	case <-l.done:
		return errCut
	case <-stall:
	default:
		select {
		case <-l.done:
			return errCut
		case <-stall:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return l.Health()
}

// Publish implements wsmanager.BackplaneLink.
func (l *faultyLink) Publish(ctx context.Context, topic string, envelope []byte) error {
	if err := l.wait(ctx); err != nil {
		return err
	}
	l.f.mu.Lock()
	delay, lose := l.f.delay, l.f.lose
	l.f.mu.Unlock()
	if lose != nil && lose() {
		return nil
	}
	l.mu.Lock()
	if delay != nil || len(l.delayed) > 0 {
		d := delayed{topic: topic, envelope: envelope, due: time.Now()}
		if delay != nil {
			d.due = d.due.Add(delay())
		}
		l.delayed = append(l.delayed, d)
		l.mu.Unlock()
		select {
		case l.wake <- struct{}{}:
		default:
		}
		return nil
	}
	l.mu.Unlock()
	return l.publish(ctx, topic, envelope)
}

func (l *faultyLink) publish(ctx context.Context, topic string, envelope []byte) error {
	l.calls.Lock()
	defer l.calls.Unlock()
	return l.BackplaneLink.Publish(ctx, topic, envelope)
}

// deliver publishes the delayed envelopes in order.
func (l *faultyLink) deliver() {
	defer close(l.sent)
	stop := l.stop
	for {
		l.mu.Lock()
		var next delayed
		some := len(l.delayed) > 0
		if some {
			next = l.delayed[0]
		}
		l.mu.Unlock()
		if !some {
			select {
			case <-l.wake:
				continue
			case <-l.stop:
				return
			}
		}
		if stop != nil { // else the rest is sent at once
			t := time.NewTimer(time.Until(next.due))
			select {
			case <-t.C:
			case <-stop:
				stop = nil
			}
			t.Stop()
		}
		select {
		case <-l.done: // they are lost
		default:
			// No caller is left that could get the error of the bus.
			_ = l.publish(context.Background(), next.topic, next.envelope)
		}
		l.mu.Lock()
		l.delayed = l.delayed[1:]
		l.mu.Unlock()
	}
}

// Subscribe implements wsmanager.BackplaneLink.
func (l *faultyLink) Subscribe(ctx context.Context, topics []string) error {
	if err := l.wait(ctx); err != nil {
		return err
	}
	l.calls.Lock()
	defer l.calls.Unlock()
	return l.BackplaneLink.Subscribe(ctx, topics)
}

// Unsubscribe implements wsmanager.BackplaneLink.
func (l *faultyLink) Unsubscribe(ctx context.Context, topics []string) error {
	if err := l.wait(ctx); err != nil {
		return err
	}
	l.calls.Lock()
	defer l.calls.Unlock()
	return l.BackplaneLink.Unsubscribe(ctx, topics)
}

// Health implements wsmanager.BackplaneLink.
func (l *faultyLink) Health() error {
	select {
	case <-l.done:
		return errCut
	default:
		return l.BackplaneLink.Health()
	}
}

// Done implements wsmanager.BackplaneLink.
func (l *faultyLink) Done() <-chan struct{} { return l.done }

// Close implements wsmanager.BackplaneLink.
func (l *faultyLink) Close(ctx context.Context) error {
	close(l.stop)
	<-l.sent
	err := l.BackplaneLink.Close(ctx)
	l.f.mu.Lock()
	defer l.f.mu.Unlock()
	delete(l.f.links, l)
	return err
}
