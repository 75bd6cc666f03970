package hub_test

import (
	"fmt"
	"iter"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager/hub"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// An Ack that was lost with its socket is sent again, because a client may wait for it.
func TestLostAck(t *testing.T) {
	runInFakeTime(t, echoes, hub.Options{StatefulReconnect: true}, func(t *testing.T, h *hub.Hub) {
		s, p := newStateful(t, h)
		p.send(invocation("", "Echo", 0))
		p.expect(ack(1)) // the client loses it with the socket
		p.Kill()
		synctest.Wait()
		p = s.resume()
		p.expect(sequence(1))
		p.send(sequence(1), invocation("", "Echo", 0))
		begin := time.Now()
		p.expect(ack(1))
		require.LessOrEqual(t, time.Since(begin), time.Second)
		p.SendClose(1000, "")
		p.ExpectClose(1000)
	})
}

// A result waits if it only fits without the unacknowledged messages.
func TestResultWaitsForAck(t *testing.T) {
	runInFakeTime(t, hub.Methods{"Text": func(n int) string { return strings.Repeat("x", n) }}, hub.Options{StatefulReconnect: true}, func(t *testing.T, h *hub.Hub) {
		_, p := newStateful(t, h)
		p.send(invocation("1", "Text", 90_000), invocation("2", "Text", 1_000_000))
		require.Contains(t, p.record(), `"invocationId":"1"`)
		p.expect(ack(2))
		p.send(ack(1))
		require.Contains(t, p.record(), `"invocationId":"2"`)
		p.SendClose(1000, "")
		p.ExpectClose(1000)
	})
}

var echoStream = hub.Methods{"Echo": func(items iter.Seq2[string, error]) iter.Seq2[string, error] { return items }}

// acknowledging reads n records while send sends. It acknowledges the records once a second, behind everything that
// send sends.
func acknowledging(p *peer, n int, send func()) (records []string) {
	p.noAcks = true
	var read atomic.Int64
	done := make(chan bool)
	var wg sync.WaitGroup
	wg.Go(func() {
		send()
		for {
			select {
			case <-done:
				return
			case <-time.After(time.Second):
				p.send(ack(int(read.Load())))
			}
		}
	})
	for range n {
		records = append(records, p.record())
		read.Add(1)
	}
	close(done)
	wg.Wait()
	return records
}

// Pending calls wait for acknowledgements that are behind further calls, which the hub does not read until a call has
// ended.
func TestAckBehindPendingCalls(t *testing.T) {
	text := strings.Repeat("x", 200)
	runInFakeTime(t, hub.Methods{"Text": func() string { return text }}, hub.Options{StatefulReconnect: true}, func(t *testing.T, h *hub.Hub) {
		_, p := newStateful(t, h)
		const n = 3000
		for i, r := range acknowledging(p, n, func() {
			for i := range n {
				p.send(invocation(fmt.Sprint(i), "Text"))
			}
		}) {
			require.Contains(t, r, fmt.Sprintf(`"invocationId":"%d"`, i))
		}
		p.SendClose(1000, "")
		p.ExpectClose(1000)
	})
}

// The same with the items of a stream that the hub sends back.
func TestAckBehindItems(t *testing.T) {
	text := strings.Repeat("x", 1000)
	runInFakeTime(t, echoStream, hub.Options{StatefulReconnect: true}, func(t *testing.T, h *hub.Hub) {
		_, p := newStateful(t, h)
		p.send(`{"type":4,"invocationId":"e","target":"Echo","arguments":[],"streamIds":["u"]}`)
		const n = 500
		for _, r := range acknowledging(p, n, func() {
			for range n {
				p.send(`{"type":2,"invocationId":"u","item":"` + text + `"}`)
			}
		}) {
			require.Contains(t, r, `{"type":2`)
		}
		p.SendClose(1000, "")
		p.ExpectClose(1000)
	})
}

// Without any acknowledgement the connection ends.
func TestMissingAck(t *testing.T) {
	text := strings.Repeat("x", 1000)
	ended := make(chan error, 1)
	opts := hub.Options{StatefulReconnect: true, Disconnected: func(_ *hub.Context, err error) { ended <- err }}
	runInFakeTime(t, echoStream, opts, func(t *testing.T, h *hub.Hub) {
		_, p := newStateful(t, h)
		p.send(`{"type":4,"invocationId":"e","target":"Echo","arguments":[],"streamIds":["u"]}`)
		go func() {
			record := wstest.Frame(ws.OpText, true, []byte(`{"type":2,"invocationId":"u","item":"`+text+"\"}\x1e"))
			for {
				if _, err := p.Conn().Write(record); err != nil {
					return
				}
			}
		}()
		begin := time.Now()
		p.readToClose(1000)
		require.ErrorIs(t, await(ended), hub.ErrClientTimeout)
		require.Less(t, time.Since(begin), time.Minute)
	})
}
