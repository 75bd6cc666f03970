package wsmanager

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager/internal/stepclock"
	"github.com/speakingtube/speakingtube/wsmanager/internal/transport"
)

// fakeTransport writes without blocking up to its room. All other writes block until proceed.
type fakeTransport struct{ *fakeWrites }

// fakeBlocking blocks every write until proceed.
type fakeBlocking struct{ *fakeWrites }

// fakeWrites is the state that fakeTransport and fakeBlocking share.
type fakeWrites struct {
	entered chan struct{} // receives when a write has begun
	proceed chan struct{} // releases one blocked write; closed: releases all

	mu      sync.Mutex // guards the fields below
	room    int        // bytes that TryWrite accepts
	granted bool       // the next TryWrite accepts everything
	wrote   bytes.Buffer
	writes  int // calls of TryWrite and Write that wrote bytes
	closed  chan struct{}
}

func newFakeTransport(room int) *fakeTransport {
	return &fakeTransport{&fakeWrites{room: room, entered: make(chan struct{}, 1000), proceed: make(chan struct{}, 1000), closed: make(chan struct{})}}
}

// as returns the transport, or a BlockingWriter with the same state.
func (t *fakeTransport) as(blocking bool) transport.Transport {
	if blocking {
		return fakeBlocking{t.fakeWrites}
	}
	return t
}

func (t *fakeTransport) TryWrite(p []byte) (int, error) {
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

// wait blocks a write until proceed.
func (t *fakeWrites) wait() error {
	t.entered <- struct{}{}
	select {
	case <-t.proceed:
		return nil
	case <-t.closed:
		return errors.New("closed")
	}
}

func (t *fakeTransport) AwaitWritable() error {
	if err := t.wait(); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.granted = true
	return nil
}

func (t *fakeWrites) note(p []byte) {
	if len(p) > 0 {
		t.writes++
		t.wrote.Write(p)
	}
}

func (t fakeBlocking) Write(p []byte, progress func()) (int, error) {
	if err := t.wait(); err != nil {
		return 0, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.note(p)
	progress()
	return len(p), nil
}

func (t *fakeWrites) Interrupt() error     { return nil }
func (t *fakeWrites) CloseWrite() error    { return errors.ErrUnsupported }
func (t *fakeWrites) Close() error         { close(t.closed); return nil }
func (t *fakeWrites) RemoteAddr() net.Addr { return textAddr("fake") }
func (t *fakeWrites) Take() bool           { return false }

// setRoom sets how many bytes the next calls of TryWrite accept.
func (t *fakeWrites) setRoom(n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.room = n
}

// frames returns the written frames: a message as its payload, another frame as its opcode. An
// incomplete frame, or one that begins inside another, fails the test.
func (t *fakeWrites) frames(tt *testing.T) (got []string) {
	tt.Helper()
	t.mu.Lock()
	defer t.mu.Unlock()
	for r := bytes.NewReader(t.wrote.Bytes()); r.Len() > 0; {
		f, err := ws.ReadFrame(r) //nolint:staticcheck // the bytes were written by this test
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

func (t *fakeWrites) count() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.writes
}

// maxTimers is the number of timers of a Manager: one for its wheel, one for its watch.
const maxTimers = 2

func newStepClock() *stepclock.Clock { return stepclock.New(time.Unix(1e9, 0), maxTimers) }

// fakeManager returns a Manager whose clock only moves when the test steps it.
func fakeManager(t *testing.T, opts Options) (*Manager, *stepclock.Clock) {
	t.Helper()
	clock := newStepClock()
	opts.Logger = slog.New(slog.DiscardHandler)
	m, err := newManager(Callbacks{}, opts, clock)
	require.NoError(t, err)
	return m, clock
}

// fakeConn registers a connection over the transport, without a reader.
func fakeConn(t *testing.T, m *Manager, id string, tr transport.Transport, a Accept) *Conn {
	t.Helper()
	c := m.newConn(id, a, nil, "fake")
	c.m.register(c, a)
	c.session().attach(tr)
	t.Cleanup(func() {
		c.m.unregister(c)
		c.session().release()
		awaitNoWriters(t, m)
	})
	return c
}

// awaitNoWriters waits until no writer is active.
func awaitNoWriters(t *testing.T, m *Manager) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 10*time.Second) // also in a cleanup, when t.Context has ended
	defer cancel()
	require.True(t, m.active.Wait(ctx))
}

// sendAndBlock writes a part of the message and returns when c's writer blocks at the beginning of
// the rest.
func sendAndBlock(t *testing.T, c *Conn, tr *fakeTransport, text string) {
	t.Helper()
	tr.setRoom(3)
	require.NoError(t, c.Send(Text(text)))
	<-tr.entered
}

// releaseWrites releases all blocked writes.
func (t *fakeWrites) releaseWrites() { close(t.proceed) }
