package wsmanager_test

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
)

func TestPreparedIsImmutable(t *testing.T) { onEachDriver(t, testPreparedIsImmutable) }

func testPreparedIsImmutable(t *testing.T) {
	r := newRoom(t, optionsWithoutLog(), map[string]string{"ann": "", "bob": ""})
	payload := []byte("before")
	p := wsmanager.Prepare(wsmanager.Message{Type: wsmanager.TextMessage, Payload: payload})
	copy(payload, "after!")
	for range 3 {
		require.NoError(t, r.conns["ann"].SendPrepared(p))
	}
	require.Equal(t, wsmanager.Sent{Queued: 2}, r.m.All().SendPrepared(p))
	require.Equal(t, map[string][]string{"ann": {"before", "before", "before", "before"}, "bob": {"before"}}, r.messagesUpToMark())
}

func TestPrepareJSON(t *testing.T) { onEachDriver(t, testPrepareJSON) }

func testPrepareJSON(t *testing.T) {
	r := newRoom(t, optionsWithoutLog(), map[string]string{"ann": ""})
	p, err := wsmanager.PrepareJSON(map[string]any{"price": 12.5})
	require.NoError(t, err)
	require.NoError(t, r.conns["ann"].SendPrepared(p))
	require.Equal(t, []string{`{"price":12.5}`}, r.messagesUpToMark()["ann"])
	_, err = wsmanager.PrepareJSON(func() {})
	require.ErrorContains(t, err, "unsupported type")
}

func TestInvalidPrepared(t *testing.T) { onEachDriver(t, testInvalidPrepared) }

func testInvalidPrepared(t *testing.T) {
	opts, log := logged()
	opts.Outbox.Bytes, opts.Limits.MaxMessageSize = 2000, 1000
	r := newRoom(t, opts, map[string]string{"ann": ""})
	fails := errors.New("no such encoding")
	for name, tt := range map[string]struct {
		p    *wsmanager.Prepared
		want error
	}{
		"type":    {wsmanager.Prepare(wsmanager.Message{}), wsmanager.ErrMessageType},
		"text":    {wsmanager.Prepare(wsmanager.Text("a\xff")), wsmanager.ErrInvalidUTF8},
		"size":    {wsmanager.Prepare(wsmanager.Binary(make([]byte, 2000))), wsmanager.ErrMessageTooBig},
		"encoder": {wsmanager.PrepareFunc(func(wsmanager.Variant) (wsmanager.Message, error) { return wsmanager.Message{}, fails }), fails},
		"encoded": {wsmanager.PrepareFunc(func(wsmanager.Variant) (wsmanager.Message, error) { return wsmanager.Message{}, nil }), wsmanager.ErrMessageType},
	} {
		t.Run(name, func(t *testing.T) {
			before, logged := r.m.Stats().Dropped.Unsendable, len(log.all())
			require.ErrorIs(t, r.conns["ann"].SendPrepared(tt.p), tt.want)
			for _, sent := range []wsmanager.Sent{
				r.m.All().SendPrepared(tt.p),
				r.m.All().WhereLocal(func(*wsmanager.Conn) bool { return true }).SendPrepared(tt.p),
			} {
				require.ErrorIs(t, sent.Err, tt.want)
				sent.Err = nil
				require.Equal(t, wsmanager.Sent{Dropped: 1}, sent)
			}
			require.Equal(t, before+2, r.m.Stats().Dropped.Unsendable)
			require.Len(t, log.all(), logged+2)
			require.Contains(t, log.record(t, logged)["err"], tt.want.Error())
		})
	}
	require.Empty(t, r.messagesUpToMark()["ann"])
}

// Each variant is encoded once for any number of connections and sends, and only if a
// recipient uses it.
func TestVariants(t *testing.T) { onEachDriver(t, testVariants) }

func testVariants(t *testing.T) {
	r := newRoom(t, optionsWithoutLog(), map[string]string{"json": "defer&group=g", "json2": "defer&group=g", "packed": "defer&group=g&user=ann", "later": "defer&group=g"})
	const text, packed = wsmanager.Variant(0), wsmanager.Variant(5)
	require.NoError(t, r.conns["json"].Ready(text))
	require.NoError(t, r.conns["json2"].Ready(text))
	require.NoError(t, r.conns["packed"].Ready(packed))
	var calls [wsmanager.MaxVariants]atomic.Int32
	p := wsmanager.PrepareFunc(func(v wsmanager.Variant) (wsmanager.Message, error) {
		calls[v].Add(1)
		return wsmanager.Text(fmt.Sprintf("as %d", v)), nil
	})
	for _, send := range []func() wsmanager.Sent{
		func() wsmanager.Sent { return r.m.All().SendPrepared(p) },
		func() wsmanager.Sent { return r.m.Group("g").SendPrepared(p) },
		func() wsmanager.Sent {
			return r.m.All().WhereLocal(func(*wsmanager.Conn) bool { return true }).SendPrepared(p)
		},
	} {
		require.Equal(t, wsmanager.Sent{Queued: 3}, send())
		require.Equal(t, map[string][]string{"json": {"as 0"}, "json2": {"as 0"}, "packed": {"as 5"}}, r.messagesUpToMark())
	}
	require.Equal(t, wsmanager.Sent{Queued: 1}, r.m.Users("ann").SendPrepared(p))
	require.NoError(t, r.conns["packed"].SendPrepared(p))
	require.Equal(t, map[string][]string{"packed": {"as 5", "as 5"}}, r.messagesUpToMark())
	for v := range calls {
		want := int32(0)
		if v == int(text) || v == int(packed) {
			want = 1
		}
		require.Equal(t, want, calls[v].Load(), "variant %d", v)
	}
}

// Until Ready, a deferred connection receives messages that are sent to it alone, but no
// broadcasts.
func TestDeferred(t *testing.T) { onEachDriver(t, testDeferred) }

func testDeferred(t *testing.T) {
	r := newRoom(t, optionsWithoutLog(), map[string]string{"late": "defer&group=g&user=ann"})
	late, x := r.conns["late"], wsmanager.Text("too early")
	require.Equal(t, 1, r.m.All().Len())
	require.Equal(t, 1, r.m.Group("g").Len())
	_, ready := late.Variant()
	require.False(t, ready)
	require.NoError(t, late.Join("h"))
	for _, sent := range []wsmanager.Sent{
		r.m.Broadcast(x), r.m.Group("g").Send(x), r.m.Group("h").Send(x), r.m.Users("ann").Send(x),
		r.m.All().WhereLocal(func(*wsmanager.Conn) bool { return true }).Send(x),
	} {
		require.Zero(t, sent)
	}
	require.ErrorIs(t, late.SendPrepared(wsmanager.Prepare(x)), wsmanager.ErrNotReady)
	require.NoError(t, r.m.Send(late.ID(), wsmanager.Text("hello")))
	require.Equal(t, map[string][]string{"late": {"hello"}}, r.messagesUpToMark())

	require.ErrorContains(t, late.Ready(8), "variant 8")
	require.NoError(t, late.Ready(7))
	require.ErrorIs(t, late.Ready(7), wsmanager.ErrReady)
	v, ready := late.Variant()
	require.True(t, ready)
	require.EqualValues(t, 7, v)
	for _, g := range []wsmanager.Group{r.m.Group("g"), r.m.Group("h")} {
		require.Equal(t, wsmanager.Sent{Queued: 1}, g.Send(wsmanager.Text("to "+g.Name())))
	}
	require.Equal(t, wsmanager.Sent{Queued: 1}, r.m.Users("ann").Send(wsmanager.Text("to ann")))
	require.Equal(t, map[string][]string{"late": {"to g", "to h", "to ann"}}, r.messagesUpToMark())
}

func TestReadyAfterTheEnd(t *testing.T) { onEachDriver(t, testReadyAfterTheEnd) }

func testReadyAfterTheEnd(t *testing.T) {
	ended := make(chan error, 1)
	_, url := serve(t, wsmanager.Callbacks{
		OnAccept: byQuery,
		OnClose:  func(c *wsmanager.Conn, _ error) { ended <- c.Ready(0) },
	}, optionsWithoutLog(), nil)
	c := dialOver(t, url+"?defer", nil)
	c.SendClose(1000, "")
	require.ErrorIs(t, <-ended, wsmanager.ErrClosed)
}

// The first message selects the protocol, as in the hub.
func TestReadyByTheFirstMessage(t *testing.T) { onEachDriver(t, testReadyByTheFirstMessage) }

func testReadyByTheFirstMessage(t *testing.T) {
	m, url := serve(t, wsmanager.Callbacks{
		OnAccept: byQuery,
		OnMessage: func(c *wsmanager.Conn, msg wsmanager.Message) error {
			v := wsmanager.Variant(0)
			if msg.Type == wsmanager.BinaryMessage {
				v = 1
			}
			if err := c.Send(wsmanager.Text("welcome")); err != nil {
				return err
			}
			return c.Ready(v)
		},
	}, optionsWithoutLog(), nil)
	text, binary := dialOver(t, url+"?defer", nil), dialOver(t, url+"?defer", nil)
	text.SendText("hi")
	binary.SendBinary(nil)
	text.ExpectText("welcome")
	binary.ExpectText("welcome")
	p := wsmanager.PrepareFunc(func(v wsmanager.Variant) (wsmanager.Message, error) {
		if v == 1 {
			return wsmanager.Binary([]byte{0xff}), nil
		}
		return wsmanager.Text("{}"), nil
	})
	for sent := (wsmanager.Sent{}); sent.Queued < 2; { // the client may receive "welcome" before Ready
		sent = m.All().SendPrepared(p)
	}
	text.ExpectText("{}")
	f, err := binary.ReadFrame()
	require.NoError(t, err)
	require.Equal(t, ws.OpBinary, f.Header.OpCode)
	require.Equal(t, []byte{0xff}, f.Payload)
}

// The panic of an encoder reaches the sender. Other connections are not affected.
func TestEncoderThatPanics(t *testing.T) { onEachDriver(t, testEncoderThatPanics) }

func testEncoderThatPanics(t *testing.T) {
	r := newRoom(t, optionsWithoutLog(), map[string]string{"ann": ""})
	p := wsmanager.PrepareFunc(func(wsmanager.Variant) (wsmanager.Message, error) { panic("oops") })
	require.PanicsWithValue(t, "oops", func() { r.m.All().SendPrepared(p) })
	require.ErrorContains(t, r.conns["ann"].SendPrepared(p), "panicked")
	require.Equal(t, wsmanager.Sent{Queued: 1}, r.m.Broadcast(wsmanager.Text("on it goes")))
	require.Panics(t, func() { r.m.All().WhereLocal(func(*wsmanager.Conn) bool { panic("oops") }).Send(wsmanager.Text("x")) })
	require.Equal(t, map[string][]string{"ann": {"on it goes"}}, r.messagesUpToMark())
}

// An encoder or filter may itself broadcast to the same set.
func TestBroadcastsWithinBroadcasts(t *testing.T) { onEachDriver(t, testBroadcastsWithinBroadcasts) }

func testBroadcastsWithinBroadcasts(t *testing.T) {
	r := newRoom(t, optionsWithoutLog(), map[string]string{"ann": ""})
	inner := wsmanager.Text("inner")
	r.m.All().SendPrepared(wsmanager.PrepareFunc(func(wsmanager.Variant) (wsmanager.Message, error) {
		r.m.Broadcast(inner)
		return wsmanager.Text("outer"), nil
	}))
	r.m.All().WhereLocal(func(*wsmanager.Conn) bool {
		r.m.Broadcast(inner)
		return true
	}).Send(wsmanager.Text("outer"))
	require.Equal(t, []string{"inner", "outer", "inner", "outer"}, r.messagesUpToMark()["ann"])
}
