package wsmanager_test

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// byQuery accepts a connection as its query specifies: ?user=ann&group=a&group=b&defer.
func byQuery(r *http.Request) (wsmanager.Accept, error) {
	q := r.URL.Query()
	return wsmanager.Accept{User: q.Get("user"), Groups: q["group"], Value: q.Get("name"), Deferred: q.Has("defer")}, nil
}

// named returns the connection with this ?name=.
func named(t *testing.T, m *wsmanager.Manager, name string) *wsmanager.Conn {
	t.Helper()
	for c := range m.All().Local() {
		if v, _ := wsmanager.Value[string](c); v == name {
			return c
		}
	}
	t.Fatalf("no connection is named %q", name)
	return nil
}

// room is a Manager with named connections.
type room struct {
	m       *wsmanager.Manager
	clients map[string]*wstest.Client
	conns   map[string]*wsmanager.Conn
}

func newRoom(t *testing.T, opts wsmanager.Options, queries map[string]string) *room {
	t.Helper()
	m, url := serve(t, wsmanager.Callbacks{OnAccept: byQuery}, opts, nil)
	r := &room{m, map[string]*wstest.Client{}, map[string]*wsmanager.Conn{}}
	for name, query := range queries {
		r.clients[name] = dialOver(t, url+"?name="+name+"&"+query, nil)
		r.conns[name] = named(t, m, name)
	}
	return r
}

// messagesUpToMark returns the messages that each client has received since the last call. It sends a
// mark to every connection and reads up to that mark.
func (r *room) messagesUpToMark() map[string][]string {
	got := map[string][]string{}
	for name, client := range r.clients {
		if r.conns[name].Send(wsmanager.Text("mark")) != nil {
			continue // the connection is closed
		}
		for text := client.Text(); text != "mark"; text = client.Text() {
			got[name] = append(got[name], text)
		}
	}
	return got
}

func (r *room) id(name string) string { return r.conns[name].ID() }

func TestRecipients(t *testing.T) { onEachDriver(t, testRecipients) }

func testRecipients(t *testing.T) {
	r := newRoom(t, optionsWithoutLog(), map[string]string{
		"ann": "user=ann&group=a", "ann2": "user=ann&group=b", "bob": "user=bob&group=a&group=b&group=a", "eve": "",
	})
	m, a := r.m, r.m.Group("a")
	x := wsmanager.Text("x")
	p := wsmanager.Prepare(x)
	isBob := func(c *wsmanager.Conn) bool { return c.User() == "bob" }
	for _, tt := range []struct {
		name string
		send func() wsmanager.Sent
		want []string
	}{
		{"to all", func() wsmanager.Sent { return m.Broadcast(x) }, []string{"ann", "ann2", "bob", "eve"}},
		{"to all, prepared", func() wsmanager.Sent { return m.All().SendPrepared(p) }, []string{"ann", "ann2", "bob", "eve"}},
		{"to all except one", func() wsmanager.Sent { return m.All().Except(r.id("bob")).Send(x) }, []string{"ann", "ann2", "eve"}},
		{"to all except some", func() wsmanager.Sent { return m.All().Except(r.id("bob"), "nobody", r.id("ann")).SendPrepared(p) }, []string{"ann2", "eve"}},
		{"to all without exceptions", func() wsmanager.Sent { return m.All().Send(x) }, []string{"ann", "ann2", "bob", "eve"}},
		{"to a filtered set", func() wsmanager.Sent { return m.All().WhereLocal(isBob).Send(x) }, []string{"bob"}},
		{"to a filtered set, prepared", func() wsmanager.Sent { return m.All().WhereLocal(isBob).SendPrepared(p) }, []string{"bob"}},
		{"to a group", func() wsmanager.Sent { return a.Send(x) }, []string{"ann", "bob"}},
		{"to a group, prepared", func() wsmanager.Sent { return a.SendPrepared(p) }, []string{"ann", "bob"}},
		{"to a group except one", func() wsmanager.Sent { return a.Except(r.id("bob")).Send(x) }, []string{"ann"}},
		{"to a group except some", func() wsmanager.Sent { return a.Except(r.id("ann"), r.id("bob"), r.id("eve")).SendPrepared(p) }, nil},
		{"to a filtered group", func() wsmanager.Sent { return a.WhereLocal(isBob).Send(x) }, []string{"bob"}},
		{"to a filtered group, prepared", func() wsmanager.Sent { return m.Group("b").WhereLocal(isBob).SendPrepared(p) }, []string{"bob"}},
		{"to nobody", func() wsmanager.Sent { return m.Group("none").Send(x) }, nil},
		{"to a filtered empty group", func() wsmanager.Sent { return m.Group("none").WhereLocal(isBob).Send(x) }, nil},
		{"to a user", func() wsmanager.Sent { return m.Users("ann").Send(x) }, []string{"ann", "ann2"}},
		{"to a user, prepared", func() wsmanager.Sent { return m.Users("bob").SendPrepared(p) }, []string{"bob"}},
		{"to a user except one", func() wsmanager.Sent { return m.Users("ann").Except(r.id("ann")).Send(x) }, []string{"ann2"}},
		{"to an unknown user", func() wsmanager.Sent { return m.Users("joe").Send(x) }, nil},
		{"to the empty user name", func() wsmanager.Sent { return m.Users("").Send(x) }, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			require.Equal(t, wsmanager.Sent{Queued: len(tt.want)}, tt.send())
			got := r.messagesUpToMark()
			require.Equal(t, tt.want, slices.Sorted(maps.Keys(got)))
			for _, texts := range got {
				require.Equal(t, []string{"x"}, texts)
			}
		})
	}
}

func TestJoinAndLeave(t *testing.T) { onEachDriver(t, testJoinAndLeave) }

func testJoinAndLeave(t *testing.T) {
	opts := optionsWithoutLog()
	opts.Limits.MaxGroups = 3
	r := newRoom(t, opts, map[string]string{"ann": "group=first&group=first", "bob": ""})
	ann, bob := r.conns["ann"], r.conns["bob"]
	g := r.m.Group("g")
	require.Equal(t, "g", g.Name())
	require.Zero(t, g.Len())
	require.Equal(t, []string{"first"}, ann.Groups())

	require.NoError(t, ann.Join("g"))
	require.NoError(t, ann.Join("g"), "a repeated Join has no effect")
	require.NoError(t, bob.Join("g"))
	require.Equal(t, 2, g.Len())
	require.ElementsMatch(t, []*wsmanager.Conn{ann, bob}, slices.Collect(g.Local()))
	require.Equal(t, []string{"first", "g"}, ann.Groups())
	require.NoError(t, ann.Join("third"))
	require.ErrorIs(t, ann.Join("fourth"), wsmanager.ErrTooManyGroups)
	require.ErrorContains(t, ann.Join(""), "0 bytes")
	require.ErrorContains(t, ann.Join(repeat("x", 257)), "257 bytes")
	require.NoError(t, bob.Join(repeat("x", 256)))

	require.NoError(t, ann.Leave("g"))
	require.NoError(t, ann.Leave("g"))
	require.NoError(t, ann.Leave("never joined"))
	require.Equal(t, []string{"first", "third"}, ann.Groups())
	require.Equal(t, wsmanager.Sent{Queued: 1}, g.Send(wsmanager.Text("only bob")))
	require.Equal(t, map[string][]string{"bob": {"only bob"}}, r.messagesUpToMark())

	// The loop body may change the group that it iterates over.
	for c := range g.Local() {
		_ = c.Leave("g")
		require.NoError(t, c.Join("g"))
		break
	}
	require.Equal(t, 4, r.m.Stats().Groups)
}

// In OnClose the connection is already out of its groups, and no call adds it again.
func TestGroupsEndWithTheConnection(t *testing.T) { onEachDriver(t, testGroupsEndWithTheConnection) }

func testGroupsEndWithTheConnection(t *testing.T) {
	j := newJournal()
	m, url := serve(t, wsmanager.Callbacks{
		OnAccept: byQuery,
		OnClose: func(c *wsmanager.Conn, _ error) {
			m := c.Manager()
			j.note("%v %d %d %v", c.Groups(), m.Group("g").Len(), m.Users("ann").Len(), c.Join("g"))
		},
	}, optionsWithoutLog(), nil)
	c := dialOver(t, url+"?group=g&user=ann", nil)
	conn := onlyConn(t, m)
	require.Equal(t, "ann", conn.User())
	require.Equal(t, 1, m.Group("g").Len())
	require.Equal(t, 1, m.Users("ann").Len())
	require.NoError(t, conn.Close(1000, ""))
	require.ErrorIs(t, conn.Join("h"), wsmanager.ErrClosed, "Join while the connection is closing")
	c.ExpectClose(1000)
	require.Equal(t, []string{"[] 0 0 wsmanager: the connection is closed"}, j.await(t, 1))
	s := m.Stats()
	require.Zero(t, s.Groups)
	require.Zero(t, s.Users)
}

// Groups are joined before OnConnect. A failed handshake leaves no membership behind.
func TestGroupsAreJoinedBeforeOnConnect(t *testing.T) {
	onEachDriver(t, testGroupsAreJoinedBeforeOnConnect)
}

func testGroupsAreJoinedBeforeOnConnect(t *testing.T) {
	j := newJournal()
	m, url := serve(t, wsmanager.Callbacks{
		OnAccept: byQuery,
		OnConnect: func(c *wsmanager.Conn) error {
			j.note("%v %v", c.Groups(), c.Manager().Group("g").Send(wsmanager.Text("hello")))
			return nil
		},
	}, optionsWithoutLog(), func(m *wsmanager.Manager) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/broken" {
				w = cannotHijack{w}
			}
			m.ServeHTTP(w, r)
		})
	})
	dialOver(t, url+"?group=g", nil).ExpectText("hello")
	require.Equal(t, []string{"[g] {1 0 <nil>}"}, j.await(t, 1))
	if driverOf(t) == onH2 {
		return // HTTP/2 has no hijacking
	}
	_, err := roundTripOver(t, wstest.Request(t, url+"/broken?group=g&user=x")) //nolint:bodyclose // no response
	require.Error(t, err)
	require.Equal(t, 1, m.Group("g").Len())
	s := m.Stats()
	require.Zero(t, s.Users)
	require.EqualValues(t, 1, s.Refused.BrokenOff)
}

func TestInvalidAccept(t *testing.T) { onEachDriver(t, testInvalidAccept) }

func testInvalidAccept(t *testing.T) {
	for name, a := range map[string]wsmanager.Accept{
		"a group without a name":  {Groups: []string{"a", ""}},
		"a group's name too long": {Groups: []string{repeat("x", 257)}},
		"too many groups":         {Groups: numberedNames(1001)},
		"no such variant":         {Variant: 8},
		"no such policy":          {SlowConsumer: 99},
	} {
		t.Run(name, func(t *testing.T) {
			opts, log := logged()
			m, url := serve(t, wsmanager.Callbacks{OnAccept: func(*http.Request) (wsmanager.Accept, error) { return a, nil }}, opts, nil)
			require.Equal(t, 500, handshakeOver(t, wstest.Request(t, url), nil).Response.StatusCode)
			require.Contains(t, log.record(t, 0)["err"], "OnAccept: ")
			require.Zero(t, m.All().Len())
			require.EqualValues(t, 1, m.Stats().Refused.Failed)
		})
	}
}

func numberedNames(n int) (names []string) {
	for i := range n {
		names = append(names, fmt.Sprint(i))
	}
	return names
}

// Concurrent creation and removal of groups never exposes a half-created group.
func TestGroupChurn(t *testing.T) { onEachDriver(t, testGroupChurn) }

func testGroupChurn(t *testing.T) {
	opts := optionsWithoutLog()
	opts.SlowConsumer = wsmanager.SlowConsumerDropNewest // no connection may be closed
	r := newRoom(t, opts, map[string]string{"a": "", "b": "", "c": "", "d": ""})
	for _, c := range r.clients {
		go func() {
			for {
				if _, err := c.Conn().Read(make([]byte, 4096)); err != nil {
					return
				}
			}
		}()
	}
	var wg sync.WaitGroup
	for _, c := range r.conns {
		wg.Go(func() {
			for i := range 500 {
				name := fmt.Sprint(i % 3)
				if err := c.Join(name); err != nil {
					t.Error(err)
				}
				if sent := r.m.Group(name).Send(wsmanager.Text("x")); sent.Queued+sent.Dropped < 1 || sent.Queued+sent.Dropped > 4 {
					t.Error(sent)
				}
				_ = c.Leave(name)
			}
		})
	}
	wg.Wait()
	require.Zero(t, r.m.Stats().Groups)
}
