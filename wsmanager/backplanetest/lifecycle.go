package backplanetest

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"testing"
	"time"

	"github.com/speakingtube/speakingtube/wsmanager"
)

// lifecycleGuarantees are about failures and the end of a bus.
var lifecycleGuarantees = []guarantee{
	{"a link that has ended is replaced", testReplaced},
	{"nodes recover from a cut", testCut},
	{"a stalled bus does not affect local connections", testStall},
	{"a node that comes back is another", testRestart},
	{"Shutdown publishes the queue", testDrain},
	{"nothing is left after Shutdown", testNothingLeft},
}

// up reports whether all nodes are connected, or none is.
func (c *cluster) up(want bool) func() bool {
	return func() bool {
		for _, n := range c.nodes {
			if (n.PingBackplane(context.Background()) == nil) != want || n.Stats().Backplane.Connected != want {
				return false
			}
		}
		return true
	}
}

// survives cuts the bus, and asserts that the nodes work alone meanwhile and together
// afterwards.
func (c *cluster) survives(cut func() (restore func())) {
	c.t.Helper()
	bus := c.bus
	for _, n := range c.nodes {
		n.dial(map[string][]string{"group": {"g"}, "user": {"ann"}})
	}
	c.ready()
	for round := range 2 {
		from := c.nodes[round%len(c.nodes)]
		from.Group("g").Send(wsmanager.Text("before"))
		c.expect("before the cut", from, []string{"before"}, c.clients()...)
		restore := cut()
		bus.eventually(c.t, "a Health error while the bus is cut", c.up(false))
		for _, n := range c.nodes {
			text := fmt.Sprint("alone ", round)
			n.All().WhereLocal(func(*wsmanager.Conn) bool { return true }).Send(wsmanager.Text(text))
			if sent := n.Group("g").Send(wsmanager.Text(text)); sent.Queued != 1 {
				c.t.Fatalf("backplanetest: a broadcast while the bus is cut went to %d local connections, want 1", sent.Queued)
			}
			n.clients[0].ExpectText(text)
			n.clients[0].ExpectText(text)
		}
		late := c.nodes[1].dial(groups("late")) // its topic has to be subscribed to when the bus is back
		restore()
		bus.eventually(c.t, "Health without an error after the cut", c.up(true))
		c.ready()
		// A message that was sent during the cut may arrive or not, but not twice.
		for _, n := range c.nodes {
			for cl, texts := range c.received(n) {
				if len(texts) > len(c.nodes)-1 {
					c.t.Fatalf("backplanetest: after the cut %s got %s", cl.name, abbreviate(texts))
				}
			}
		}
		from.Group("g").Send(wsmanager.Text("after"))
		from.Users("ann").Send(wsmanager.Text("after, to a user"))
		var first []*client
		for _, n := range c.nodes {
			first = append(first, n.clients[0])
		}
		c.expect("after the cut", from, []string{"after", "after, to a user"}, first...)
		c.nodes[0].Group("late").Send(wsmanager.Text("to connections made during the cut"))
		c.expect("after the cut", c.nodes[0], []string{"to connections made during the cut"}, late)
		late.SendClose(1000, "")
		late.ExpectClose(1000)
		c.nodes[1].clients = c.nodes[1].clients[:1]
	}
}

func testReplaced(t testing.TB, bus Bus) {
	c := newCluster(t, bus, 3)
	c.survives(func() (restore func()) {
		var all []func()
		for _, f := range c.faults {
			all = append(all, f.Cut())
		}
		return func() {
			for _, restore := range all {
				restore()
			}
		}
	})
}

func testCut(t testing.TB, bus Bus) {
	if bus.Cut == nil {
		t.Log("backplanetest: skipped: Bus.Cut is nil")
		return
	}
	newCluster(t, bus, 3).survives(bus.Cut)
}

func testStall(t testing.TB, bus Bus) {
	c := newCluster(t, bus, 2, func(o *wsmanager.Options) {
		o.BackplaneQueue.Messages = 100
		o.BackplaneQueue.Timeout = 3 * time.Second
	})
	a, b := c.nodes[0].dial(nil), c.nodes[1].dial(nil)
	resume := c.faults[0].Stall()
	defer resume()
	from := c.nodes[0]
	const count = 1000
	for i := range count {
		if sent := from.Broadcast(wsmanager.Text(fmt.Sprint(i))); sent.Queued != 1 {
			t.Fatalf("backplanetest: a broadcast while the bus is stalled went to %d local connections, want 1", sent.Queued)
		}
	}
	for i := range count {
		a.ExpectText(fmt.Sprint(i))
	}
	s := from.Stats().Backplane
	if s.Queued > 100 || s.Dropped.QueueFull < count-101 {
		t.Fatalf("backplanetest: a queue of 100 for a stalled bus: %+v", s)
	}
	if err := from.Send(b.conn.ID(), wsmanager.Text("no room")); err != wsmanager.ErrBackplane {
		t.Fatalf("backplanetest: Send to another node with a full queue: %v", err)
	}
	bus.eventually(t, "a Health error while the bus is stalled", func() bool { return from.PingBackplane(context.Background()) != nil })
	c.nodes[1].Broadcast(wsmanager.Text("from the other")) // this direction works
	a.ExpectText("from the other")
	b.ExpectText("from the other")
	bus.eventually(t, "the expiry of publications that have waited too long", func() bool { return from.Stats().Backplane.Dropped.Expired > 0 })
	resume()
	bus.eventually(t, "an empty queue", func() bool { return from.Stats().Backplane.Queued == 0 })
	c.ready()
	bus.eventually(t, "Health without an error after the stall", c.up(true))
	c.received(from)
	from.Broadcast(wsmanager.Text("again"))
	c.expect("after the stall", from, []string{"again"}, a, b)
}

func testRestart(t testing.TB, bus Bus) {
	c := newCluster(t, bus, 2)
	a := c.nodes[0].dial(nil)
	seen := map[string]bool{}
	for range 3 {
		n := c.nodes[1]
		if id := n.Stats().Backplane.Node; seen[id] {
			t.Fatalf("backplanetest: two nodes have the id %s", id)
		} else {
			seen[id] = true
		}
		n.Broadcast(wsmanager.Text("hello from a node")) // its first envelope has the same sequence number as its predecessor's
		c.expect("a node's first broadcast", n, []string{"hello from a node"}, a)
		ctx, cancel := bus.context(t)
		c.requireNoError("Shutdown", n.Shutdown(ctx))
		cancel()
		c.nodes = c.nodes[:1]
		c.add()
		c.ready()
	}
}

func testDrain(t testing.TB, bus Bus) {
	c := newCluster(t, bus, 2)
	a := c.nodes[0].dial(nil)
	const count = 500
	for i := range count {
		c.nodes[1].Broadcast(wsmanager.Text(fmt.Sprint(i)))
	}
	ctx, cancel := bus.context(t)
	defer cancel()
	c.requireNoError("Shutdown", c.nodes[1].Shutdown(ctx))
	for i := range count {
		a.ExpectText(fmt.Sprint(i))
	}
	if links := c.faults[1].Links(); links != 0 {
		t.Fatalf("backplanetest: %d links are open after Shutdown", links)
	}
	if err := c.nodes[1].Send(a.conn.ID(), wsmanager.Text("too late")); err != wsmanager.ErrBackplane {
		t.Fatalf("backplanetest: Send after Shutdown: %v", err)
	}
}

func testNothingLeft(t testing.TB, bus Bus) {
	round := func() {
		var nodes []*wsmanager.Manager
		for range 3 {
			m := wsmanager.MustNew(wsmanager.Callbacks{}, wsmanager.Options{Backplane: bus.Node(), Logger: slog.New(slog.DiscardHandler)})
			nodes = append(nodes, m)
			t.Cleanup(func() { // in case the test has failed before
				ctx, cancel := context.WithTimeout(context.Background(), time.Second)
				defer cancel()
				_ = m.Shutdown(ctx)
			})
			ctx, cancel := bus.context(t)
			if err := m.FlushBackplane(ctx); err != nil {
				t.Fatalf("backplanetest: FlushBackplane: %v", err)
			}
			cancel()
			m.Broadcast(wsmanager.Text("hello"))
		}
		for _, m := range nodes {
			ctx, cancel := bus.context(t)
			if err := m.Shutdown(ctx); err != nil {
				t.Fatalf("backplanetest: Shutdown: %v", err)
			}
			cancel()
		}
	}
	round() // to create the resources that are made once
	before := runtime.NumGoroutine()
	for range 3 {
		round()
	}
	bus.eventually(t, "the end of all goroutines", func() bool { return runtime.NumGoroutine() <= before+2 }) // another test may have begun
}
