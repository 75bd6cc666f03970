package hub_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/hub"
)

// A client begins to read from its new socket before it waits for the server's Sequence, and would ignore one that comes too
// early. So nothing is sent on a new socket before the client's own Sequence.
func TestResumeSendsNothingBeforeTheSequence(t *testing.T) {
	runInFakeTime(t, echoes, hub.Options{StatefulReconnect: true, ClientTimeout: time.Hour, HandshakeTimeout: time.Minute}, func(t *testing.T, h *hub.Hub) {
		s, p := newStateful(t, h)
		p.send(invocation("", "Join", "g"), invocation("1", "Echo", 1))
		p.expect(`{"type":3,"invocationId":"1","result":1}`)
		p.Kill()
		synctest.Wait()
		p = s.resume()
		read := make(chan string, 1)
		go func() { read <- p.Text() }()
		require.NoError(t, h.Clients().Group("g").Send("say", 1))
		require.NoError(t, h.Clients().Client(s.id).Send("say", 2))
		time.Sleep(50 * time.Second) // Pings and Acks would be due
		require.Empty(t, read)
		p.send(sequence(3))
		require.Equal(t, sequence(1)+"\x1e", await(read))
		p.expect(`{"type":3,"invocationId":"1","result":1}`, say(1), say(2), ack(2))
		p.send(sequence(3)) // a second one on the same socket repeats nothing
		p.send(invocation("2", "Echo", 2))
		p.expect(`{"type":3,"invocationId":"2","result":2}`)
		p.SendClose(1000, "")
		p.ExpectClose(1000)
	})
}

// A client that sends no Sequence in time ends its connection. It can read the reason: the Close follows a Sequence.
func TestResumeWithoutSequenceEnds(t *testing.T) {
	ended := make(chan error, 1)
	opts := hub.Options{StatefulReconnect: true, Disconnected: func(_ *hub.Context, err error) { ended <- err }}
	runInFakeTime(t, echoes, opts, func(t *testing.T, h *hub.Hub) {
		s, p := newStateful(t, h)
		p.Kill()
		synctest.Wait()
		begin := time.Now()
		p = s.resume()
		p.expect(sequence(1))
		p.expect(closedWithError)
		p.readToClose(1000)
		require.ErrorIs(t, await(ended), hub.ErrHandshakeTimeout)
		require.InDelta(t, 15*time.Second, time.Since(begin), float64(time.Second))
		require.Equal(t, http.StatusNotFound, s.status())
		require.Zero(t, h.Len())
	})
}

// Messages that do not fit into the outbox of a socket are passed to it as the client reads, and arrive once and in order,
// also before a Close and on the next socket.
func TestReplayThroughSmallOutbox(t *testing.T) {
	text := strings.Repeat("x", 1000)
	methods := hub.Methods{
		"Join": func(ctx *hub.Context) error { return ctx.Join("g") },
		"Send": func(ctx *hub.Context, n int) error {
			var errs []error
			for i := range n {
				var to hub.Receivers
				if to = ctx.Clients().Group("g"); i%3 == 0 {
					to = ctx.Clients().All()
				}
				errs = append(errs, to.Send("say", i, text))
			}
			ctx.Abort()
			return errors.Join(errs...)
		},
	}
	opts := hub.Options{StatefulReconnect: true, WebSocket: wsmanager.Options{Outbox: wsmanager.Outbox{Messages: 2}}}
	runInFakeTime(t, methods, opts, func(t *testing.T, h *hub.Hub) {
		s, p := newStateful(t, h)
		p.send(invocation("j", "Join"))
		p.expect(`{"type":3,"invocationId":"j","result":null}`)
		const n = 300
		for i := range n {
			require.NoError(t, h.Clients().Client(s.id).Send("say", i, text))
		}
		synctest.Wait()
		p.Kill() // without reading
		synctest.Wait()
		p = s.resume()
		p.send(sequence(2))
		p.expect(sequence(1), `{"type":3,"invocationId":"j","result":null}`)
		p.noAcks = true
		say := func(i int) string { return fmt.Sprintf(`{"type":1,"target":"say","arguments":[%d,%q]}`, i, text) }
		for i := range n {
			p.expect(say(i))
		}
		p.send(ack(n+1), invocation("", "Send", n))
		synctest.Wait()
		for i := range n {
			p.expect(say(i))
		}
		require.Equal(t, `{"type":7}`, p.readToClose(1000))
	})
}
