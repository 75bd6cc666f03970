package wsmanager_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// No byte reaches a connection that it is not meant for, however often file descriptors are
// reused. Each connection has a secret. All its messages, in both directions, consist of
// this secret; broadcasts to all consist of a shared one. Connections begin and end on both
// sides, while callbacks sleep, panic, exit their goroutine, wait for room, and close their
// own and other connections. Pipes of the test process take descriptors in between and must
// contain only the bytes that were written to them.
//
// SPEAKINGTUBE_CHURN=60s makes the test run for a minute.
func TestCanaries(t *testing.T) { onSocketDriversAtOnce(t, testCanaries) }

func testCanaries(t *testing.T) {
	run := &canaries{t: t}
	opts := optionsWithoutLog()
	opts.Outbox.Messages = 20
	opts.Timeouts.Close = 200 * time.Millisecond
	m := wsmanager.MustNew(wsmanager.Callbacks{
		OnAccept: run.accept, OnConnect: run.connect, OnMessage: run.message, OnClose: run.close,
	}, onDriver(t, opts))
	srv := httptest.NewUnstartedServer(m)
	srv.Listener = smallBuffers{srv.Listener}
	srv.Start()
	defer srv.Close()

	stop := make(chan struct{})
	var noise sync.WaitGroup
	for _, act := range []func(*wsmanager.Manager){run.broadcast, run.sendToEach, run.closeSome, run.pipe} {
		noise.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					act(m)
				}
				time.Sleep(time.Millisecond) // leave processor time to the others
			}
		})
	}
	const clients, each = 16, 60
	duration, began := churnTime(t), time.Now()
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			for n := 0; duration == 0 && n < each || time.Since(began) < duration; n++ {
				run.client(srv)
			}
		})
	}
	wg.Wait()
	close(stop)
	noise.Wait()
	require.NoError(t, m.Shutdown(t.Context()))
	require.Positive(t, run.own.Load(), "no client received a message with its own secret")
	require.Positive(t, run.all.Load(), "no client received a broadcast")
	require.Positive(t, run.received.Load(), "the server received no message")
	require.EqualValues(t, run.dials.Load(), run.connects.Load())
	require.Equal(t, run.connects.Load(), run.closes.Load())
	require.Zero(t, m.All().Len())
	t.Logf("%d connections; clients read %d messages of their own and %d to all, the server %d; closed %v",
		run.dials.Load(), run.own.Load(), run.all.Load(), run.received.Load(), m.Stats().Closed)
}

// canaries is one run of TestCanaries.
type canaries struct {
	t *testing.T

	next                    atomic.Int64 // the next secret
	dials, connects, closes atomic.Int64
	own, all, received      atomic.Int64 // counts of messages
}

// secretSize is the length of a secret. A message repeats one.
const secretSize = 16

const everybody = "<to:everybody!!>"

// payload returns a message that repeats a secret.
func payload(secret string) wsmanager.Message {
	return wsmanager.Text(strings.Repeat(secret, 1+rand.IntN(200)))
}

// repeatsSecret reports whether a message repeats a secret and has no other bytes.
func repeatsSecret(p []byte, secret string) bool {
	return len(p) > 0 && len(p)%secretSize == 0 && string(p) == strings.Repeat(secret, len(p)/secretSize)
}

func (run *canaries) accept(r *http.Request) (wsmanager.Accept, error) {
	return wsmanager.Accept{
		Value:        r.URL.Query().Get("secret"),
		SlowConsumer: wsmanager.SlowConsumer(1 + rand.IntN(3)),
	}, nil
}

func secretOf(c *wsmanager.Conn) string {
	s, _ := wsmanager.Value[string](c)
	return s
}

func (run *canaries) connect(c *wsmanager.Conn) error {
	run.connects.Add(1)
	switch rand.IntN(30) {
	case 0:
		return errors.New("not this one")
	case 1:
		panic("oops")
	case 2, 3:
		time.Sleep(time.Duration(rand.IntN(10)) * time.Millisecond)
	}
	_ = c.Send(payload(secretOf(c))) // an error is possible: the connection may be closed already
	return nil
}

func (run *canaries) message(c *wsmanager.Conn, m wsmanager.Message) error {
	secret := secretOf(c)
	if !repeatsSecret(m.Payload, secret) {
		run.t.Errorf("the server read %.50q from %s", m.Payload, secret)
	}
	run.received.Add(1)
	switch rand.IntN(40) {
	case 0:
		return c.Close(4000, "bye")
	case 1:
		panic("oops")
	case 2:
		runtime.Goexit()
	case 3:
		return errors.New("enough")
	case 4, 5, 6:
		time.Sleep(time.Duration(rand.IntN(20)) * time.Millisecond)
	case 7:
		run.closeSome(c.Manager())
	case 8, 9:
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Millisecond)
		defer cancel()
		_ = c.SendContext(ctx, payload(secret)) // an error is possible: the outbox may be full
	case 10:
		c.Manager().All().Except(c.ID()).Send(wsmanager.Text(everybody))
	}
	if !repeatsSecret(m.Payload, secret) {
		run.t.Errorf("the message of %s has become %.50q", secret, m.Payload)
	}
	_ = c.Send(m) // an error is possible: the connection may be closed, or slow
	return nil
}

func (run *canaries) close(c *wsmanager.Conn, _ error) {
	run.closes.Add(1)
	switch rand.IntN(20) {
	case 0:
		panic("oops")
	case 1:
		runtime.Goexit()
	case 2:
		time.Sleep(time.Duration(rand.IntN(10)) * time.Millisecond)
	case 3:
		_ = c.Send(payload(secretOf(c))) // returns ErrClosed; no byte may be written
	}
}

func (run *canaries) broadcast(m *wsmanager.Manager) { m.Broadcast(payload(everybody)) }

func (run *canaries) sendToEach(m *wsmanager.Manager) {
	for c := range m.All().Local() {
		_ = c.Send(payload(secretOf(c))) // also connections that have just ended
	}
}

func (run *canaries) closeSome(m *wsmanager.Manager) {
	for c := range m.All().Local() {
		if rand.IntN(60) == 0 {
			_ = c.Close(1000, "") // the error is nil, because the arguments are valid
		}
	}
}

// pipe uses two descriptors for a moment.
func (run *canaries) pipe(*wsmanager.Manager) {
	r, w, err := os.Pipe()
	if err != nil {
		run.t.Error(err)
		return
	}
	defer r.Close()
	want := fmt.Sprintf("<pipe%10d>", run.next.Add(1))
	if _, err := w.WriteString(want); err != nil {
		run.t.Errorf("a pipe of the process: %v", err)
	}
	time.Sleep(time.Duration(rand.IntN(3)) * time.Millisecond) // time for code that still uses the descriptor's previous number
	if err := w.Close(); err != nil {
		run.t.Errorf("a pipe of the process: %v", err)
	}
	if got, err := io.ReadAll(r); string(got) != want || err != nil {
		run.t.Errorf("a pipe of the process has %.50q, %v", got, err)
	}
}

// client runs one connection.
func (run *canaries) client(srv *httptest.Server) {
	secret := fmt.Sprintf("<secret%08x>", run.next.Add(1))
	conn, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		run.t.Error(err)
		return
	}
	defer conn.Close()
	_ = conn.(*net.TCPConn).SetReadBuffer(4 << 10) // best effort
	c := wstest.HandshakeOn(run.t, conn, wstest.Request(run.t, srv.URL+"?secret="+secret), nil)
	if c.Response.StatusCode != http.StatusSwitchingProtocols {
		run.t.Errorf("the answer is %s", c.Response.Status)
		return
	}
	run.dials.Add(1)
	reading := make(chan struct{})
	go func() {
		defer close(reading)
		if rand.IntN(6) > 0 { // the other clients never read
			run.read(c, secret)
		}
	}()
	for range rand.IntN(10) {
		frame := wstest.Frame(ws.OpText, true, payload(secret).Payload)
		half := rand.IntN(len(frame))
		if _, err := conn.Write(frame[:half]); err != nil {
			break
		}
		if rand.IntN(4) == 0 {
			time.Sleep(time.Millisecond) // the server needs two reads
		}
		if _, err := conn.Write(frame[half:]); err != nil {
			break
		}
	}
	time.Sleep(time.Duration(rand.IntN(10)) * time.Millisecond) // keeps the connection for a while
	switch rand.IntN(5) {
	case 0:
		_, _ = conn.Write(wstest.Frame(ws.OpClose, true, nil))
		<-reading
	case 1:
		_, _ = conn.Write([]byte{0xff, 0xff}) // not a valid frame
		<-reading
	case 2:
		c.Kill()
	case 3:
		_, _ = conn.Write([]byte{0x81}) // half of a header
	}
	_ = conn.Close()
	<-reading
}

// read reads until either side ends the connection.
func (run *canaries) read(c *wstest.Client, secret string) {
	for {
		f, err := c.ReadFrame()
		switch {
		case err != nil:
			return
		case f.Header.OpCode == ws.OpClose:
			_, _ = c.Conn().Write(wstest.Frame(ws.OpClose, true, f.Payload)) // an error is possible: the server may have closed the socket
			return
		case f.Header.OpCode.IsControl():
		case repeatsSecret(f.Payload, secret):
			run.own.Add(1)
		case repeatsSecret(f.Payload, everybody):
			run.all.Add(1)
		default:
			run.t.Errorf("%s read %.50q", secret, f.Payload)
		}
	}
}
