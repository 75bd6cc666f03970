package backplanetest

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// cluster is several Managers on one bus, with Faults between each and the bus.
type cluster struct {
	t      testing.TB
	bus    Bus
	faults []*Faults
	nodes  []*node
	marks  int
}

// node is one Manager of a cluster.
type node struct {
	*wsmanager.Manager
	of      *cluster
	clients []*client
}

// client is a connection to a node.
type client struct {
	*wstest.Client
	name string
	conn *wsmanager.Conn
}

// newCluster starts n Managers. They are shut down at the end of the test.
func newCluster(t testing.TB, bus Bus, n int, change ...func(*wsmanager.Options)) *cluster {
	t.Helper()
	c := &cluster{t: t, bus: bus}
	for range n {
		c.add(change...)
	}
	c.ready()
	return c
}

// add starts one Manager.
func (c *cluster) add(change ...func(*wsmanager.Options)) *node {
	c.t.Helper()
	faults := NewFaults(c.bus.Node())
	opts := wsmanager.Options{Logger: slog.New(slog.DiscardHandler), Backplane: faults, Compression: wsmanager.Compression{Enabled: true}}
	opts.Outbox.Messages = 10_000
	for _, f := range change {
		f(&opts)
	}
	m, err := wsmanager.New(wsmanager.Callbacks{OnAccept: byQuery}, opts)
	if err != nil {
		c.t.Fatalf("backplanetest: %v", err)
	}
	n := &node{Manager: m, of: c}
	c.faults = append(c.faults, faults)
	c.nodes = append(c.nodes, n)
	c.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = m.Shutdown(ctx) // a test of its own checks the publications of Shutdown
	})
	return n
}

// byQuery accepts a connection as its query requests: ?name=ann&user=u&group=g&defer.
func byQuery(r *http.Request) (wsmanager.Accept, error) {
	q := r.URL.Query()
	return wsmanager.Accept{Value: q.Get("name"), User: q.Get("user"), Groups: q["group"], Deferred: q.Has("defer")}, nil
}

// dial connects a client to the node.
func (n *node) dial(query url.Values, header ...http.Header) *client {
	n.of.t.Helper()
	name := fmt.Sprintf("client %d of node %d", len(n.clients), slices.Index(n.of.nodes, n))
	if query == nil {
		query = url.Values{}
	}
	query.Set("name", name)
	var h http.Header
	if len(header) > 0 {
		h = header[0]
	}
	cl := &client{Client: wstest.DialHandler(n.of.t, n.Manager, "/?"+query.Encode(), h, wstest.Memory{Buffer: 64 << 20, Patience: n.of.bus.Patience}), name: name}
	for conn := range n.All().Local() {
		if v, _ := wsmanager.Value[string](conn); v == name {
			cl.conn = conn
		}
	}
	if cl.conn == nil {
		n.of.t.Fatalf("backplanetest: %s is not registered", name)
	}
	n.clients = append(n.clients, cl)
	return cl
}

// ready waits until the bus has all subscriptions.
func (c *cluster) ready() {
	c.t.Helper()
	for i, n := range c.nodes {
		ctx, cancel := c.bus.context(c.t)
		err := n.FlushBackplane(ctx)
		cancel()
		if err != nil {
			c.t.Fatalf("backplanetest: node %d: FlushBackplane: %v (%v)", i, err, n.PingBackplane(context.Background()))
		}
	}
}

// clients returns the clients of all nodes.
func (c *cluster) clients() (all []*client) {
	for _, n := range c.nodes {
		all = append(all, n.clients...)
	}
	return all
}

// received returns the texts from a node that the clients have got since the last call. A
// node's publications keep their order, so all of them have arrived when a marker that is
// sent behind them has. A second marker detects texts that arrive twice.
func (c *cluster) received(from *node) map[*client][]string {
	c.t.Helper()
	got := map[*client][]string{}
	for range 2 {
		c.marks++
		mark := fmt.Sprint("mark ", c.marks)
		from.Broadcast(wsmanager.Text(mark))
		for _, cl := range c.clients() {
			for text := cl.Text(); text != mark; text = cl.Text() {
				got[cl] = append(got[cl], text)
			}
		}
	}
	return got
}

// expect asserts that exactly the given clients have received these texts, once and in this
// order.
func (c *cluster) expect(what string, from *node, texts []string, by ...*client) {
	c.t.Helper()
	got := c.received(from)
	for _, cl := range c.clients() {
		want := texts
		if !slices.Contains(by, cl) {
			want = nil
		}
		if !slices.Equal(want, got[cl]) {
			c.t.Fatalf("backplanetest: %s: %s got %s, and should have got %s", what, cl.name, abbreviate(got[cl]), abbreviate(want))
		}
	}
}

// abbreviate formats texts for an error.
func abbreviate(texts []string) string {
	if len(texts) == 0 {
		return "nothing"
	}
	var out []string
	for _, s := range texts[:min(len(texts), 20)] {
		if len(s) > 40 {
			s = fmt.Sprintf("%s… (%d bytes)", s[:40], len(s))
		}
		out = append(out, s)
	}
	if n := len(texts) - len(out); n > 0 {
		out = append(out, fmt.Sprintf("and %d more", n))
	}
	return fmt.Sprintf("%q", out)
}

// requireNoError fails the test for an error.
func (c *cluster) requireNoError(what string, err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatalf("backplanetest: %s: %v", what, err)
	}
}
