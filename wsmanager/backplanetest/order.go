package backplanetest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/speakingtube/speakingtube/wsmanager"
)

// orderGuarantees are about the order of delivery.
var orderGuarantees = []guarantee{
	{"the messages of one node keep their order", testOrder},
	{"an answer does not overtake its question", testCausality},
}

func testOrder(t testing.TB, bus Bus) {
	c := newCluster(t, bus, 3)
	for _, n := range c.nodes {
		n.dial(map[string][]string{"group": {"g"}, "user": {"ann"}})
	}
	c.ready()
	const count = 200
	for _, from := range c.nodes {
		t.Cleanup(async(func() { // all at the same time
			for i := range count {
				msg := wsmanager.Text(fmt.Sprintf("%s: %d", from.Stats().Backplane.Node, i))
				switch i % 4 {
				case 0:
					from.Broadcast(msg)
				case 1:
					from.Group("g").Send(msg)
				case 2:
					from.Users("ann").Send(msg)
				case 3:
					for _, to := range c.clients() {
						_ = from.Send(to.conn.ID(), msg) // an error appears as a gap
					}
				}
			}
		}))
	}
	for _, cl := range c.clients() {
		next := map[string]int{}
		for range count * len(c.nodes) {
			text := cl.Text()
			node, _, _ := strings.Cut(text, ": ")
			if want := fmt.Sprintf("%s: %d", node, next[node]); text != want {
				t.Fatalf("backplanetest: order: %s got %q, want %q next", cl.name, text, want)
			}
			next[node]++
		}
	}
	c.expect("after all", c.nodes[0], nil)
}

// async starts f and returns a function that waits for its end.
func async(f func()) (wait func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	return func() { <-done }
}

// A node that tells others of its member receives their answers to the group, without
// waiting for any subscription.
func testCausality(t testing.TB, bus Bus) {
	c := newCluster(t, bus, 2)
	a, b := c.nodes[0].dial(nil), c.nodes[1].dial(nil)
	for i := range 50 {
		group := fmt.Sprint("group ", i)
		c.requireNoError("Join", b.conn.Join(group))
		c.nodes[1].All().Except(b.conn.ID()).Send(wsmanager.Text("I am in " + group))
		a.ExpectText("I am in " + group)
		c.nodes[0].Group(group).Send(wsmanager.Text("welcome to " + group))
		b.ExpectText("welcome to " + group)
	}
}
