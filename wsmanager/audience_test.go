package wsmanager_test

import (
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
)

// names returns the sorted ?name= values of the audience's connections on this node.
func names(a wsmanager.Audience) []string {
	var list []string
	for c := range a.Local() {
		v, _ := wsmanager.Value[string](c)
		list = append(list, v)
	}
	slices.Sort(list)
	return list
}

func TestAudiencesAreResolvedAtEachCall(t *testing.T) {
	onEachDriver(t, testAudiencesAreResolvedAtEachCall)
}

func testAudiencesAreResolvedAtEachCall(t *testing.T) {
	r := newRoom(t, optionsWithoutLog(), map[string]string{"ann": "user=ann&group=a", "bob": "user=bob&group=a&group=b", "eve": ""})
	m := r.m
	ids := []string{r.id("eve"), r.id("ann"), r.id("eve")}
	some, other := m.Conns(ids...), m.Groups("b", "later")
	ids[0] = "another"
	isBob := func(c *wsmanager.Conn) bool { return c.User() == "bob" }
	for _, tt := range []struct {
		a    wsmanager.Audience
		want []string
	}{
		{m.All(), []string{"ann", "bob", "eve"}},
		{m.All().Except(r.id("ann")).Except(r.id("eve"), "unknown").Except(), []string{"bob"}},
		{m.All().WhereLocal(isBob), []string{"bob"}},
		{m.All().WhereLocal(isBob).WhereLocal(func(c *wsmanager.Conn) bool { return c.User() != "bob" }), nil},
		{m.Group("a").Audience, []string{"ann", "bob"}},
		{m.Groups("a", "b", "a", "none"), []string{"ann", "bob"}},
		{m.Groups("b"), []string{"bob"}},
		{m.Groups(), nil},
		{m.Groups("", ""), nil},
		{m.Users("ann", "bob", "ann"), []string{"ann", "bob"}},
		{m.Users("ann", "bob").Except(r.id("bob")), []string{"ann"}},
		{m.Users("bob").WhereLocal(isBob), []string{"bob"}},
		{m.Users(""), nil},
		{some, []string{"ann", "eve"}},
		{some.Except(r.id("eve")), []string{"ann"}},
		{some.WhereLocal(isBob), nil},
		{m.Conns("unknown"), nil},
		{m.Conns(), nil},
		{wsmanager.Audience{}, nil},
		{wsmanager.Group{}.Audience, nil},
	} {
		require.Equal(t, tt.want, names(tt.a))
		require.Equal(t, len(tt.want), tt.a.Len())
		require.Equal(t, wsmanager.Sent{Queued: len(tt.want)}, tt.a.Send(wsmanager.Text("x")))
		got := r.messagesUpToMark()
		require.Equal(t, tt.want, slices.Sorted(maps.Keys(got)))
		for name, texts := range got {
			require.Equal(t, []string{"x"}, texts, name)
		}
	}
	for range m.All().Local() {
		break // the iterator supports an early stop
	}
	require.NoError(t, r.conns["eve"].Join("later"))
	require.Equal(t, []string{"bob", "eve"}, names(other))
	require.NoError(t, r.conns["bob"].Leave("b"))
	require.Equal(t, []string{"eve"}, names(other))
}

func TestAudiencesJoinAndLeave(t *testing.T) { onEachDriver(t, testAudiencesJoinAndLeave) }

func testAudiencesJoinAndLeave(t *testing.T) {
	opts := optionsWithoutLog()
	opts.Limits.MaxGroups = 3
	r := newRoom(t, opts, map[string]string{"ann": "user=ann&group=a", "bob": "user=bob&group=a&group=b", "eve": ""})
	m := r.m
	require.NoError(t, m.Groups("a", "b").Join("c"))
	require.Equal(t, []string{"ann", "bob"}, names(m.Group("c").Audience))
	require.NoError(t, m.All().Except(r.id("bob")).Join("d"))
	require.Equal(t, []string{"ann", "eve"}, names(m.Group("d").Audience))
	require.NoError(t, m.Group("a").Leave("a"))
	require.Empty(t, names(m.Group("a").Audience))
	require.NoError(t, m.Users("ann").Leave("never joined"))
	require.NoError(t, m.Conns(r.id("ann"), r.id("eve")).Leave("d"))
	require.Empty(t, names(m.Group("d").Audience))
	require.NoError(t, m.All().WhereLocal(func(c *wsmanager.Conn) bool { return c.User() == "" }).Join("e"))
	require.Equal(t, []string{"eve"}, names(m.Group("e").Audience))

	require.NoError(t, r.conns["bob"].Join("full"))
	require.ErrorIs(t, m.All().Join("more"), wsmanager.ErrTooManyGroups, "bob is in three")
	require.Equal(t, []string{"ann", "eve"}, names(m.Group("more").Audience), "the others have joined")
	require.ErrorIs(t, m.Conns(r.id("ann"), "unknown").Join("f"), wsmanager.ErrNoConn)
	require.ErrorIs(t, m.Conns("unknown").Leave("f"), wsmanager.ErrNoConn)
	require.Equal(t, []string{"ann"}, names(m.Group("f").Audience))
	require.NoError(t, m.Conns("unknown").Except("unknown").Leave("f"))
	for _, name := range []string{"", repeat("x", wsmanager.MaxGroupName+1)} {
		require.ErrorContains(t, m.All().Join(name), "a group's name")
		require.ErrorContains(t, m.All().Leave(name), "a group's name")
		require.ErrorContains(t, r.conns["ann"].Leave(name), "a group's name")
		require.ErrorContains(t, wsmanager.Audience{}.Join(name), "a group's name")
	}
	require.NoError(t, wsmanager.Audience{}.Join("g"))
}

func TestAudiencesClose(t *testing.T) { onEachDriver(t, testAudiencesClose) }

func testAudiencesClose(t *testing.T) {
	r := newRoom(t, optionsWithoutLog(), map[string]string{"ann": "user=ann&group=a", "ann2": "user=ann", "bob": "user=bob&group=a&group=b", "eve": ""})
	m := r.m
	require.Error(t, m.All().Close(1005, ""))
	require.Error(t, wsmanager.Audience{}.Close(1005, ""))
	require.NoError(t, wsmanager.Audience{}.Close(1000, ""))
	require.NoError(t, m.Groups("none", "neither").Close(1000, ""))
	require.Equal(t, 4, m.All().Len())
	require.NoError(t, m.Users("ann").Close(4001, "logged out"))
	require.Equal(t, "logged out", r.clients["ann"].ExpectClose(4001))
	require.Equal(t, "logged out", r.clients["ann2"].ExpectClose(4001))
	require.NoError(t, m.Groups("a", "b").Close(4002, "closed"))
	require.Equal(t, "closed", r.clients["bob"].ExpectClose(4002))
	require.NoError(t, r.conns["eve"].Send(wsmanager.Text("still open")))
	r.clients["eve"].ExpectText("still open")
	require.ErrorIs(t, m.Conns("unknown", r.id("eve")).Close(4003, "by id"), wsmanager.ErrNoConn)
	require.Equal(t, "by id", r.clients["eve"].ExpectClose(4003))
}

func TestSendsOfValues(t *testing.T) { onEachDriver(t, testSendsOfValues) }

func testSendsOfValues(t *testing.T) {
	r := newRoom(t, optionsWithoutLog(), map[string]string{"ann": "group=a"})
	m, ann := r.m, r.conns["ann"]
	value := map[string]int{"n": 1}
	require.Equal(t, wsmanager.Sent{Queued: 1}, m.All().SendJSON(value))
	require.NoError(t, ann.SendJSON(value))
	require.Equal(t, map[string][]string{"ann": {`{"n":1}`, `{"n":1}`}}, r.messagesUpToMark())
	for _, err := range []error{m.All().SendJSON(make(chan int)).Err, ann.SendJSON(make(chan int))} {
		require.ErrorContains(t, err, "encoding JSON: json: unsupported type")
	}
	require.Empty(t, r.messagesUpToMark())
}

// An error of the message itself is reported even if the audience has no connections.
func TestSentErr(t *testing.T) { onEachDriver(t, testSentErr) }

func testSentErr(t *testing.T) {
	opts := optionsWithoutLog()
	opts.Outbox.Bytes, opts.Limits.MaxMessageSize = 1000, 100
	r := newRoom(t, opts, map[string]string{"ann": "group=a"})
	m, id := r.m, r.id("ann")
	before := m.Stats().Dropped.Unsendable
	for _, tt := range []struct {
		msg  wsmanager.Message
		want error
	}{
		{wsmanager.Text("half a rune: \xe2\x82"), wsmanager.ErrInvalidUTF8},
		{wsmanager.Binary(make([]byte, 1000)), wsmanager.ErrMessageTooBig},
		{wsmanager.Message{Type: 9}, wsmanager.ErrMessageType},
	} {
		for name, a := range map[string]wsmanager.Audience{
			"all": m.All(), "a group": m.Group("a").Audience, "groups": m.Groups("a", "b"), "an id": m.Conns(id),
			"a filtered audience": m.All().WhereLocal(func(*wsmanager.Conn) bool { return true }),
		} {
			sent := a.Send(tt.msg)
			require.ErrorIs(t, sent.Err, tt.want, name)
			require.Equal(t, 1, sent.Dropped, name)
			require.Zero(t, sent.Queued, name)
		}
		for name, a := range map[string]wsmanager.Audience{"an empty group": m.Group("none").Audience, "an unknown id": m.Conns("unknown"), "no group": m.Groups()} {
			require.Equal(t, wsmanager.Sent{Err: tt.want}, a.Send(tt.msg), name)
		}
	}
	require.Equal(t, before+3*5, m.Stats().Dropped.Unsendable)
	require.Equal(t, wsmanager.Sent{Queued: 1}, m.Broadcast(wsmanager.Binary([]byte{0xff})), "binary is not text")
	r.clients["ann"].ExpectBinary([]byte{0xff})
}

// A predicate that is nil must not make the audience larger.
func TestWhereLocalOfNoPredicate(t *testing.T) {
	m := wsmanager.MustNew(wsmanager.Callbacks{}, optionsWithoutLog())
	require.Panics(t, func() { m.All().WhereLocal(nil) })
	require.Panics(t, func() { m.All().WhereLocal(func(*wsmanager.Conn) bool { return true }).WhereLocal(nil) })
}
