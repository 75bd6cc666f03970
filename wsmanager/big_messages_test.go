package wsmanager_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// bigOptions allow messages of up to 4 MiB.
func bigOptions() wsmanager.Options {
	opts := optionsWithoutLog()
	opts.Limits.MaxMessageSize = 4 << 20
	opts.Outbox.Bytes = 32 << 20
	return opts
}

// Messages of many sizes, of several clients at a time, arrive as they were sent: the memory of
// one is never that of another.
func TestBigEchoes(t *testing.T) { onEachDriverAtOnce(t, testBigEchoes) }

func testBigEchoes(t *testing.T) {
	sum := func(p []byte) (s uint64) {
		for i, b := range p {
			s = s*31 + uint64(b) + uint64(i)
		}
		return s
	}
	_, url := serve(t, wsmanager.Callbacks{OnMessage: func(c *wsmanager.Conn, m wsmanager.Message) error {
		before := sum(m.Payload)
		err := c.Send(m)
		if sum(m.Payload) != before {
			t.Error("the payload has changed during the callback")
		}
		clear(m.Payload) // Send has copied the bytes that wait
		return err
	}}, bigOptions(), nil)
	var wg sync.WaitGroup
	for i := range 4 {
		c := dialOver(t, url, nil)
		wg.Go(func() {
			random := rand.New(rand.NewPCG(uint64(i), 1))
			source := rand.NewChaCha8([32]byte{byte(i)})
			for _, size := range []int{1, 5000, 16 << 10, 64 << 10, 200_000, 1 << 20, 3 << 20} {
				p := make([]byte, size-random.IntN(size/10+1))
				_, _ = source.Read(p) // never fails
				sent := make(chan struct{})
				go func() {
					defer close(sent)
					half := random.IntN(len(p) + 1)
					c.SendRaw(join(wstest.Frame(ws.OpBinary, false, p[:half]), wstest.Frame(ws.OpContinuation, true, p[half:])))
				}()
				f, err := c.ReadFrame()
				if err != nil || !bytes.Equal(p, f.Payload) {
					t.Errorf("the echo of %d bytes is wrong (%v)", len(p), err)
				}
				<-sent
			}
		})
	}
	wg.Wait()
}

// Big messages that wait for a slow peer keep their order, also with small ones and a pong
// between them, and their payloads may be reused at once.
func TestBigMessagesWait(t *testing.T) { onEachDriverAtOnce(t, testBigMessagesWait) }

func testBigMessagesWait(t *testing.T) {
	m, url := serve(t, wsmanager.Callbacks{}, bigOptions(), nil)
	c := dialOver(t, url, nil)
	awaitCondition(t, func() bool { return m.All().Len() == 1 })
	conn := onlyConn(t, m)
	p := make([]byte, 3<<20)
	var want []string
	for i := range 6 {
		size := len(p) >> i
		for j := range p {
			p[j] = byte(i + j>>10)
		}
		require.NoError(t, conn.Send(wsmanager.Binary(p[:size])))
		require.NoError(t, conn.Send(wsmanager.Text(fmt.Sprint("small ", i))))
		want = append(want, string(p[:size]), fmt.Sprint("small ", i))
		clear(p)
	}
	c.SendPing([]byte("p"))
	pongs := 0
	for _, w := range want {
		f, err := c.ReadFrame()
		require.NoError(t, err)
		if f.Header.OpCode == ws.OpPong {
			pongs++
			f, err = c.ReadFrame()
			require.NoError(t, err)
		}
		if w != string(f.Payload) {
			t.Fatalf("got %d bytes instead of %d: %.20q", len(f.Payload), len(w), f.Payload)
		}
	}
	if pongs == 0 {
		c.ExpectPong([]byte("p"))
	}
	require.EqualValues(t, len(want), m.Stats().MessagesOut)
}

// The errors of a big message are those of a small one.
func TestErrorsOfBigMessages(t *testing.T) { onEachDriverAtOnce(t, testErrorsOfBigMessages) }

func testErrorsOfBigMessages(t *testing.T) {
	opts := bigOptions()
	opts.SlowConsumer = wsmanager.SlowConsumerDropNewest
	m, url := serve(t, wsmanager.Callbacks{}, opts, nil)
	c := dialOver(t, url, nil)
	awaitCondition(t, func() bool { return m.All().Len() == 1 })
	conn := onlyConn(t, m)
	require.ErrorIs(t, conn.Send(wsmanager.Message{Type: 7, Payload: make([]byte, 1<<20)}), wsmanager.ErrMessageType)
	require.ErrorIs(t, conn.Send(wsmanager.Binary(make([]byte, 32<<20))), wsmanager.ErrMessageTooBig)
	sent := 0
	for {
		err := conn.Send(wsmanager.Binary(make([]byte, 4<<20)))
		if err != nil {
			require.ErrorIs(t, err, wsmanager.ErrOutboxFull)
			break
		}
		sent++
	}
	require.EqualValues(t, 1, m.Stats().Dropped.OutboxFull)
	for range sent {
		f, err := c.ReadFrame()
		require.NoError(t, err)
		require.Len(t, f.Payload, 4<<20)
	}
	require.NoError(t, conn.Close(1000, ""))
	require.ErrorIs(t, conn.Send(wsmanager.Binary(make([]byte, 1<<20))), wsmanager.ErrClosed)
	c.ExpectClose(1000)
}
