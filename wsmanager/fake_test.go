package wsmanager

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"
)

// fakeTransport takes without waiting what it is told to, and holds every other
// write up until it is let go.
type fakeTransport struct {
	cannotTry bool

	entered chan struct{} // a write has begun
	goOn    chan struct{} // lets one write go; closed: all

	mu      sync.Mutex // guards what follows
	room    int        // bytes that tryWrite takes
	granted bool       // the next tryWrite takes all
	wrote   bytes.Buffer
	writes  int // calls of tryWrite and write that wrote something
	closed  chan struct{}
}

func newFakeTransport(room int) *fakeTransport {
	return &fakeTransport{room: room, entered: make(chan struct{}, 1000), goOn: make(chan struct{}, 1000), closed: make(chan struct{})}
}

func (t *fakeTransport) read(func([]byte) error) error { <-t.closed; return io.EOF }
func (t *fakeTransport) wantWritable() bool            { return false }
func (t *fakeTransport) triesWrites() bool             { return !t.cannotTry }

func (t *fakeTransport) tryWrite(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := min(len(p), t.room)
	if t.granted {
		n, t.granted = len(p), false
	} else {
		t.room -= n
	}
	t.note(p[:n])
	return n, nil
}

// wait holds a write up until it is let go.
func (t *fakeTransport) wait() error {
	t.entered <- struct{}{}
	select {
	case <-t.goOn:
		return nil
	case <-t.closed:
		return errors.New("closed")
	}
}

func (t *fakeTransport) awaitWritable() error {
	if err := t.wait(); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.granted = true
	return nil
}

func (t *fakeTransport) note(p []byte) {
	if len(p) > 0 {
		t.writes++
		t.wrote.Write(p)
	}
}

func (t *fakeTransport) write(p []byte, progress func()) (int, error) {
	if err := t.wait(); err != nil {
		return 0, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.note(p)
	progress()
	return len(p), nil
}

func (t *fakeTransport) interrupt()           {}
func (t *fakeTransport) resume()              {}
func (t *fakeTransport) take() (driver, bool) { return nil, false }
func (t *fakeTransport) closeWrite() error    { return errors.ErrUnsupported }
func (t *fakeTransport) close() error         { close(t.closed); return nil }
func (t *fakeTransport) remoteAddr() net.Addr { return textAddr("fake") }

// setRoom is how many bytes are taken from now on without waiting.
func (t *fakeTransport) setRoom(n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.room = n
}

// frames is what was written: messages by their payload, others by their opcode.
// A frame that is not whole, or begins in the middle of another, fails the test.
func (t *fakeTransport) frames(tt *testing.T) (got []string) {
	tt.Helper()
	t.mu.Lock()
	defer t.mu.Unlock()
	for r := bytes.NewReader(t.wrote.Bytes()); r.Len() > 0; {
		f, err := ws.ReadFrame(r) //nolint:staticcheck // the bytes are our own, in memory
		require.NoError(tt, err)
		require.NoError(tt, ws.CheckHeader(f.Header, ws.StateClientSide))
		if f.Header.OpCode.IsControl() {
			got = append(got, fmt.Sprintf("%#x", byte(f.Header.OpCode)))
		} else {
			got = append(got, string(f.Payload))
		}
	}
	return got
}

func (t *fakeTransport) count() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.writes
}

// fakeManager is a Manager whose clock stands still until it is stepped.
func fakeManager(t *testing.T, opts Options) (*Manager, *stepClock) {
	t.Helper()
	clock := newStepClock()
	opts.Logger = slog.New(slog.DiscardHandler)
	m, err := newManager(Callbacks{}, opts, clock)
	require.NoError(t, err)
	return m, clock
}

// fakeConn registers a connection over the transport. Nothing reads from it.
func fakeConn(t *testing.T, m *Manager, id string, tr *fakeTransport, a Accept) *Conn {
	t.Helper()
	c := m.newConn(id, a, nil, "fake")
	c.register(a)
	c.attach(tr)
	t.Cleanup(func() {
		c.unregister()
		c.release()
		idle(t, m)
	})
	return c
}

// idle waits until no writer is at work.
func idle(t *testing.T, m *Manager) {
	t.Helper()
	require.Eventually(t, func() bool {
		m.active.mu.Lock()
		defer m.active.mu.Unlock()
		return m.active.count == 0
	}, 10*time.Second, 50*time.Microsecond)
}

// stuck makes c's writer begin with the rest of a message of which a part has
// left, and returns when it waits there.
func stuck(t *testing.T, c *Conn, tr *fakeTransport, text string) {
	t.Helper()
	tr.setRoom(3)
	require.NoError(t, c.Send(Text(text)))
	<-tr.entered
}

// letGo lets all writes go.
func (t *fakeTransport) letGo() { close(t.goOn) }
