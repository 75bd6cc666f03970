package hub_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager/hub"
)

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

	heard  modelLog // events that the client has seen
	said   int      // events that were sent
	noted  int      // calls of the client that were sent
	notes  int      // that the server has seen
	echoes []string
	right  modelLog // echoes with the right result
	calls  int
}

func newClientModel(t *testing.T, script []byte, opts hub.DialOptions, conns <-chan net.Conn) *clientModel {
	m := &clientModel{script: script, conns: conns}
	m.modelPeer = &modelPeer{t: t, next: 1, accept: m.accepted}
	opts.SkipNegotiation, opts.StatefulReconnect = false, true
	opts.ReconnectDelays = []time.Duration{}
	opts.KeepAliveInterval, opts.ServerTimeout, opts.HandshakeTimeout = time.Hour, 24*time.Hour, time.Hour
	opts.Handlers = hub.Methods{"say": func(i int) { m.heard.add(i) }} // one call at a time
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
		m.acked, len(m.sent), len(m.heard.seen()), m.said, m.notes, m.noted, len(m.right.seen()), m.calls)
	m.end(false)
}

// complete reports whether all messages have arrived and are acknowledged.
func (m *clientModel) complete() bool {
	return m.acked == len(m.sent) && len(m.heard.seen()) == m.said && m.notes == m.noted && len(m.right.seen()) == m.calls
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
	for i, n := range m.heard.seen() {
		require.Equal(m.t, i, n, "%v", m.heard.seen())
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
				m.right.add(n)
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
