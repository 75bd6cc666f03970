package backplanetest

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/speakingtube/speakingtube/wsmanager"
)

// linkGuarantees are the guarantees of a bus that can be seen without Managers.
var linkGuarantees = []guarantee{
	{"an envelope arrives as it was", testBytes},
	{"no envelope is missed after Subscribe", testSubscribed},
	{"a closed link receives nothing", testClosed},
}

// rawNode is a node without a Manager that records the envelopes it receives.
type rawNode struct {
	link wsmanager.BackplaneLink

	mu     sync.Mutex // guards the fields below
	got    [][]byte
	closed bool
	late   int // envelopes received after the link was closed
}

func newRawNode(t testing.TB, bus Bus, id string) *rawNode {
	t.Helper()
	n := &rawNode{}
	ctx, cancel := bus.context(t)
	defer cancel()
	var err error
	if n.link, err = bus.Node().Connect(ctx, wsmanager.BackplaneNode{ID: id, Receive: n.receive}); err != nil {
		t.Fatalf("backplanetest: Connect: %v", err)
	}
	t.Cleanup(func() {
		if !n.isClosed() {
			n.close(t, bus)
		}
	})
	return n
}

func (n *rawNode) receive(p []byte) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		n.late++
	}
	n.got = append(n.got, bytes.Clone(p))
}

func (n *rawNode) isClosed() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.closed
}

func (n *rawNode) close(t testing.TB, bus Bus) {
	ctx, cancel := bus.context(t)
	defer cancel()
	if err := n.link.Close(ctx); err != nil {
		t.Errorf("backplanetest: Close: %v", err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.closed = true
}

// has reports whether the envelope p has been received.
func (n *rawNode) has(p []byte) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, q := range n.got {
		if bytes.Equal(p, q) {
			return true
		}
	}
	return false
}

func (n *rawNode) subscribe(t testing.TB, bus Bus, topics ...string) {
	t.Helper()
	ctx, cancel := bus.context(t)
	defer cancel()
	if err := n.link.Subscribe(ctx, topics); err != nil {
		t.Fatalf("backplanetest: Subscribe: %v", err)
	}
}

func (n *rawNode) unsubscribe(t testing.TB, bus Bus, topics ...string) {
	t.Helper()
	ctx, cancel := bus.context(t)
	defer cancel()
	if err := n.link.Unsubscribe(ctx, topics); err != nil {
		t.Fatalf("backplanetest: Unsubscribe: %v", err)
	}
}

func (n *rawNode) publish(t testing.TB, bus Bus, topic string, p []byte) {
	t.Helper()
	ctx, cancel := bus.context(t)
	defer cancel()
	if err := n.link.Publish(ctx, topic, p); err != nil {
		t.Fatalf("backplanetest: Publish to %q: %v", topic, err)
	}
}

// rawTopics are topics such as Managers use.
var rawTopics = []string{
	"all", "node-ABCDEFGHIJKLM", "group-lobby", "group-Lobby", "group--", "user-_",
	"group=" + strings.Repeat("A7", 26), "group-" + strings.Repeat("x", 114),
}

func testBytes(t testing.TB, bus Bus) {
	a, b := newRawNode(t, bus, "AAAAAAAAAAAAA"), newRawNode(t, bus, "BBBBBBBBBBBBB")
	b.subscribe(t, bus, rawTopics...)
	rnd := rand.New(rand.NewPCG(1, 2))
	for i, topic := range rawTopics {
		for _, size := range []int{20, 1000, 70_000, bus.MaxMessage} {
			p := make([]byte, size)
			for j := range p {
				p[j] = byte(rnd.Uint32())
			}
			copy(p, []byte{0, '\r', '\n', 0xff, byte(i)})
			sent := bytes.Clone(p)
			a.publish(t, bus, topic, p)
			bus.eventually(t, fmt.Sprintf("%d bytes on the topic %q, unchanged", size, topic), func() bool { return b.has(sent) })
			if !bytes.Equal(sent, p) {
				t.Fatalf("backplanetest: the published envelope was changed")
			}
		}
	}
}

func testSubscribed(t testing.TB, bus Bus) {
	a, b := newRawNode(t, bus, "AAAAAAAAAAAAA"), newRawNode(t, bus, "BBBBBBBBBBBBB")
	for i := range 100 {
		topics := []string{fmt.Sprint("group-a", i), fmt.Sprint("group-b", i)}
		b.subscribe(t, bus, topics...)
		for _, topic := range topics {
			p := []byte("envelope for " + topic)
			a.publish(t, bus, topic, p)
			bus.eventually(t, "an envelope published after Subscribe has returned", func() bool { return b.has(p) })
		}
		b.unsubscribe(t, bus, topics[0])
		p := []byte("more for " + topics[1])
		a.publish(t, bus, topics[1], p)
		bus.eventually(t, "an envelope on a topic, after another one was left", func() bool { return b.has(p) })
	}
}

func testClosed(t testing.TB, bus Bus) {
	a, b, c := newRawNode(t, bus, "AAAAAAAAAAAAA"), newRawNode(t, bus, "BBBBBBBBBBBBB"), newRawNode(t, bus, "CCCCCCCCCCCCC")
	b.subscribe(t, bus, "all")
	c.subscribe(t, bus, "all")
	stop, stopped := make(chan struct{}), make(chan struct{})
	var failed error
	go func() { // envelopes in flight while the link closes
		defer close(stopped)
		for i := uint64(0); failed == nil; i++ {
			select {
			case <-stop:
				return
			default:
			}
			ctx, cancel := context.WithTimeout(context.Background(), bus.Patience)
			failed = a.link.Publish(ctx, "all", binary.BigEndian.AppendUint64(nil, i))
			cancel()
			time.Sleep(time.Millisecond) // not to flood a broker
		}
	}()
	received := func(n *rawNode, more int) func() bool {
		n.mu.Lock()
		before := len(n.got)
		n.mu.Unlock()
		return func() bool {
			n.mu.Lock()
			defer n.mu.Unlock()
			return len(n.got) >= before+more
		}
	}
	bus.eventually(t, "the first envelopes", received(b, 3))
	b.close(t, bus)
	bus.eventually(t, "envelopes after a node has left", received(c, 10))
	close(stop)
	<-stopped
	if failed != nil {
		t.Fatalf("backplanetest: Publish: %v", failed)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.late > 0 {
		t.Fatalf("backplanetest: %d envelopes arrived after Close had returned", b.late)
	}
}
