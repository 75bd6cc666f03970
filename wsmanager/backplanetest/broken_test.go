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

// brokenBus is an in-memory bus of which some calls are replaced.
type brokenBus struct {
	wsmanager.LocalBus
	publish     func(l *brokenLink, ctx context.Context, topic string, envelope []byte) error
	subscribe   func(l *brokenLink, ctx context.Context, topics []string) error
	unsubscribe func(l *brokenLink, ctx context.Context, topics []string) error
	receive     func(l *brokenLink, envelope []byte)
	health      func(l *brokenLink) error
	close       func(l *brokenLink, ctx context.Context) error
	connect     func() error
	cut         func(s *brokenBus) (restore func())

	mu    sync.Mutex // guards the fields below
	links []*brokenLink
	down  bool // for cuttable
}

type brokenLink struct {
	wsmanager.BackplaneLink
	of     *brokenBus
	node   wsmanager.BackplaneNode
	topics map[string]bool

	mu   sync.Mutex // guards the fields below
	held [][]byte
	gone chan struct{} // closed with the link
}

func (s *brokenBus) Connect(ctx context.Context, node wsmanager.BackplaneNode) (wsmanager.BackplaneLink, error) {
	if s.connect != nil {
		if err := s.connect(); err != nil {
			return nil, err
		}
	}
	l := &brokenLink{of: s, node: node, topics: map[string]bool{}, gone: make(chan struct{})}
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

func (s *brokenBus) isDown() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.down
}

// each calls f for all links.
func (s *brokenBus) each(f func(*brokenLink)) {
	s.mu.Lock()
	links := slices.Clone(s.links)
	s.mu.Unlock()
	for _, l := range links {
		f(l)
	}
}

func (l *brokenLink) Publish(ctx context.Context, topic string, envelope []byte) error {
	if l.of.publish != nil {
		return l.of.publish(l, ctx, topic, envelope)
	}
	return l.BackplaneLink.Publish(ctx, topic, envelope)
}

func (l *brokenLink) Subscribe(ctx context.Context, topics []string) error {
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

func (l *brokenLink) Unsubscribe(ctx context.Context, topics []string) error {
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

func (l *brokenLink) allTopics() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Collect(maps.Keys(l.topics))
}

func (l *brokenLink) Health() error {
	if l.of.health != nil {
		return l.of.health(l)
	}
	return l.BackplaneLink.Health()
}

func (l *brokenLink) Close(ctx context.Context) error {
	close(l.gone)
	if l.of.close != nil {
		return l.of.close(l, ctx)
	}
	return l.BackplaneLink.Close(ctx)
}

// Offsets in an envelope of the first letter of its node's id and of the last byte of its
// sequence number: see wsmanager's envelope.go. Adapters must not depend on them.
const nodeIDOffset, sequenceOffset = 11, 9

func changed(p []byte, at int) []byte {
	p = bytes.Clone(p)
	p[at] ^= 1
	return p
}

// cuttable returns a constructor of buses that can be cut: their links are replaced without
// help.
func cuttable(change func(*brokenBus)) func(testing.TB) *brokenBus {
	return func(testing.TB) *brokenBus {
		s := &brokenBus{}
		lost := errors.New("lost")
		s.health = func(*brokenLink) error {
			if s.isDown() {
				return lost
			}
			return nil
		}
		s.publish = func(l *brokenLink, ctx context.Context, topic string, p []byte) error {
			if s.isDown() {
				return lost
			}
			return l.BackplaneLink.Publish(ctx, topic, p)
		}
		s.subscribe = func(l *brokenLink, ctx context.Context, topics []string) error {
			if s.isDown() {
				return lost
			}
			return l.BackplaneLink.Subscribe(ctx, topics)
		}
		s.cut = func(s *brokenBus) (restore func()) {
			s.mu.Lock()
			s.down = true
			s.mu.Unlock()
			s.each(func(l *brokenLink) { _ = l.BackplaneLink.Unsubscribe(context.Background(), l.allTopics()) })
			return func() {
				s.each(func(l *brokenLink) {
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

// broken lists buses that must not pass, and the guarantees that detect them.
var broken = []struct {
	name string
	by   []string
	bus  func(t testing.TB) *brokenBus
}{
	{"loses one of many", []string{"the messages of one node keep their order"}, func(testing.TB) *brokenBus {
		var n atomic.Int64
		return &brokenBus{publish: func(l *brokenLink, ctx context.Context, topic string, p []byte) error {
			if n.Add(1)%100 == 99 {
				return nil
			}
			return l.BackplaneLink.Publish(ctx, topic, p)
		}}
	}},
	{"sends everything twice, as a new envelope", []string{"a broadcast reaches every connection once", "a connection is reached by its id"}, func(testing.TB) *brokenBus {
		return &brokenBus{publish: func(l *brokenLink, ctx context.Context, topic string, p []byte) error {
			again := bytes.Clone(p)
			again[sequenceOffset-2]++ // far ahead
			_ = l.BackplaneLink.Publish(ctx, topic, p)
			return l.BackplaneLink.Publish(ctx, topic, again)
		}}
	}},
	{"returns a node's own envelopes to it, under another name", []string{"a broadcast reaches every connection once", "exceptions hold on every node"}, func(testing.TB) *brokenBus {
		return &brokenBus{publish: func(l *brokenLink, ctx context.Context, topic string, p []byte) error {
			l.node.Receive(changed(p, nodeIDOffset))
			return l.BackplaneLink.Publish(ctx, topic, p)
		}}
	}},
	{"swaps the messages of one node", []string{"the messages of one node keep their order", "a broadcast reaches every connection once"}, func(testing.TB) *brokenBus {
		return &brokenBus{publish: func(l *brokenLink, ctx context.Context, topic string, p []byte) error {
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
	{"keeps the order of each topic only", []string{"the messages of one node keep their order", "a group's members are reached wherever they are"}, func(t testing.TB) *brokenBus {
		var wg sync.WaitGroup
		t.Cleanup(wg.Wait)
		return &brokenBus{publish: func(l *brokenLink, ctx context.Context, topic string, p []byte) error {
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
	{"cuts big envelopes off", []string{"an envelope arrives as it was", "messages of every size arrive"}, func(testing.TB) *brokenBus {
		return &brokenBus{publish: func(l *brokenLink, ctx context.Context, topic string, p []byte) error {
			return l.BackplaneLink.Publish(ctx, topic, p[:min(len(p), 1<<16)])
		}}
	}},
	{"refuses big envelopes", []string{"an envelope arrives as it was", "messages of every size arrive"}, func(testing.TB) *brokenBus {
		return &brokenBus{publish: func(l *brokenLink, ctx context.Context, topic string, p []byte) error {
			if len(p) > 1<<16 {
				return errors.New("too big")
			}
			return l.BackplaneLink.Publish(ctx, topic, p)
		}}
	}},
	{"treats envelopes as text", []string{"an envelope arrives as it was"}, func(testing.TB) *brokenBus {
		return &brokenBus{publish: func(l *brokenLink, ctx context.Context, topic string, p []byte) error {
			return l.BackplaneLink.Publish(ctx, topic, bytes.ToValidUTF8(p, []byte("?")))
		}}
	}},
	{"modifies the envelope", []string{"an envelope arrives as it was"}, func(testing.TB) *brokenBus {
		return &brokenBus{publish: func(l *brokenLink, ctx context.Context, topic string, p []byte) error {
			err := l.BackplaneLink.Publish(ctx, topic, p)
			p[0]++
			return err
		}}
	}},
	{"subscribes a little later", []string{"no envelope is missed after Subscribe", "an answer does not overtake its question"}, func(t testing.TB) *brokenBus {
		var wg sync.WaitGroup
		t.Cleanup(wg.Wait)
		return &brokenBus{subscribe: func(l *brokenLink, _ context.Context, topics []string) error {
			wg.Go(func() {
				time.Sleep(time.Millisecond)
				_ = l.BackplaneLink.Subscribe(context.Background(), topics)
			})
			return nil
		}}
	}},
	{"knows only the topics of the last Subscribe", []string{"groups come and go", "a user is reached on every node"}, func(testing.TB) *brokenBus {
		return &brokenBus{subscribe: func(l *brokenLink, ctx context.Context, topics []string) error {
			_ = l.BackplaneLink.Unsubscribe(ctx, l.allTopics())
			return l.BackplaneLink.Subscribe(ctx, topics)
		}}
	}},
	{"unsubscribes from everything", []string{"no envelope is missed after Subscribe", "groups come and go"}, func(testing.TB) *brokenBus {
		return &brokenBus{unsubscribe: func(l *brokenLink, ctx context.Context, topics []string) error {
			return l.BackplaneLink.Unsubscribe(ctx, append(l.allTopics(), topics...))
		}}
	}},
	{"forgets its subscriptions in a cut", []string{"nodes recover from a cut"}, cuttable(func(s *brokenBus) {
		cut := s.cut
		s.cut = func(s *brokenBus) (restore func()) {
			cut(s)
			return func() {
				s.mu.Lock()
				defer s.mu.Unlock()
				s.down = false
			}
		}
	})},
	{"does not report a cut", []string{"nodes recover from a cut"}, cuttable(func(s *brokenBus) { s.health = nil })},
	{"never recovers from a cut", []string{"nodes recover from a cut"}, cuttable(func(s *brokenBus) {
		cut := s.cut
		s.cut = func(s *brokenBus) (restore func()) {
			cut(s)
			return func() {}
		}
	})},
	{"connects each node once", []string{"a link that has ended is replaced"}, func(testing.TB) *brokenBus {
		n := 0
		var mu sync.Mutex
		return &brokenBus{connect: func() error {
			mu.Lock()
			defer mu.Unlock()
			if n++; n > 3 {
				return errors.New("no more")
			}
			return nil
		}}
	}},
	{"receives after Close", []string{"a closed link receives nothing"}, func(t testing.TB) *brokenBus {
		var wg sync.WaitGroup
		t.Cleanup(wg.Wait)
		return &brokenBus{close: func(l *brokenLink, _ context.Context) error {
			wg.Go(func() {
				time.Sleep(time.Millisecond)
				l.node.Receive([]byte("a last word"))
			})
			return nil
		}}
	}},
	{"loses queued envelopes when it closes", []string{"Shutdown publishes the queue"}, func(t testing.TB) *brokenBus {
		var wg sync.WaitGroup
		t.Cleanup(wg.Wait)
		return &brokenBus{publish: func(l *brokenLink, _ context.Context, topic string, p []byte) error {
			l.mu.Lock()
			defer l.mu.Unlock()
			if l.held = append(l.held, p); len(l.held) > 1 {
				return nil
			}
			wg.Go(func() { // sends in batches
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
	{"leaves goroutines behind", []string{"nothing is left after Shutdown"}, func(t testing.TB) *brokenBus {
		end := make(chan struct{})
		t.Cleanup(func() { close(end) })
		return &brokenBus{close: func(l *brokenLink, ctx context.Context) error {
			go func() { <-end }()
			return l.BackplaneLink.Close(ctx)
		}}
	}},
	{"ignores contexts", []string{"nothing is left after Shutdown", "a broadcast reaches every connection once", "Shutdown publishes the queue"}, func(t testing.TB) *brokenBus {
		end := make(chan struct{})
		t.Cleanup(func() { close(end) })
		return &brokenBus{publish: func(*brokenLink, context.Context, string, []byte) error {
			<-end
			return errors.New("the end")
		}}
	}},
	{"knows no topics of nodes", []string{"a connection is reached by its id", "a connection is closed by its id", "a connection joins and leaves by its id", "a union reaches each connection once"}, func(testing.TB) *brokenBus {
		return &brokenBus{publish: func(l *brokenLink, ctx context.Context, topic string, p []byte) error {
			if strings.HasPrefix(topic, "node") {
				return nil
			}
			return l.BackplaneLink.Publish(ctx, topic, p)
		}}
	}},
	{"gives each envelope to one node only, as a queue does", []string{"a broadcast reaches every connection once", "each connection gets its variant", "types and compression survive", "a stalled bus does not affect local connections"}, func(testing.TB) *brokenBus {
		var mu sync.Mutex
		links, envelopes := map[*brokenLink]int{}, map[string]int{} // numbered as they are seen first
		return &brokenBus{receive: func(l *brokenLink, p []byte) {
			mu.Lock()
			if _, ok := links[l]; !ok {
				links[l] = len(links)
			}
			if _, ok := envelopes[string(p)]; !ok {
				envelopes[string(p)] = len(envelopes)
			}
			mine := links[l] == envelopes[string(p)]%2
			mu.Unlock()
			if mine {
				l.node.Receive(p)
			}
		}}
	}},
	{"treats a new node's envelopes as an old one's", []string{"a node that comes back is another", "a broadcast reaches every connection once"}, func(testing.TB) *brokenBus {
		var mu sync.Mutex
		seen := map[string]bool{}
		return &brokenBus{publish: func(l *brokenLink, ctx context.Context, topic string, p []byte) error {
			mu.Lock()
			known := seen[string(p[:sequenceOffset+1])]
			seen[string(p[:sequenceOffset+1])] = true
			mu.Unlock()
			if known {
				return nil
			}
			return l.BackplaneLink.Publish(ctx, topic, p)
		}}
	}},
	{"never connects", []string{"a broadcast reaches every connection once", "a set joins, leaves and closes on every node", "an envelope arrives as it was"}, func(testing.TB) *brokenBus {
		return &brokenBus{connect: func() error { return errors.New("no such host") }}
	}},
}

func TestBrokenBusesFail(t *testing.T) {
	for _, tt := range broken {
		for _, name := range tt.by {
			t.Run(tt.name+"/"+name, func(t *testing.T) {
				failures := failuresOf(t, name, tt.bus)
				require.NotEmpty(t, failures, "the bus has passed")
				t.Log(failures)
			})
		}
	}
}

func TestEveryGuaranteeCanBeViolated(t *testing.T) {
	shown := map[string]bool{}
	for _, tt := range broken {
		for _, name := range tt.by {
			shown[name] = true
		}
	}
	for _, g := range guarantees {
		require.True(t, shown[g.name], "no bus violates %q", g.name)
	}
}

// tolerable lists buses that must pass: Managers can cope with their peculiarities.
var tolerable = map[string]func(t testing.TB) *brokenBus{
	"in process": func(testing.TB) *brokenBus { return &brokenBus{} },
	"sends everything twice": func(testing.TB) *brokenBus {
		return &brokenBus{publish: func(l *brokenLink, ctx context.Context, topic string, p []byte) error {
			_ = l.BackplaneLink.Publish(ctx, topic, p)
			return l.BackplaneLink.Publish(ctx, topic, p)
		}}
	},
	"repeats itself later": func(t testing.TB) *brokenBus {
		var wg sync.WaitGroup
		t.Cleanup(wg.Wait)
		return &brokenBus{publish: func(l *brokenLink, ctx context.Context, topic string, p []byte) error {
			wg.Go(func() {
				time.Sleep(rand.N(10 * time.Millisecond))
				_ = l.BackplaneLink.Publish(context.Background(), topic, p)
			})
			return l.BackplaneLink.Publish(ctx, topic, p)
		}}
	},
	"has no topics": func(testing.TB) *brokenBus {
		const one = "everything"
		return &brokenBus{
			publish: func(l *brokenLink, ctx context.Context, _ string, p []byte) error {
				return l.BackplaneLink.Publish(ctx, one, p)
			},
			subscribe: func(l *brokenLink, ctx context.Context, _ []string) error {
				return l.BackplaneLink.Subscribe(ctx, []string{one})
			},
			unsubscribe: func(*brokenLink, context.Context, []string) error { return nil },
		}
	},
	"can be cut": cuttable(nil),
}

func TestBusesThatPass(t *testing.T) {
	for name, bus := range tolerable {
		t.Run(name, func(t *testing.T) {
			for _, g := range guarantees {
				require.Empty(t, failuresOf(t, g.name, bus), g.name)
			}
		})
	}
}
