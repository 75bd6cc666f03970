package hub_test

import (
	"iter"
	"net/http"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/hub"
)

// scriptSteps limits the steps of a script: a connection that is resumed over and over is refused.
const scriptSteps = 100

func addScripts(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("A^\"\xb4Y9Ǝ!.'_\xaf)")) // the Sequence of a socket that another one replaces at the same time
	for seed := range byte(8) {           // many kinds of steps in many orders
		script := make([]byte, 120)
		x := uint32(seed) + 1
		for i := range script {
			x = x*1664525 + 1013904223
			script[i] = byte(x >> 24)
		}
		f.Add(script)
	}
}

// FuzzStatefulServer drives the server by a client that is cut at any byte, resumes, repeats messages, acknowledges late or
// never, and breaks the protocol. The model says which messages each side has seen.
func FuzzStatefulServer(f *testing.F) {
	addScripts(f)
	f.Fuzz(func(t *testing.T, script []byte) {
		synctest.Test(t, func(t *testing.T) { newServerModel(t, script).run() })
	})
}

// serverModel is a client of a hub.
type serverModel struct {
	*modelPeer
	script modelScript
	h      *hub.Hub
	s      *stateful

	notes    modelLog // that the hub has seen
	noted    int      // notes that were sent
	said     int      // events that the hub has sent
	heard    int      // of them that the client has accepted
	echoes   []int    // results that have not come, in order
	calls    int
	streams  map[string]*[2]int // by id: items that have come, and all
	fewCalls bool               // without streams, which wait for the client: it would be stuck
	ends     modelLog           // of Disconnected
}

func newServerModel(t *testing.T, script []byte) *serverModel {
	m := &serverModel{script: script, streams: make(map[string]*[2]int)}
	m.modelPeer = &modelPeer{t: t, client: true, next: 1, accept: m.accepted}
	opts := optionsWithoutLog()
	opts.StatefulReconnect = true
	opts.WebSocket.Driver = wsmanager.DriverGoroutine
	opts.ResumeWindow = time.Hour
	opts.Disconnected = func(*hub.Context, error) { m.ends.add(0) }
	if small, _ := m.script.next(2); small == 1 {
		opts.StatefulBuffer, opts.WebSocket.Outbox.Messages = 200, 2
	}
	if few, _ := m.script.next(2); few == 1 {
		opts.MaxPendingCalls, m.fewCalls = 2, true // the reader waits
	}
	if dotnet, _ := m.script.next(2); dotnet == 1 {
		m.ignores = func(got modelMessage) bool { // the .NET client does not count items of streams that have ended
			stream := m.streams[got.InvocationID]
			return got.Type == 2 && (stream == nil || stream[0] < 0)
		}
	}
	var err error
	m.h, err = hub.New(hub.Methods{
		"Note": func(i int) { // one call at a time
			m.notes.add(i)
			if i%4 == 3 {
				time.Sleep(100 * time.Millisecond)
			}
		},
		"Echo": func(i int) int { return i },
		"Count": func(n int) iter.Seq[int] {
			return func(yield func(int) bool) {
				for i := range n {
					if !yield(i) {
						return
					}
				}
			}
		},
	}, opts)
	require.NoError(t, err)
	var p *peer
	m.s, p = newStateful(t, m.h)
	m.line = lineOfClient(p)
	synctest.Wait()
	return m
}

// run runs the script, and then brings everything to its end.
func (m *serverModel) run() {
	for range scriptSteps {
		step, more := m.script.next(16)
		if !more {
			break
		}
		if arg, _ := m.script.next(256); !m.step(step, arg) {
			m.expectEnd()
			return
		}
	}
	for range 50 + 2*len(m.sent) { // far more rounds than are needed
		if m.line != nil && m.complete() {
			break
		}
		m.reconnect(m.acked + 1)
		m.read(1000)
		m.ack()
		time.Sleep(200 * time.Millisecond)
	}
	require.Empty(m.t, m.closed)
	require.True(m.t, m.complete(), "%d of %d messages are acknowledged, %d of %d notes and %d of %d events have come, and not the results of %v; streams: %v",
		m.acked, len(m.sent), len(m.notes.seen()), m.noted, m.heard, m.said, m.echoes, m.streams)
	require.Equal(m.t, 1, m.h.Len())
	m.write(`{"type":7}`)
	m.expectEnd()
}

// complete reports whether all messages have arrived and are acknowledged.
func (m *serverModel) complete() bool {
	for _, n := range m.streams {
		if n[0] != n[1] {
			return false
		}
	}
	return m.acked == len(m.sent) && len(m.notes.seen()) == m.noted && m.heard == m.said && len(m.echoes) == 0
}

// expectEnd checks that the connection has ended, once, and that its token is used.
func (m *serverModel) expectEnd() {
	time.Sleep(10 * time.Second) // the close handshake
	synctest.Wait()
	require.Zero(m.t, m.h.Len())
	require.Len(m.t, m.ends.seen(), 1)
	require.Equal(m.t, http.StatusNotFound, m.s.status())
	m.requireOrder()
	m.cut()
	require.NoError(m.t, m.h.Shutdown(m.t.Context()))
}

func (m *serverModel) requireOrder() {
	for i, n := range m.notes.seen() {
		require.Equal(m.t, i, n, "%v", m.notes.seen())
	}
}

// reconnect resumes if there is no socket. first is the first message that is sent again.
func (m *serverModel) reconnect(first int) {
	if m.line == nil {
		m.connect(lineOfClient(m.s.resume()))
		m.resume(first)
	}
}

func (m *serverModel) note() string {
	m.noted++
	return invocation("", "Note", m.noted-1)
}

// step returns false after a step that ends the connection.
func (m *serverModel) step(step, arg int) bool {
	switch step {
	case 0, 1:
		m.send(m.note())
	case 2, 3:
		if step == 2 || m.fewCalls {
			m.echoes = append(m.echoes, m.calls)
			m.send(invocation(strconv.Itoa(m.calls), "Echo", m.calls))
			m.calls++
			break
		}
		id := "s" + strconv.Itoa(m.calls)
		m.calls++
		m.streams[id] = &[2]int{0, arg % 5}
		m.send(streamInvocation(id, "Count", arg%5))
	case 4, 5:
		for range arg%3 + 1 {
			require.NoError(m.t, m.h.Clients().Client(m.s.id).Send("say", m.said), "%d have ended", len(m.ends.seen()))
			m.said++
		}
	case 6, 7:
		m.read(arg % 8)
	case 8:
		m.read(1000)
		m.ack()
	case 9:
		time.Sleep(time.Duration(arg) * 10 * time.Millisecond)
	case 10:
		m.cutWithin(m.note(), arg%80)
	case 11:
		synctest.Wait() // the server has read everything
		m.read(arg % 4)
		m.cut()
	case 12:
		m.reconnect(m.acked + 1)
	case 13: // messages that were acknowledged come again
		if m.acked > 0 {
			m.reconnect(m.acked - arg%m.acked)
		}
	case 14: // a second socket takes over, the first one is alive
		m.line = nil
		m.reconnect(m.acked + 1)
	case 15:
		return m.hostile(arg)
	}
	m.requireOrder()
	return true
}

// hostile sends what no client sends. It returns false if the connection must end.
func (m *serverModel) hostile(arg int) bool {
	const bits = 9
	switch kind, n := arg%bits, arg/bits; kind {
	case 0: // too late
		m.write(ack(0), ack(-n))
		return true
	case 1: // once more, on a socket that has its Sequence
		first := m.acked + 1
		m.reconnect(first)
		m.resume(first)
		return true
	case 2: // of a call that does not exist
		m.send(`{"type":3,"invocationId":"s9","result":1}`)
		m.send(`{"type":2,"invocationId":"-","item":1}`)
		m.send(`{"type":5,"invocationId":"99"}`)
		return true
	case 3:
		m.write(`{"type":6}`, `{"type":10}`)
		return true
	case 4: // messages before the Sequence have no number
		m.cut()
		m.connect(lineOfClient(m.s.resume()))
		m.write(invocation("", "Note", -1), invocation("", "Note", -2))
		m.resume(m.acked + 1)
		return true
	}
	if m.line == nil {
		m.reconnect(m.acked + 1)
	}
	m.write([]string{
		ack(1<<20 + arg), sequence(0), sequence(1<<20 + arg), `{"type":8,"sequenceId":"1"}`,
	}[arg%bits-5])
	return false
}

// accepted gets the messages of the hub.
func (m *serverModel) accepted(got modelMessage) {
	switch got.Type {
	case 1:
		require.Equal(m.t, "say", got.Target)
		require.Equal(m.t, []int{m.heard}, got.Arguments)
		m.heard++
	case 2:
		stream := m.streams[got.InvocationID]
		require.NotNil(m.t, stream, "%+v", got)
		require.Equal(m.t, stream[0], *got.Item)
		stream[0]++
	case 3:
		require.Empty(m.t, got.Error)
		if stream := m.streams[got.InvocationID]; stream != nil {
			require.Equal(m.t, stream[1], stream[0])
			stream[0], stream[1] = -1, -1 // nothing follows
			return
		}
		require.NotEmpty(m.t, m.echoes, "%+v", got)
		require.Equal(m.t, strconv.Itoa(m.echoes[0]), got.InvocationID)
		require.Equal(m.t, m.echoes[0], *got.Result)
		m.echoes = m.echoes[1:]
	default:
		m.t.Fatalf("%+v", got)
	}
}
