package hub_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// modelPeer is one side of a stateful connection, as the protocol describes it. It numbers, keeps and repeats messages, and
// checks those of the other side: each is accepted once and in order, however often the sockets are cut.
type modelPeer struct {
	t      *testing.T
	client bool // its frames are masked

	line *modelLine // nil between two sockets

	sent  []string // all counted records
	acked int      // of sent

	received int // highest number that was accepted
	next     int // number of the next record
	awaiting bool
	closed   string // the Close record of the other side

	accept  func(m modelMessage)      // gets each message once
	ignores func(m modelMessage) bool // reports that a message is not counted; may be nil
}

// modelMessage is a counted message, in JSON.
type modelMessage struct {
	Type         int
	InvocationID string
	Target       string
	Arguments    []int
	Result, Item *int
	Error        string
	SequenceID   int
}

// modelLine is a socket. A goroutine reads its frames, and the peer decides how many of them it has received.
type modelLine struct {
	mu     sync.Mutex // guards frames
	frames []ws.Frame
	write  func(p []byte) error
	cut    func()
}

// newModelLine reads frames until read fails.
func newModelLine(read func() (ws.Frame, error), write func(p []byte) error, cut func()) *modelLine {
	l := &modelLine{write: write, cut: cut}
	go func() {
		for {
			f, err := read()
			if err != nil {
				return
			}
			l.mu.Lock()
			l.frames = append(l.frames, f)
			l.mu.Unlock()
		}
	}()
	return l
}

// lineOfClient is the line of a client in memory.
func lineOfClient(p *peer) *modelLine {
	return newModelLine(p.ReadFrame, func(b []byte) error { _, err := p.Conn().Write(b); return err }, p.Kill)
}

// lineOfServer is the line of a server that has answered a handshake on conn.
func lineOfServer(conn net.Conn) *modelLine {
	return newModelLine(
		func() (ws.Frame, error) {
			h, err := ws.ReadHeader(conn)
			if err != nil {
				return ws.Frame{}, err
			}
			f := ws.Frame{Header: h, Payload: make([]byte, h.Length)}
			if _, err := io.ReadFull(conn, f.Payload); err != nil {
				return ws.Frame{}, err
			}
			return ws.UnmaskFrameInPlace(f), nil
		},
		func(b []byte) error { _, err := conn.Write(b); return err },
		func() {
			if r, ok := conn.(interface{ Reset() }); ok {
				r.Reset()
			}
			_ = conn.Close() // it has ended already
		},
	)
}

// take takes the first frames that have arrived, at most limit.
func (l *modelLine) take(limit int) []ws.Frame {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := min(limit, len(l.frames))
	taken := l.frames[:n]
	l.frames = l.frames[n:]
	return taken
}

// connect continues on a new socket. The other side may have sent its Sequence already.
func (p *modelPeer) connect(l *modelLine) { p.line, p.awaiting = l, true }

// resume sends the Sequence, whose number is at most that of the first unacknowledged record, and the records from there on.
func (p *modelPeer) resume(first int) {
	p.write(fmt.Sprintf(`{"type":9,"sequenceId":%d}`, first))
	for _, record := range p.sent[first-1:] {
		p.write(record)
	}
}

// send sends a counted record. Between two sockets it is kept for the next one.
func (p *modelPeer) send(record string) {
	p.sent = append(p.sent, record)
	p.write(record)
}

// write sends records in one message.
func (p *modelPeer) write(records ...string) {
	if p.line != nil {
		_ = p.line.write(p.frame(records...)) // the socket may have ended
	}
}

func (p *modelPeer) frame(records ...string) []byte {
	payload := []byte(strings.Join(records, "\x1e") + "\x1e")
	if p.client {
		return wstest.Frame(ws.OpText, true, payload)
	}
	return ws.MustCompileFrame(ws.NewTextFrame(payload))
}

// cutWithin sends a counted record, of which only the first bytes leave, and cuts the socket.
func (p *modelPeer) cutWithin(record string, bytes int) {
	p.sent = append(p.sent, record)
	if frame := p.frame(record); p.line != nil {
		_ = p.line.write(frame[:min(bytes, len(frame))]) // the socket may have ended
	}
	p.cut()
}

// cut ends the socket. Frames that have arrived and were not read are lost.
func (p *modelPeer) cut() {
	if p.line != nil {
		p.line.cut()
		p.line = nil
	}
}

// ack acknowledges all accepted messages.
func (p *modelPeer) ack() { p.write(fmt.Sprintf(`{"type":8,"sequenceId":%d}`, p.received)) }

// read reads at most so many of the frames that have arrived.
func (p *modelPeer) read(limit int) {
	synctest.Wait()
	if p.line == nil {
		return
	}
	for _, f := range p.line.take(limit) {
		switch f.Header.OpCode {
		case ws.OpText:
			records, whole := strings.CutSuffix(string(f.Payload), "\x1e")
			require.True(p.t, whole, "a message ends within a record: %q", f.Payload)
			for _, record := range strings.Split(records, "\x1e") {
				p.receive(record)
			}
		case ws.OpPing:
			_ = p.line.write(wstest.Frame(ws.OpPong, true, f.Payload)) // the socket may have ended
		}
	}
}

func (p *modelPeer) receive(record string) {
	var m modelMessage
	require.NoError(p.t, json.Unmarshal([]byte(record), &m), "%s", record)
	switch m.Type {
	case 6:
		require.False(p.t, p.awaiting, "a Ping before the Sequence")
	case 7:
		p.closed = record
	case 8:
		require.False(p.t, p.awaiting, "an Ack before the Sequence")
		require.LessOrEqual(p.t, m.SequenceID, len(p.sent), "an Ack of a message that was not sent")
		p.acked = max(p.acked, m.SequenceID)
	case 9:
		require.True(p.t, m.SequenceID >= 1 && m.SequenceID <= p.received+1, "a Sequence of %d after %d messages", m.SequenceID, p.received)
		p.next, p.awaiting = m.SequenceID, false
	default:
		require.False(p.t, p.awaiting, "before the Sequence: %s", record)
		if p.ignores != nil && p.ignores(m) {
			return
		}
		if p.next++; p.next-1 > p.received {
			p.received = p.next - 1
			p.accept(m)
		}
	}
}

// modelLog has the numbers that the other program has seen. Its handlers run at the same time as the script.
type modelLog struct {
	mu      sync.Mutex // guards numbers
	numbers []int
}

func (l *modelLog) add(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.numbers = append(l.numbers, n)
}

// seen returns the numbers so far.
func (l *modelLog) seen() []int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.numbers)
}

// modelScript has the decisions of a fuzz target.
type modelScript []byte

// next returns the next decision, below n, and false at the end of the script.
func (s *modelScript) next(n int) (int, bool) {
	if len(*s) == 0 {
		return 0, false
	}
	v := int((*s)[0]) % n
	*s = (*s)[1:]
	return v, true
}
