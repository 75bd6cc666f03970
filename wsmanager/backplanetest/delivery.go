package backplanetest

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/gobwas/ws"

	"github.com/speakingtube/speakingtube/wsmanager"
)

// deliveryGuarantees are about the receivers of a message.
var deliveryGuarantees = []guarantee{
	{"a broadcast reaches every connection once", testBroadcast},
	{"a group's members are reached wherever they are", testGroups},
	{"groups come and go", testTopics},
	{"a user is reached on every node", testUsers},
	{"exceptions hold on every node", testExcept},
	{"a connection is reached by its id", testConn},
	{"a connection is closed by its id", testClose},
	{"a connection joins and leaves by its id", testMembership},
	{"a union reaches each connection once", testUnion},
	{"a set joins, leaves and closes on every node", testSets},
	{"each connection gets its variant", testVariants},
	{"types and compression survive", testTypes},
	{"messages of every size arrive", testSizes},
}

func groups(names ...string) url.Values { return url.Values{"group": names} }

func testBroadcast(t testing.TB, bus Bus) {
	c := newCluster(t, bus, 3)
	for _, n := range c.nodes {
		n.dial(nil)
		n.dial(nil)
	}
	for i, n := range c.nodes {
		texts := []string{fmt.Sprint("one of node ", i), fmt.Sprint("two of node ", i), fmt.Sprint("one of node ", i)}
		for _, text := range texts {
			if sent := n.Broadcast(wsmanager.Text(text)); sent.Queued != 2 {
				t.Fatalf("backplanetest: Broadcast was sent to %d local connections, want 2", sent.Queued)
			}
		}
		c.expect("broadcasts", n, texts, c.clients()...)
	}
}

func testGroups(t testing.TB, bus Bus) {
	names := []string{"g", "G", "g.h", "g.*", "*", ">", "g h", "g\n", "größe", "\xff\x00", strings.Repeat("x", wsmanager.MaxGroupName)}
	c := newCluster(t, bus, 3)
	members := make([][]*client, len(names))
	for i, name := range names { // groups with members on one other node, on both, and on all nodes
		for _, n := range c.nodes[1-min(1, i%3):] {
			members[i] = append(members[i], n.dial(groups(name, name+"2"[:min(1, wsmanager.MaxGroupName-len(name))])))
		}
	}
	c.nodes[2].dial(nil)
	c.ready()
	for i, name := range names {
		from := c.nodes[0]
		from.Group(name).Send(wsmanager.Text("to " + fmt.Sprint(i)))
		from.Group("an empty group").Send(wsmanager.Text("to an empty group"))
		c.expect(fmt.Sprintf("the group %q", name), from, []string{fmt.Sprint("to ", i)}, members[i]...)
	}
}

func testTopics(t testing.TB, bus Bus) {
	c := newCluster(t, bus, 2)
	from, n := c.nodes[0], c.nodes[1]
	many, other := n.dial(nil), n.dial(nil)
	const count = 300
	name := func(i int) string { return fmt.Sprint("group ", i) }
	for round := range 3 {
		var want []string
		for i := range count {
			if err := many.conn.Join(name(i)); err != nil {
				t.Fatalf("backplanetest: Join: %v", err)
			}
			if i%3 == round {
				c.requireNoError("Leave", many.conn.Leave(name(i)))
			} else {
				want = append(want, name(i))
			}
		}
		c.ready()
		for i := range count {
			from.Group(name(i)).Send(wsmanager.Text(name(i)))
		}
		c.expect("many groups", from, want, many)
	}
	if err := other.conn.Join(name(0)); err != nil {
		t.Fatalf("backplanetest: Join: %v", err)
	}
	c.requireNoError("Leave", many.conn.Leave(name(0)))
	c.ready()
	from.Group(name(0)).Send(wsmanager.Text("who is left?"))
	c.expect("a group that one of two has left", from, []string{"who is left?"}, other)
}

func testUsers(t testing.TB, bus Bus) {
	c := newCluster(t, bus, 3)
	user := func(n *node, name string) *client { return n.dial(url.Values{"user": {name}, "group": {"bob"}}) }
	ann := []*client{user(c.nodes[0], "ann"), user(c.nodes[1], "ann"), user(c.nodes[1], "ann")}
	bob := user(c.nodes[2], "bob@example.org *")
	user(c.nodes[2], "annabel")
	c.ready()
	from := c.nodes[0]
	if sent := from.Users("ann").Send(wsmanager.Text("mail")); sent.Queued != 1 {
		t.Fatalf("backplanetest: a send to a user was sent to %d local connections, want 1", sent.Queued)
	}
	c.expect("a user on two nodes", from, []string{"mail"}, ann...)
	from.Users("bob@example.org *").SendPrepared(wsmanager.Prepare(wsmanager.Text("for bob")))
	from.Users("bob").Send(wsmanager.Text("for a group of this name"))
	c.expect("a user on another node", from, []string{"for bob"}, bob)
}

func testExcept(t testing.TB, bus Bus) {
	c := newCluster(t, bus, 3)
	var in, out []*client
	var ids []string
	for _, n := range c.nodes {
		in = append(in, n.dial(groups("g")))
		left := n.dial(groups("g"))
		out, ids = append(out, left), append(ids, left.conn.ID())
	}
	ids = append(ids, "unknown", "")
	c.ready()
	from := c.nodes[0]
	from.All().Except(ids...).Send(wsmanager.Text("all but some"))
	c.expect("Except", from, []string{"all but some"}, in...)
	from.Group("g").Except(ids...).Send(wsmanager.Text("a group but some"))
	c.expect("Except of a group", from, []string{"a group but some"}, in...)
	from.All().Except(out[1].conn.ID()).Send(wsmanager.Text("all but one"))
	c.expect("Except of a connection elsewhere", from, []string{"all but one"}, append(in, out[0], out[2])...)
	from.All().WhereLocal(func(*wsmanager.Conn) bool { return true }).Send(wsmanager.Text("here"))
	c.expect("WhereLocal, which stays on its node", from, []string{"here"}, in[0], out[0])
}

func testConn(t testing.TB, bus Bus) {
	c := newCluster(t, bus, 3)
	for _, n := range c.nodes {
		n.dial(nil)
		n.dial(nil)
	}
	from := c.nodes[0]
	for _, to := range c.clients() {
		c.requireNoError("Send", from.Send(to.conn.ID(), wsmanager.Text("for one")))
		c.requireNoError("SendPrepared", from.Conns(to.conn.ID()).SendPrepared(wsmanager.Prepare(wsmanager.Text("for one, prepared"))).Err)
		c.expect("Send by id", from, []string{"for one", "for one, prepared"}, to)
	}
	for _, id := range []string{"", "unknown", "-", "unknown-" + from.Stats().Backplane.Node} {
		if err := from.Send(id, wsmanager.Text("for an unknown id")); !errors.Is(err, wsmanager.ErrNoConn) {
			t.Fatalf("backplanetest: Send to %q, which can't be on another node: %v", id, err)
		}
	}
	gone := c.nodes[1].clients[0]
	gone.SendClose(1000, "")
	gone.ExpectClose(1000)
	c.nodes[1].clients = c.nodes[1].clients[1:]
	missed := func() uint64 { return c.nodes[1].Stats().Backplane.Missed }
	bus.eventually(t, "the end of a connection", func() bool { return c.nodes[1].All().Len() == 1 })
	before := missed()
	c.requireNoError("Send to a connection that has ended", from.Send(gone.conn.ID(), wsmanager.Text("too late")))
	bus.eventually(t, "Stats.Backplane.Missed", func() bool { return missed() == before+1 })
}

func testClose(t testing.TB, bus Bus) {
	c := newCluster(t, bus, 2)
	gone, stays := c.nodes[1].dial(nil), c.nodes[1].dial(nil)
	from := c.nodes[0]
	c.requireNoError("Send", from.Send(gone.conn.ID(), wsmanager.Text("farewell")))
	c.requireNoError("Conns.Close", from.Conns(gone.conn.ID()).Close(4321, "because"))
	gone.ExpectText("farewell")
	if reason := gone.ExpectClose(4321); reason != "because" {
		t.Fatalf("backplanetest: closed with the reason %q", reason)
	}
	c.nodes[1].clients = c.nodes[1].clients[1:]
	if err := from.Conns(stays.conn.ID()).Close(1005, ""); err == nil || errors.Is(err, wsmanager.ErrNoConn) {
		t.Fatalf("backplanetest: Conns.Close with a code that does not exist: %v", err)
	}
	from.Broadcast(wsmanager.Text("who is there?"))
	c.expect("after Conns.Close", from, []string{"who is there?"}, stays)
}

func testMembership(t testing.TB, bus Bus) {
	c := newCluster(t, bus, 3)
	for _, n := range c.nodes {
		n.dial(nil)
		n.dial(nil)
	}
	from := c.nodes[0]
	group := from.Group("by invitation")
	to := []*client{from.clients[0], c.nodes[1].clients[0], c.nodes[2].clients[1]}
	for _, cl := range to {
		c.requireNoError("Conns.Join", from.Conns(cl.conn.ID()).Join(group.Name()))
	}
	group.Send(wsmanager.Text("welcome")) // at once, without waiting for the subscription
	c.expect("a group that connections elsewhere have joined", from, []string{"welcome"}, to...)
	c.ready()
	c.nodes[1].Group(group.Name()).Send(wsmanager.Text("welcome from another"))
	c.expect("the group, from another node", c.nodes[1], []string{"welcome from another"}, to...)
	c.requireNoError("Conns.Leave", from.Conns(to[1].conn.ID()).Leave(group.Name()))
	group.Send(wsmanager.Text("one less"))
	c.expect("a group that a connection elsewhere has left", from, []string{"one less"}, to[0], to[2])
	if err := from.Conns(to[1].conn.ID()).Join(""); err == nil || errors.Is(err, wsmanager.ErrNoConn) {
		t.Fatalf("backplanetest: Conns.Join of a group without a name: %v", err)
	}
}

func testUnion(t testing.TB, bus Bus) {
	c := newCluster(t, bus, 3)
	var both, one []*client
	for _, n := range c.nodes {
		both = append(both, n.dial(url.Values{"group": {"g", "h"}, "user": {"ann"}}))
		one = append(one, n.dial(url.Values{"group": {"h"}, "user": {"bob"}}))
		n.dial(groups("other"))
	}
	c.ready()
	from := c.nodes[0]
	if sent := from.Groups("g", "h", "none").Send(wsmanager.Text("to groups")); sent != (wsmanager.Sent{Queued: 2}) {
		t.Fatalf("backplanetest: a send to two groups returned %+v", sent)
	}
	c.expect("the union of groups", from, []string{"to groups"}, append(both, one...)...)
	from.Groups("g", "h").Except(both[0].conn.ID(), both[1].conn.ID()).Send(wsmanager.Text("except some"))
	c.expect("the union of groups, except some", from, []string{"except some"}, append(one, both[2])...)
	from.Users("ann", "joe").Send(wsmanager.Text("to users"))
	c.expect("the union of users", from, []string{"to users"}, both...)
	ids := []string{both[0].conn.ID(), both[1].conn.ID(), one[2].conn.ID(), both[1].conn.ID(), "unknown"}
	if sent := from.Conns(ids...).Send(wsmanager.Text("by id")); sent != (wsmanager.Sent{Queued: 1}) {
		t.Fatalf("backplanetest: a send to four ids returned %+v", sent)
	}
	c.expect("ids", from, []string{"by id"}, both[0], both[1], one[2])
}

func testSets(t testing.TB, bus Bus) {
	c := newCluster(t, bus, 3)
	var members, others []*client
	for _, n := range c.nodes {
		members = append(members, n.dial(url.Values{"group": {"g"}, "user": {"ann"}}))
		others = append(others, n.dial(nil))
	}
	c.ready()
	from := c.nodes[0]
	c.requireNoError("Group.Join", from.Group("g").Join("new"))
	from.Group("new").Send(wsmanager.Text("welcome")) // at once, without waiting for the subscription
	c.expect("a group that the members of another have joined", from, []string{"welcome"}, members...)
	c.requireNoError("Users.Leave", from.Users("ann", "bob").Except(members[1].conn.ID()).Leave("new"))
	from.Group("new").Send(wsmanager.Text("alone"))
	c.expect("a group that users have left", from, []string{"alone"}, members[1])
	c.requireNoError("All.Join", from.All().Except(members[2].conn.ID()).Join("all"))
	from.Group("all").Send(wsmanager.Text("to most"))
	c.expect("a group that most have joined", from, []string{"to most"}, append(others, members[0], members[1])...)
	c.requireNoError("WhereLocal.Join", from.All().WhereLocal(func(*wsmanager.Conn) bool { return true }).Join("local"))
	from.Group("local").Send(wsmanager.Text("here"))
	c.expect("a group that local connections have joined", from, []string{"here"}, members[0], others[0])

	c.requireNoError("Group.Close", from.Group("g").Close(4321, "because"))
	for i, n := range c.nodes {
		if reason := members[i].ExpectClose(4321); reason != "because" {
			t.Fatalf("backplanetest: closed with the reason %q", reason)
		}
		n.clients = n.clients[1:]
	}
	from.Broadcast(wsmanager.Text("who is there?"))
	c.expect("after Group.Close", from, []string{"who is there?"}, others...)
}

func testVariants(t testing.TB, bus Bus) {
	c := newCluster(t, bus, 3)
	var here, there [3]*client
	for v := range here {
		there[v] = c.nodes[1].dial(url.Values{"defer": {""}, "group": {"g"}, "user": {"ann"}})
		c.requireNoError("Ready", there[v].conn.Ready(wsmanager.Variant(v)))
	}
	here[0] = c.nodes[0].dial(groups("g")) // no other variant is in use on the sender's node
	late := c.nodes[2].dial(url.Values{"defer": {""}, "group": {"g"}, "user": {"ann"}})
	c.ready()
	p := wsmanager.PrepareFunc(func(v wsmanager.Variant) (wsmanager.Message, error) {
		if v > 2 {
			return wsmanager.Message{}, errors.New("no such variant")
		}
		return wsmanager.Text(fmt.Sprint("as ", v)), nil
	})
	from := c.nodes[0]
	from.All().SendPrepared(p)
	from.Group("g").SendPrepared(p)
	from.Users("ann").SendPrepared(p)
	for _, cl := range there {
		c.requireNoError("SendPrepared", from.Conns(cl.conn.ID()).SendPrepared(p).Err)
	}
	// A connection that is not ready gets the messages for it alone first, and then the
	// broadcasts.
	c.requireNoError("Send", from.Send(late.conn.ID(), wsmanager.Text("are you there?")))
	late.ExpectText("are you there?")
	c.requireNoError("Ready", late.conn.Ready(2))
	got := c.received(from)
	for cl, want := range map[*client][]string{
		here[0]:  {"as 0", "as 0"},
		there[0]: {"as 0", "as 0", "as 0", "as 0"},
		there[1]: {"as 1", "as 1", "as 1", "as 1"},
		there[2]: {"as 2", "as 2", "as 2", "as 2"},
		late:     nil,
	} {
		if fmt.Sprint(got[cl]) != fmt.Sprint(want) {
			t.Fatalf("backplanetest: variants: %s got %s, want %s", cl.name, abbreviate(got[cl]), abbreviate(want))
		}
	}
}

func testTypes(t testing.TB, bus Bus) {
	c := newCluster(t, bus, 2)
	from := c.nodes[0]
	plain, deflates := c.nodes[1].dial(nil), c.nodes[1].dial(nil, http.Header{"Sec-Websocket-Extensions": {"permessage-deflate"}})
	c.ready()
	text := []byte(strings.Repeat("a text that is worth compressing. ", 100))
	for _, tt := range []struct {
		msg  wsmanager.Message
		rsv1 bool
	}{
		{wsmanager.Message{Type: wsmanager.TextMessage, Payload: text}, true},
		{wsmanager.Message{Type: wsmanager.BinaryMessage, Payload: text}, true},
		{wsmanager.Message{Type: wsmanager.TextMessage, Payload: text, NoCompression: true}, false},
		{wsmanager.Text(""), false},
		{wsmanager.Binary(nil), false},
	} {
		from.Broadcast(tt.msg)
		for _, cl := range []*client{plain, deflates} {
			f, err := cl.ReadFrame()
			c.requireNoError("reading", err)
			if f.Header.OpCode != ws.OpCode(tt.msg.Type) || f.Header.Rsv1() != (tt.rsv1 && cl == deflates) {
				t.Fatalf("backplanetest: a %v message (NoCompression: %t) came with the header %+v", tt.msg.Type, tt.msg.NoCompression, f.Header)
			}
			if !f.Header.Rsv1() && string(f.Payload) != string(tt.msg.Payload) {
				t.Fatalf("backplanetest: a %v message was changed on the way", tt.msg.Type)
			}
		}
	}
	c.expect("after all types", from, nil)
}

func testSizes(t testing.TB, bus Bus) {
	c := newCluster(t, bus, 2)
	from := c.nodes[0]
	to := c.nodes[1].dial(groups("g"))
	c.ready()
	for _, size := range []int{1, 125, 126, 127, 128, 1000, 1<<14 - 1, 1 << 14, 1<<16 - 1, 1 << 16, 100_000, bus.MaxMessage} {
		if size > bus.MaxMessage {
			continue
		}
		text := strings.Repeat("0123456789abcdef", size/16+1)[:size]
		from.Group("g").Send(wsmanager.Text(text))
		if got := to.Text(); got != text {
			t.Fatalf("backplanetest: a message of %d bytes arrived with %d bytes, or with others", size, len(got))
		}
	}
	// A message above the Managers' limit is not published, and does not affect others.
	from.Broadcast(wsmanager.Binary(make([]byte, 1<<20)))
	from.Broadcast(wsmanager.Text("after"))
	c.expect("after big messages", from, []string{"after"}, to)
}
