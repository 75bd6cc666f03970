//go:build !race

package wsmanager_test

import (
	"io"
	"testing"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

func TestEchoDoesNotAllocate(t *testing.T) {
	_, url := serve(t, wsmanager.Callbacks{
		OnMessage: func(c *wsmanager.Conn, m wsmanager.Message) error { return c.Send(m) },
	}, quiet(), nil)
	c := wstest.Dial(t, url, nil).Conn()
	frame := wstest.Frame(ws.OpText, true, []byte(repeat("x", 128)))
	buf := make([]byte, 2+2+128)
	echo(c, frame, buf)
	allocs := testing.AllocsPerRun(2000, func() { echo(c, frame, buf) })
	require.Zero(t, allocs)
}

func TestBroadcastAllocationsDoNotGrow(t *testing.T) {
	count := func(receivers int) float64 {
		m, url := serve(t, wsmanager.Callbacks{}, quiet(), nil)
		for range receivers {
			c := wstest.Dial(t, url, nil).Conn()
			go func() { _, _ = io.Copy(io.Discard, c) }()
		}
		msg := wsmanager.Text(repeat("x", 128))
		return testing.AllocsPerRun(200, func() { m.Broadcast(msg) })
	}
	few, many := count(2), count(100)
	t.Logf("allocations per broadcast: %v to 2, %v to 100 receivers", few, many)
	require.LessOrEqual(t, few, 4.0)
	require.LessOrEqual(t, many, few+1)
}
