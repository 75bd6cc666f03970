package wsmanager

import (
	"strings"
	"testing"
	"unsafe"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager/internal/deflate"
	"github.com/speakingtube/speakingtube/wsmanager/internal/frame/frametest"
)

// Compression adds no memory to an idle connection: connections without an identity share
// the flag, and reader, inflater and buffers come from pools.
func TestIdleMemoryWithCompression(t *testing.T) {
	require.LessOrEqual(t, unsafe.Sizeof(Conn{}), uintptr(176))
	require.LessOrEqual(t, unsafe.Sizeof(identity{}), uintptr(64))
	opts := Options{Compression: Compression{Enabled: true, Threshold: 1}}
	m, _ := fakeManager(t, opts)
	got := 0
	m.callbacks.OnMessage = func(c *Conn, msg Message) error { got += len(msg.Payload); return c.Send(msg) }
	tr := newFakeTransport(1 << 20)
	c := m.newConn("c", Accept{}, nil, "fake")
	c.agreeDeflate()
	c.m.register(c, Accept{})
	c.session().attach(tr)
	defer func() { c.m.unregister(c); c.session().release(); awaitNoWriters(t, m) }()
	require.Same(t, &anonymousDeflate, c.who)
	d := deflate.GetDeflater(6)
	defer deflate.PutDeflater(d)
	hello := frametest.Reserved(ws.OpText, true, deflate.RSV1, string(d.Deflate([]byte(strings.Repeat("Hello ", 100)))))
	require.NoError(t, c.session().consume([]byte(hello+hello)))
	require.Equal(t, 1200, got)
	require.Nil(t, c.in.frames, "no message is incomplete")
	require.True(t, c.out.Idle(), "nothing is queued")
	require.Less(t, tr.wrote.Len(), 100)
	require.EqualValues(t, 2, m.Stats().Compressed.In)
	require.EqualValues(t, 2, m.Stats().Compressed.Out)

	// Within a message the connection holds the bytes of the message and no inflater.
	require.NoError(t, c.session().consume([]byte(hello[:10])))
	require.LessOrEqual(t, c.in.frames.Buffered(), 512)
	require.NoError(t, c.session().consume([]byte(hello[10:])))
	require.Nil(t, c.in.frames)
}
