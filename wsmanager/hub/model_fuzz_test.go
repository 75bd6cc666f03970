package hub_test

import (
	"context"
	"fmt"
	"iter"
	"net"
	"net/http"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/hub"
)

// scriptSteps limits the steps of a script: a connection that is resumed over and over is refused.
const scriptSteps = 100

func addScripts(f *testing.F) {
	f.Add([]byte{})
	for seed := range byte(8) { // many kinds of steps in many orders
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

	notes    []int // that the hub has seen
	noted    int   // notes that were sent
	said     int   // events that the hub has sent
	heard    int   // of them that the client has accepted
	echoes   []int // results that have not come, in order
	calls    int
	streams  map[string]*[2]int // by id: items that have come, and all
	fewCalls bool               // without streams, which wait for the client: it would be stuck
	ends     int                // of Disconnected
	cause    error
}

func newServerModel(t *testing.T, script []byte) *serverModel {
	m := &serverModel{script: script, streams: make(map[string]*[2]int)}
	m.modelPeer = &modelPeer{t: t, client: true, next: 1, accept: m.accepted}
	opts := optionsWithoutLog()
	opts.StatefulReconnect = true
	opts.WebSocket.Driver = wsmanager.DriverGoroutine
	opts.ResumeWindow = time.Hour
	opts.Disconnected = func(_ *hub.Context, err error) { m.ends, m.cause = m.ends+1, err }
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
			m.notes = append(m.notes, i)
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
		m.acked, len(m.sent), len(m.notes), m.noted, m.heard, m.said, m.echoes, m.streams)
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
	return m.acked == len(m.sent) && len(m.notes) == m.noted && m.heard == m.said && len(m.echoes) == 0
}

// expectEnd checks that the connection has ended, once, and that its token is used.
func (m *serverModel) expectEnd() {
	time.Sleep(10 * time.Second) // the close handshake
	synctest.Wait()
	require.Zero(m.t, m.h.Len())
	require.Equal(m.t, 1, m.ends)
	require.Equal(m.t, http.StatusNotFound, m.s.status())
	m.requireOrder()
	m.cut()
	require.NoError(m.t, m.h.Shutdown(m.t.Context()))
}

func (m *serverModel) requireOrder() {
	for i, n := range m.notes {
		require.Equal(m.t, i, n, "%v", m.notes)
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
			require.NoError(m.t, m.h.Clients().Client(m.s.id).Send("say", m.said), "ended by %v", m.cause)
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

// FuzzStatefulClient drives the Go client by a server in the same way.
func FuzzStatefulClient(f *testing.F) {
	addScripts(f)
	f.Fuzz(func(t *testing.T, script []byte) {
		conns := make(chan net.Conn, 1) // replaced in the bubble
		inMemory(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPost {
				fmt.Fprint(w, `{"negotiateVersion":1,"connectionId":"i","connectionToken":"t","useStatefulReconnect":true,"availableTransports":[{"transport":"WebSockets","transferFormats":["Text"]}]}`)
				return
			}
			if conn, _, _, err := ws.UpgradeHTTP(r, w); err == nil {
				conns <- conn
			}
		}), func(t *testing.T, opts hub.DialOptions) {
			conns = make(chan net.Conn, 10)
			newClientModel(t, script, opts, conns).run()
		})
	})
}

// clientModel is a server of a Connection.
type clientModel struct {
	*modelPeer
	script modelScript
	c      *hub.Connection
	conns  <-chan net.Conn

	heard  []int // events that the client has seen
	said   int   // events that were sent
	noted  int   // calls of the client that were sent
	notes  int   // that the server has seen
	echoes []string
	right  int // echoes with the right result
	calls  int
}

func newClientModel(t *testing.T, script []byte, opts hub.DialOptions, conns <-chan net.Conn) *clientModel {
	m := &clientModel{script: script, conns: conns}
	m.modelPeer = &modelPeer{t: t, next: 1, accept: m.accepted}
	opts.SkipNegotiation, opts.StatefulReconnect = false, true
	opts.ReconnectDelays = []time.Duration{}
	opts.KeepAliveInterval, opts.ServerTimeout, opts.HandshakeTimeout = time.Hour, 24*time.Hour, time.Hour
	opts.Handlers = hub.Methods{"say": func(i int) { m.heard = append(m.heard, i) }} // one call at a time
	dialed := make(chan error, 1)
	go func() {
		var err error
		m.c, err = hub.Dial(t.Context(), "http://example.com/hub", opts)
		dialed <- err
	}()
	conn := <-conns
	m.line = lineOfServer(conn)
	synctest.Wait()
	require.Len(t, m.line.take(1), 1) // the handshake
	_ = m.line.write(ws.MustCompileFrame(ws.NewTextFrame([]byte("{}\x1e"))))
	require.NoError(t, <-dialed)
	synctest.Wait()
	return m
}

func (m *clientModel) run() {
	for range scriptSteps {
		step, more := m.script.next(13)
		if !more {
			break
		}
		if arg, _ := m.script.next(256); !m.step(step, arg) {
			m.end(true)
			return
		}
	}
	for range 50 + 2*len(m.sent) { // far more rounds than are needed
		if m.line != nil && m.complete() {
			break
		}
		m.reconnect(m.acked + 1)
		m.read(1000)
		m.answer(1000)
		m.ack()
		time.Sleep(200 * time.Millisecond)
	}
	require.True(m.t, m.complete(), "%d of %d messages are acknowledged, %d of %d events, %d of %d notes and %d of %d results have come",
		m.acked, len(m.sent), len(m.heard), m.said, m.notes, m.noted, m.right, m.calls)
	m.end(false)
}

// complete reports whether all messages have arrived and are acknowledged.
func (m *clientModel) complete() bool {
	return m.acked == len(m.sent) && len(m.heard) == m.said && m.notes == m.noted && m.right == m.calls
}

// end ends the connection. broken says that the server has broken the protocol.
func (m *clientModel) end(broken bool) {
	if broken {
		time.Sleep(10 * time.Second) // the close handshake
		<-m.c.Done()
		require.ErrorContains(m.t, m.c.Err(), "invalid message of the server")
	}
	m.requireOrder()
	m.c.Close()
	synctest.Wait()
	m.cut()
	<-m.c.Done()
	for len(m.conns) > 0 {
		_ = (<-m.conns).Close() // its client has gone
	}
}

func (m *clientModel) requireOrder() {
	for i, n := range m.heard {
		require.Equal(m.t, i, n, "%v", m.heard)
	}
}

// reconnect takes the socket with which the client has resumed. The client makes one attempt to resume, so the socket is not
// cut before its handshake.
func (m *clientModel) reconnect(first int) {
	if m.line != nil {
		return
	}
	m.connect(lineOfServer(<-m.conns))
	synctest.Wait()
	m.resume(first)
}

func (m *clientModel) say() string {
	m.said++
	return invocation("", "say", m.said-1)
}

func (m *clientModel) step(step, arg int) bool {
	switch step {
	case 0, 1:
		m.send(m.say())
	case 2, 3:
		synctest.Wait() // sends keep their order
		n := m.noted
		m.noted++
		go func() { _ = m.c.Send(context.Background(), "note", n) }() // all have arrived in the end
	case 4:
		n := m.calls
		m.calls++
		go func() {
			if got, err := hub.Invoke[int](context.Background(), m.c, "echo", n); err == nil && got == n {
				m.right++
			}
		}()
		synctest.Wait()
	case 5, 6:
		m.read(arg % 8)
	case 7:
		m.read(1000)
		m.ack()
		m.answer(arg % 4)
	case 8:
		time.Sleep(time.Duration(arg) * 10 * time.Millisecond)
	case 9:
		m.cutWithin(m.say(), arg%80)
	case 10:
		synctest.Wait()
		m.read(arg % 4)
		m.cut()
	case 11:
		first := m.acked + 1
		if m.acked > 0 && arg%2 == 1 {
			first = m.acked - arg%m.acked
		}
		m.reconnect(first)
	case 12:
		return m.hostile(arg)
	}
	m.requireOrder()
	return true
}

// hostile sends what no server sends. It returns false if the connection must end.
func (m *clientModel) hostile(arg int) bool {
	m.reconnect(m.acked + 1)
	switch arg % 6 {
	case 0:
		m.write(ack(0), ack(-arg))
	case 1:
		m.resume(m.acked + 1)
	case 2:
		m.send(`{"type":3,"invocationId":"99","result":1}`)
		m.send(`{"type":2,"invocationId":"-","item":1}`)
	default:
		m.write([]string{ack(1<<20 + arg), sequence(0), sequence(1<<20 + arg)}[arg%6-3])
		return false
	}
	return true
}

// answer answers the first calls that have no answer.
func (m *clientModel) answer(n int) {
	for range min(n, len(m.echoes)) {
		m.send(m.echoes[0])
		m.echoes = m.echoes[1:]
	}
}

// accepted gets the messages of the client.
func (m *clientModel) accepted(got modelMessage) {
	require.Equal(m.t, 1, got.Type)
	require.Len(m.t, got.Arguments, 1)
	switch got.Target {
	case "note":
		require.Equal(m.t, m.notes, got.Arguments[0])
		m.notes++
	case "echo":
		require.False(m.t, slices.Contains(m.echoes, got.InvocationID))
		m.echoes = append(m.echoes, fmt.Sprintf(`{"type":3,"invocationId":%q,"result":%d}`, got.InvocationID, got.Arguments[0]))
	default:
		m.t.Fatalf("%+v", got)
	}
}
