package backplanetest

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
)

// spoiled is a bus in memory of which some calls are other than they should be.
type spoiled struct {
	wsmanager.LocalBus
	publish     func(l *spoiledLink, ctx context.Context, topic string, envelope []byte) error
	subscribe   func(l *spoiledLink, ctx context.Context, topics []string) error
	unsubscribe func(l *spoiledLink, ctx context.Context, topics []string) error
	receive     func(l *spoiledLink, envelope []byte)
	health      func(l *spoiledLink) error
	close       func(l *spoiledLink, ctx context.Context) error
	connect     func() error
	cut         func(s *spoiled) (restore func())

	mu    sync.Mutex // guards what follows
	links []*spoiledLink
	down  bool // for cut
}

type spoiledLink struct {
	wsmanager.BackplaneLink
	of     *spoiled
	node   wsmanager.BackplaneNode
	topics map[string]bool

	mu   sync.Mutex // guards what follows
	held [][]byte
	gone chan struct{} // closed with the link
}

func (s *spoiled) Connect(ctx context.Context, node wsmanager.BackplaneNode) (wsmanager.BackplaneLink, error) {
	if s.connect != nil {
		if err := s.connect(); err != nil {
			return nil, err
		}
	}
	l := &spoiledLink{of: s, node: node, topics: map[string]bool{}, gone: make(chan struct{})}
	if s.receive != nil {
		node.Receive = func(p []byte) { s.receive(l, p) }
	}
	var err error
	l.BackplaneLink, err = s.LocalBus.Connect(ctx, node)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.links = append(s.links, l)
	return l, err
}

func (s *spoiled) isDown() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.down
}

// each calls f for all links.
func (s *spoiled) each(f func(*spoiledLink)) {
	s.mu.Lock()
	links := slices.Clone(s.links)
	s.mu.Unlock()
	for _, l := range links {
		f(l)
	}
}

func (l *spoiledLink) Publish(ctx context.Context, topic string, envelope []byte) error {
	if l.of.publish != nil {
		return l.of.publish(l, ctx, topic, envelope)
	}
	return l.BackplaneLink.Publish(ctx, topic, envelope)
}

func (l *spoiledLink) Subscribe(ctx context.Context, topics []string) error {
	l.mu.Lock()
	for _, topic := range topics {
		l.topics[topic] = true
	}
	l.mu.Unlock()
	if l.of.subscribe != nil {
		return l.of.subscribe(l, ctx, topics)
	}
	return l.BackplaneLink.Subscribe(ctx, topics)
}

func (l *spoiledLink) Unsubscribe(ctx context.Context, topics []string) error {
	l.mu.Lock()
	for _, topic := range topics {
		delete(l.topics, topic)
	}
	l.mu.Unlock()
	if l.of.unsubscribe != nil {
		return l.of.unsubscribe(l, ctx, topics)
	}
	return l.BackplaneLink.Unsubscribe(ctx, topics)
}

func (l *spoiledLink) allTopics() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Collect(maps.Keys(l.topics))
}

func (l *spoiledLink) Health() error {
	if l.of.health != nil {
		return l.of.health(l)
	}
	return l.BackplaneLink.Health()
}

func (l *spoiledLink) Close(ctx context.Context) error {
	close(l.gone)
	if l.of.close != nil {
		return l.of.close(l, ctx)
	}
	return l.BackplaneLink.Close(ctx)
}

// Where an envelope has the first letter of its node's id, and the last byte of its
// sequence: see wsmanager's envelope.go. No adapter may know.
const atNode, atSequence = 11, 9

func changed(p []byte, at int) []byte {
	p = bytes.Clone(p)
	p[at] ^= 1
	return p
}

// cutting is a bus that can be cut: its links come back by themselves.
func cutting(change func(*spoiled)) func(testing.TB) *spoiled {
	return func(testing.TB) *spoiled {
		s := &spoiled{}
		lost := errors.New("lost")
		s.health = func(*spoiledLink) error {
			if s.isDown() {
				return lost
			}
			return nil
		}
		s.publish = func(l *spoiledLink, ctx context.Context, topic string, p []byte) error {
			if s.isDown() {
				return lost
			}
			return l.BackplaneLink.Publish(ctx, topic, p)
		}
		s.subscribe = func(l *spoiledLink, ctx context.Context, topics []string) error {
			if s.isDown() {
				return lost
			}
			return l.BackplaneLink.Subscribe(ctx, topics)
		}
		s.cut = func(s *spoiled) (restore func()) {
			s.mu.Lock()
			s.down = true
			s.mu.Unlock()
			s.each(func(l *spoiledLink) { _ = l.BackplaneLink.Unsubscribe(context.Background(), l.allTopics()) })
			return func() {
				s.each(func(l *spoiledLink) {
					select {
					case <-l.gone:
					default:
						_ = l.BackplaneLink.Subscribe(context.Background(), l.allTopics())
					}
				})
				s.mu.Lock()
				s.down = false
				s.mu.Unlock()
			}
		}
		if change != nil {
			change(s)
		}
		return s
	}
}

// broken is buses that must not pass, and what finds them out.
var broken = []struct {
	name string
	by   []string
	bus  func(t testing.TB) *spoiled
}{
	{"loses one of many", []string{"what one node sends keeps its order"}, func(testing.TB) *spoiled {
		var n atomic.Int64
		return &spoiled{publish: func(l *spoiledLink, ctx context.Context, topic string, p []byte) error {
			if n.Add(1)%100 == 99 {
				return nil
			}
			return l.BackplaneLink.Publish(ctx, topic, p)
		}}
	}},
	{"sends everything twice, as if it were new", []string{"a broadcast reaches everybody once", "a connection is reached by its id"}, func(testing.TB) *spoiled {
		return &spoiled{publish: func(l *spoiledLink, ctx context.Context, topic string, p []byte) error {
			again := bytes.Clone(p)
			again[atSequence-2]++ // far ahead
			_ = l.BackplaneLink.Publish(ctx, topic, p)
			return l.BackplaneLink.Publish(ctx, topic, again)
		}}
	}},
	{"brings back what one has sent, under another name", []string{"a broadcast reaches everybody once", "exceptions hold on every node"}, func(testing.TB) *spoiled {
		return &spoiled{publish: func(l *spoiledLink, ctx context.Context, topic string, p []byte) error {
			l.node.Receive(changed(p, atNode))
			return l.BackplaneLink.Publish(ctx, topic, p)
		}}
	}},
	{"swaps what one node sends", []string{"what one node sends keeps its order", "a broadcast reaches everybody once"}, func(testing.TB) *spoiled {
		return &spoiled{publish: func(l *spoiledLink, ctx context.Context, topic string, p []byte) error {
			if topic != "all" {
				return l.BackplaneLink.Publish(ctx, topic, p)
			}
			if l.held = append(l.held, p); len(l.held) == 2 {
				_ = l.BackplaneLink.Publish(ctx, topic, l.held[1])
				_ = l.BackplaneLink.Publish(ctx, topic, l.held[0])
				l.held = nil
			}
			return nil
		}}
	}},
	{"keeps the order of each topic only", []string{"what one node sends keeps its order", "a group's members are reached wherever they are"}, func(t testing.TB) *spoiled {
		var wg sync.WaitGroup
		t.Cleanup(wg.Wait)
		return &spoiled{publish: func(l *spoiledLink, ctx context.Context, topic string, p []byte) error {
			if topic != "all" {
				wg.Go(func() {
					time.Sleep(10 * time.Millisecond)
					_ = l.BackplaneLink.Publish(ctx, topic, p)
				})
				return nil
			}
			return l.BackplaneLink.Publish(ctx, topic, p)
		}}
	}},
	{"cuts big envelopes off", []string{"an envelope arrives as it was", "messages of every size arrive"}, func(testing.TB) *spoiled {
		return &spoiled{publish: func(l *spoiledLink, ctx context.Context, topic string, p []byte) error {
			return l.BackplaneLink.Publish(ctx, topic, p[:min(len(p), 1<<16)])
		}}
	}},
	{"refuses big envelopes", []string{"an envelope arrives as it was", "messages of every size arrive"}, func(testing.TB) *spoiled {
		return &spoiled{publish: func(l *spoiledLink, ctx context.Context, topic string, p []byte) error {
			if len(p) > 1<<16 {
				return errors.New("too big")
			}
			return l.BackplaneLink.Publish(ctx, topic, p)
		}}
	}},
	{"takes envelopes for text", []string{"an envelope arrives as it was"}, func(testing.TB) *spoiled {
		return &spoiled{publish: func(l *spoiledLink, ctx context.Context, topic string, p []byte) error {
			return l.BackplaneLink.Publish(ctx, topic, bytes.ToValidUTF8(p, []byte("?")))
		}}
	}},
	{"scribbles in the envelope", []string{"an envelope arrives as it was"}, func(testing.TB) *spoiled {
		return &spoiled{publish: func(l *spoiledLink, ctx context.Context, topic string, p []byte) error {
			err := l.BackplaneLink.Publish(ctx, topic, p)
			p[0]++
			return err
		}}
	}},
	{"subscribes a little later", []string{"what is subscribed to is not missed", "an answer does not overtake its question"}, func(t testing.TB) *spoiled {
		var wg sync.WaitGroup
		t.Cleanup(wg.Wait)
		return &spoiled{subscribe: func(l *spoiledLink, _ context.Context, topics []string) error {
			wg.Go(func() {
				time.Sleep(time.Millisecond)
				_ = l.BackplaneLink.Subscribe(context.Background(), topics)
			})
			return nil
		}}
	}},
	{"knows only the topics of the last Subscribe", []string{"groups come and go", "a user is reached on every node"}, func(testing.TB) *spoiled {
		return &spoiled{subscribe: func(l *spoiledLink, ctx context.Context, topics []string) error {
			_ = l.BackplaneLink.Unsubscribe(ctx, l.allTopics())
			return l.BackplaneLink.Subscribe(ctx, topics)
		}}
	}},
	{"unsubscribes from everything", []string{"what is subscribed to is not missed", "groups come and go"}, func(testing.TB) *spoiled {
		return &spoiled{unsubscribe: func(l *spoiledLink, ctx context.Context, topics []string) error {
			return l.BackplaneLink.Unsubscribe(ctx, append(l.allTopics(), topics...))
		}}
	}},
	{"forgets its subscriptions in a cut", []string{"a cut is noticed and got over"}, cutting(func(s *spoiled) {
		cut := s.cut
		s.cut = func(s *spoiled) (restore func()) {
			cut(s)
			return func() {
				s.mu.Lock()
				defer s.mu.Unlock()
				s.down = false
			}
		}
	})},
	{"says nothing of a cut", []string{"a cut is noticed and got over"}, cutting(func(s *spoiled) { s.health = nil })},
	{"never gets over a cut", []string{"a cut is noticed and got over"}, cutting(func(s *spoiled) {
		cut := s.cut
		s.cut = func(s *spoiled) (restore func()) {
			cut(s)
			return func() {}
		}
	})},
	{"connects each node once", []string{"a link that has ended is replaced"}, func(testing.TB) *spoiled {
		n := 0
		var mu sync.Mutex
		return &spoiled{connect: func() error {
			mu.Lock()
			defer mu.Unlock()
			if n++; n > 3 {
				return errors.New("no more")
			}
			return nil
		}}
	}},
	{"receives after Close", []string{"a closed link receives nothing"}, func(t testing.TB) *spoiled {
		var wg sync.WaitGroup
		t.Cleanup(wg.Wait)
		return &spoiled{close: func(l *spoiledLink, _ context.Context) error {
			wg.Go(func() {
				time.Sleep(time.Millisecond)
				l.node.Receive([]byte("a last word"))
			})
			return nil
		}}
	}},
	{"loses what was published when it closes", []string{"Shutdown publishes what is queued"}, func(t testing.TB) *spoiled {
		var wg sync.WaitGroup
		t.Cleanup(wg.Wait)
		return &spoiled{publish: func(l *spoiledLink, _ context.Context, topic string, p []byte) error {
			l.mu.Lock()
			defer l.mu.Unlock()
			if l.held = append(l.held, p); len(l.held) > 1 {
				return nil
			}
			wg.Go(func() { // goes out in lots
				time.Sleep(time.Millisecond)
				l.mu.Lock()
				defer l.mu.Unlock()
				for _, p := range l.held {
					select {
					case <-l.gone:
					default:
						_ = l.BackplaneLink.Publish(context.Background(), topic, p)
					}
				}
				l.held = nil
			})
			return nil
		}}
	}},
	{"leaves goroutines behind", []string{"nothing is left after Shutdown"}, func(t testing.TB) *spoiled {
		end := make(chan struct{})
		t.Cleanup(func() { close(end) })
		return &spoiled{close: func(l *spoiledLink, ctx context.Context) error {
			go func() { <-end }()
			return l.BackplaneLink.Close(ctx)
		}}
	}},
	{"takes no heed of contexts", []string{"nothing is left after Shutdown", "a broadcast reaches everybody once", "Shutdown publishes what is queued"}, func(t testing.TB) *spoiled {
		end := make(chan struct{})
		t.Cleanup(func() { close(end) })
		return &spoiled{publish: func(*spoiledLink, context.Context, string, []byte) error {
			<-end
			return errors.New("the end")
		}}
	}},
	{"knows no topics of nodes", []string{"a connection is reached by its id", "a connection is closed by its id", "a connection joins and leaves by its id"}, func(testing.TB) *spoiled {
		return &spoiled{publish: func(l *spoiledLink, ctx context.Context, topic string, p []byte) error {
			if strings.HasPrefix(topic, "node") {
				return nil
			}
			return l.BackplaneLink.Publish(ctx, topic, p)
		}}
	}},
	{"gives each envelope to one node only, as a queue does", []string{"a broadcast reaches everybody once", "each connection is spoken to in its variant", "types and compression survive", "a bus that takes nothing is not felt"}, func(testing.TB) *spoiled {
		var mu sync.Mutex
		n, taken := 0, map[string]bool{} // by whom next, which
		return &spoiled{receive: func(l *spoiledLink, p []byte) {
			mu.Lock()
			n++
			mine := !taken[string(p)] && n%2 == 0
			taken[string(p)] = taken[string(p)] || mine
			mu.Unlock()
			if mine {
				l.node.Receive(p)
			}
		}}
	}},
	{"takes a new node's envelopes for an old one's", []string{"a node that comes back is another", "a broadcast reaches everybody once"}, func(testing.TB) *spoiled {
		var mu sync.Mutex
		seen := map[string]bool{}
		return &spoiled{publish: func(l *spoiledLink, ctx context.Context, topic string, p []byte) error {
			mu.Lock()
			known := seen[string(p[:atSequence+1])]
			seen[string(p[:atSequence+1])] = true
			mu.Unlock()
			if known {
				return nil
			}
			return l.BackplaneLink.Publish(ctx, topic, p)
		}}
	}},
	{"never connects", []string{"a broadcast reaches everybody once", "an envelope arrives as it was"}, func(testing.TB) *spoiled {
		return &spoiled{connect: func() error { return errors.New("no such host") }}
	}},
}

func TestBrokenBusesAreFoundOut(t *testing.T) {
	for _, tt := range broken {
		for _, name := range tt.by {
			t.Run(tt.name+"/"+name, func(t *testing.T) {
				failures := try(t, name, tt.bus)
				require.NotEmpty(t, failures, "the bus has passed")
				t.Log(failures)
			})
		}
	}
}

func TestEveryGuaranteeCanBeBroken(t *testing.T) {
	shown := map[string]bool{}
	for _, tt := range broken {
		for _, name := range tt.by {
			shown[name] = true
		}
	}
	for _, g := range guarantees {
		require.True(t, shown[g.name], "no bus breaks %q", g.name)
	}
}

// tolerable is buses that have to pass: what Managers can cope with is no fault.
var tolerable = map[string]func(t testing.TB) *spoiled{
	"in process": func(testing.TB) *spoiled { return &spoiled{} },
	"sends everything twice": func(testing.TB) *spoiled {
		return &spoiled{publish: func(l *spoiledLink, ctx context.Context, topic string, p []byte) error {
			_ = l.BackplaneLink.Publish(ctx, topic, p)
			return l.BackplaneLink.Publish(ctx, topic, p)
		}}
	},
	"repeats itself later": func(t testing.TB) *spoiled {
		var wg sync.WaitGroup
		t.Cleanup(wg.Wait)
		return &spoiled{publish: func(l *spoiledLink, ctx context.Context, topic string, p []byte) error {
			wg.Go(func() {
				time.Sleep(rand.N(10 * time.Millisecond))
				_ = l.BackplaneLink.Publish(context.Background(), topic, p)
			})
			return l.BackplaneLink.Publish(ctx, topic, p)
		}}
	},
	"has no topics": func(testing.TB) *spoiled {
		const one = "everything"
		return &spoiled{
			publish: func(l *spoiledLink, ctx context.Context, _ string, p []byte) error {
				return l.BackplaneLink.Publish(ctx, one, p)
			},
			subscribe: func(l *spoiledLink, ctx context.Context, _ []string) error {
				return l.BackplaneLink.Subscribe(ctx, []string{one})
			},
			unsubscribe: func(*spoiledLink, context.Context, []string) error { return nil },
		}
	},
	"can be cut": cutting(nil),
}

func TestBusesThatPass(t *testing.T) {
	for name, bus := range tolerable {
		t.Run(name, func(t *testing.T) {
			for _, g := range guarantees {
				require.Empty(t, try(t, g.name, bus), g.name)
			}
		})
	}
}
