package wsmanager

import (
	"context"
	"sync"
)

// LocalBus is a [Backplane] inside one process. A send of one of its Managers reaches the
// connections of all of them, while each Manager has its own path, options and callbacks. It is
// also for tests of a service of several nodes. The zero value is ready for use. A LocalBus must
// not be copied.
//
// An envelope has been delivered when Publish returns. None is lost, and there is no queue and
// no goroutine beside those of the Managers.
type LocalBus struct {
	mu     sync.RWMutex // read-locked during deliveries
	topics map[string]map[*localLink]struct{}
}

var _ Backplane = (*LocalBus)(nil)

// Connect implements [Backplane].
func (b *LocalBus) Connect(_ context.Context, node BackplaneNode) (BackplaneLink, error) {
	return &localLink{bus: b, receive: node.Receive}, nil
}

type localLink struct {
	bus     *LocalBus
	receive func([]byte)
	topics  map[string]struct{} // guarded by bus.mu
}

func (l *localLink) Publish(_ context.Context, topic string, envelope []byte) error {
	l.bus.mu.RLock()
	defer l.bus.mu.RUnlock()
	for peer := range l.bus.topics[topic] {
		peer.receive(envelope)
	}
	return nil
}

func (l *localLink) Subscribe(_ context.Context, topics []string) error {
	b := l.bus
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.topics == nil {
		b.topics = make(map[string]map[*localLink]struct{})
	}
	if l.topics == nil {
		l.topics = make(map[string]struct{})
	}
	for _, topic := range topics {
		links := b.topics[topic]
		if links == nil {
			links = make(map[*localLink]struct{})
			b.topics[topic] = links
		}
		links[l] = struct{}{}
		l.topics[topic] = struct{}{}
	}
	return nil
}

func (l *localLink) Unsubscribe(_ context.Context, topics []string) error {
	l.bus.mu.Lock()
	defer l.bus.mu.Unlock()
	for _, topic := range topics {
		l.unsubscribeLocked(topic)
	}
	return nil
}

// unsubscribeLocked ends one subscription.
func (l *localLink) unsubscribeLocked(topic string) {
	links := l.bus.topics[topic]
	delete(links, l)
	if len(links) == 0 {
		delete(l.bus.topics, topic)
	}
	delete(l.topics, topic)
}

func (l *localLink) Health() error         { return nil }
func (l *localLink) Done() <-chan struct{} { return nil }

func (l *localLink) Close(context.Context) error {
	l.bus.mu.Lock()
	defer l.bus.mu.Unlock()
	for topic := range l.topics {
		l.unsubscribeLocked(topic)
	}
	return nil
}
