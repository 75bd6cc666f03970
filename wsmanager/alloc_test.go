//go:build !race

package wsmanager_test

import (
	"context"
	"io"
	"testing"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// leastAllocs returns the minimum of several averages. A higher average includes
// allocations of goroutines that are still starting, or of pools that the garbage collector
// has emptied.
func leastAllocs(runs int, f func()) float64 {
	least := testing.AllocsPerRun(runs, f)
	for range 4 {
		least = min(least, testing.AllocsPerRun(runs, f))
	}
	return least
}

func TestEchoDoesNotAllocate(t *testing.T) { onEachDriver(t, testEchoDoesNotAllocate) }

func testEchoDoesNotAllocate(t *testing.T) {
	needH1(t, "net/http allocates for each frame of HTTP/2")
	limited := optionsWithoutLog()
	limited.Limits.MessageRate = 1e9
	for name, tt := range map[string]struct {
		opts wsmanager.Options
		send func(*wsmanager.Conn, wsmanager.Message) error
	}{
		"Send":                   {optionsWithoutLog(), (*wsmanager.Conn).Send},
		"Send, with a rate":      {limited, (*wsmanager.Conn).Send},
		"SendContext, with room": {optionsWithoutLog(), func(c *wsmanager.Conn, m wsmanager.Message) error { return c.SendContext(context.Background(), m) }},
	} {
		t.Run(name, func(t *testing.T) {
			_, url := serve(t, wsmanager.Callbacks{OnMessage: tt.send}, tt.opts, nil)
			c := dialOver(t, url, nil).Conn()
			frame := wstest.Frame(ws.OpText, true, []byte(repeat("x", 128)))
			buf := make([]byte, 2+2+128)
			echo(c, frame, buf)
			allocs := leastAllocs(500, func() { echo(c, frame, buf) })
			require.Zero(t, allocs)
		})
	}
}

// A compressed echo allocates only the code tables of compress/flate. A block without code
// tables allocates nothing.
func TestCompressedEchoDoesNotAllocate(t *testing.T) {
	onEachDriver(t, testCompressedEchoDoesNotAllocate)
}

func testCompressedEchoDoesNotAllocate(t *testing.T) {
	needH1(t, "net/http allocates for each frame of HTTP/2")
	_, url := serve(t, echoing, compressing(), nil)
	c := dialOver(t, url, offering).Conn()
	text := []byte(repeat("x", 1000))
	frame := compressedFrames(t, ws.OpText, text, 9, 0) // a block with fixed codes has no code tables
	buf := make([]byte, 2+len(deflate(t, text, 1)))
	echo(c, frame, buf)
	allocs := leastAllocs(500, func() { echo(c, frame, buf) })
	require.Zero(t, allocs)
}

// A compressed broadcast allocates one object more than a plain one: the compressed frame.
// The number of receivers does not matter.
func TestCompressedBroadcastAllocationsDoNotGrow(t *testing.T) {
	onEachDriver(t, testCompressedBroadcastAllocationsDoNotGrow)
}

func testCompressedBroadcastAllocationsDoNotGrow(t *testing.T) {
	needH1(t, "net/http allocates for each frame of HTTP/2")
	msg := wsmanager.Message{Type: wsmanager.TextMessage, Payload: jsonText(2000)}
	count := func(receivers int) float64 {
		m, url := serve(t, wsmanager.Callbacks{}, compressing(), nil)
		for i := range receivers {
			header := offering
			if i%4 == 0 {
				header = nil
			}
			c := dialOver(t, url, header).Conn()
			go func() { _, _ = io.Copy(io.Discard, c) }()
		}
		return leastAllocs(10, func() {
			if sent := m.Broadcast(msg); sent.Queued != receivers {
				panic(sent)
			}
		})
	}
	few, many := count(7), count(1000)
	t.Logf("allocations: %v to 7, %v to 1,000 receivers", few, many)
	require.LessOrEqual(t, few, 3.0)
	require.LessOrEqual(t, many, few+2) // see testBroadcastAllocationsDoNotGrow
}

// With a backplane a broadcast allocates its envelope, the list of its messages and a
// topic, and the other node allocates when it receives the envelope. The number of
// receivers does not matter.
func TestBroadcastAllocationsWithABackplane(t *testing.T) {
	onEachDriver(t, testBroadcastAllocationsWithABackplane)
}

func testBroadcastAllocationsWithABackplane(t *testing.T) {
	needH1(t, "net/http allocates for each frame of HTTP/2")
	msg := wsmanager.Text(repeat("x", 128))
	count := func(receivers int) float64 {
		opts := optionsWithoutLog()
		opts.Backplane = &wsmanager.LocalBus{}
		var nodes []*wsmanager.Manager
		for range 2 {
			m, url := serve(t, wsmanager.Callbacks{OnAccept: byQuery}, opts, nil)
			nodes = append(nodes, m)
			for range receivers {
				c := dialOver(t, url+"?group=g", nil).Conn()
				go func() { _, _ = io.Copy(io.Discard, c) }()
			}
			require.NoError(t, m.FlushBackplane(t.Context()))
		}
		return leastAllocs(10, func() {
			if sent := nodes[0].Group("g").Send(msg); sent.Queued != receivers {
				panic(sent)
			}
			if nodes[0].FlushBackplane(t.Context()) != nil {
				panic("not published")
			}
		})
	}
	few, many := count(10), count(1000)
	t.Logf("allocations: %v to 10, %v to 1,000 receivers on each of two nodes", few, many)
	require.LessOrEqual(t, few, 30.0)
	require.LessOrEqual(t, many, few+2) // the garbage collector may have emptied pools
}

func TestBroadcastAllocationsDoNotGrow(t *testing.T) {
	onEachDriver(t, testBroadcastAllocationsDoNotGrow)
}

func testBroadcastAllocationsDoNotGrow(t *testing.T) {
	needH1(t, "net/http allocates for each frame of HTTP/2")
	msg := wsmanager.Text(repeat("x", 128))
	for _, tt := range []struct {
		name string
		most float64
		send func(*wsmanager.Manager) wsmanager.Sent
	}{
		{"to all", 2, func(m *wsmanager.Manager) wsmanager.Sent { return m.Broadcast(msg) }},
		{"to all except an unknown id", 2, func(m *wsmanager.Manager) wsmanager.Sent { return m.All().Except("unknown").Send(msg) }},
		{"to a group", 2, func(m *wsmanager.Manager) wsmanager.Sent { return m.Group("g").Send(msg) }},
		{"to a filtered audience", 4, func(m *wsmanager.Manager) wsmanager.Sent {
			return m.All().WhereLocal(func(*wsmanager.Conn) bool { return true }).Send(msg)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			count := func(receivers int) float64 {
				m, url := serve(t, wsmanager.Callbacks{OnAccept: byQuery}, optionsWithoutLog(), nil)
				for range receivers {
					c := dialOver(t, url+"?group=g", nil).Conn()
					go func() { _, _ = io.Copy(io.Discard, c) }()
				}
				return leastAllocs(10, func() {
					if sent := tt.send(m); sent.Queued != receivers {
						panic(sent)
					}
				})
			}
			// The caller delivers a broadcast to 7 receivers. A broadcast to 1,000 that
			// follows shortly after another is queued, so one more broadcast may be in use
			// than ever before. The garbage collector may also have emptied a pool.
			few, many := count(7), count(1000)
			t.Logf("allocations: %v to 7, %v to 1,000 receivers", few, many)
			require.LessOrEqual(t, few, tt.most)
			require.LessOrEqual(t, many, few+2)
		})
	}
}

func TestAudiencesDoNotAllocate(t *testing.T) {
	m, _ := serve(t, wsmanager.Callbacks{}, optionsWithoutLog(), nil)
	p := wsmanager.Prepare(wsmanager.Text("x"))
	id := repeat("x", 26)
	for name, f := range map[string]func() int{
		"all":                   func() int { return m.All().SendPrepared(p).Queued },
		"all except one":        func() int { return m.All().Except(id).SendPrepared(p).Queued },
		"a group":               func() int { return m.Group("g").SendPrepared(p).Queued + m.Group("g").Len() },
		"one of several groups": func() int { return m.Groups("g").Except(id).SendPrepared(p).Queued },
		"a user":                func() int { return m.Users("ann").SendPrepared(p).Queued + m.Users("ann").Len() },
		"a connection":          func() int { return m.Conns(id).SendPrepared(p).Queued },
		"the length of all":     func() int { return m.All().Len() },
		"a filtered group": func() int {
			return m.Group("g").WhereLocal(func(*wsmanager.Conn) bool { return true }).SendPrepared(p).Queued
		},
		"the empty audience": func() int { return wsmanager.Audience{}.SendPrepared(p).Queued },
	} {
		require.Zero(t, leastAllocs(100, func() {
			if f() != 0 {
				panic("there are no connections")
			}
		}), name)
	}
}
