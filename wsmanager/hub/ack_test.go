package hub_test

import (
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

// event is a record of n bytes that has no answer.
func event(n int) string {
	record := invocation("", "Take", "")
	return strings.Replace(record, `[""]`, `["`+strings.Repeat("x", n-len(record))+`"]`, 1)
}

var takes = hub.Methods{"Take": func(string) {}, "Echo": func(v any) any { return v }}

// Messages are acknowledged as soon as 32 KB of them have arrived, and the rest after a second. The clock stands still, so
// only bytes count.
func TestAckByBytes(t *testing.T) {
	runInFakeTime(t, takes, hub.Options{StatefulReconnect: true}, func(t *testing.T, h *hub.Hub) {
		_, p := newStateful(t, h)
		begin := time.Now()
		sent := 0
		for range 5 {
			for range 4 { // the fourth reaches 32 KB
				p.send(event(8 << 10))
			}
			sent += 4
			p.expect(ack(sent))
		}
		for range 200 { // together in one WebSocket message
			sent += 4
			p.send(event(8<<10), event(8<<10), event(8<<10), event(8<<10))
			p.expect(ack(sent))
		}
		require.Zero(t, time.Since(begin))
		p.send(event(32<<10-1), invocation("1", "Echo", 1))
		sent += 2
		p.expect(ack(sent), `{"type":3,"invocationId":"1","result":1}`)
		p.send(event(100))
		begin = time.Now()
		p.expect(ack(sent + 1))
		require.Equal(t, time.Second, time.Since(begin))
		p.SendClose(1000, "")
		p.ExpectClose(1000)
	})
}

// A client that sends many small messages, or the same ones over and over, gets one Ack for 32 KB of them.
func TestAcksOfSmallMessages(t *testing.T) {
	runInFakeTime(t, takes, hub.Options{StatefulReconnect: true}, func(t *testing.T, h *hub.Hub) {
		s, p := newStateful(t, h)
		const n = 20_000
		record := invocation("", "Take", "") + "\x1e"
		acks := func(records int) {
			var got []string
			for want := (len(record) - 1) * records / (32 << 10); len(got) < want; {
				got = append(got, p.record())
			}
			synctest.Wait()
			begin := time.Now()
			p.send(invocation("e", "Echo", 0)) // nothing else comes before the answer
			p.expect(`{"type":3,"invocationId":"e","result":0}`)
			require.Zero(t, time.Since(begin))
		}
		p.SendText(strings.Repeat(record, n))
		acks(n)
		p.Kill()
		synctest.Wait()

		p = s.resume()
		p.send(sequence(n + 1))
		p.expect(sequence(1), `{"type":3,"invocationId":"e","result":0}`)
		p.send(invocation("e", "Echo", 0))
		for range 20 { // 20 × 1,000 messages that have been received before
			p.SendText(sequence(n-1000) + "\x1e" + strings.Repeat(record, 1000))
		}
		for i := range 20 {
			require.Equal(t, ack(n+1), p.record(), "after %d", i)
		}
		p.SendClose(1000, "")
		p.readToClose(1000)
	})
}

// The Go client acknowledges in the same way.
func TestClientAcksByBytes(t *testing.T) {
	var m *wsmanager.Manager
	var got chan string
	inMemory(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			fmt.Fprint(w, `{"negotiateVersion":1,"connectionId":"i","connectionToken":"t","useStatefulReconnect":true,"availableTransports":[{"transport":"WebSockets","transferFormats":["Text"]}]}`)
			return
		}
		m.ServeHTTP(w, r)
	}), func(t *testing.T, opts hub.DialOptions) {
		got = make(chan string, 10)
		m = wsmanager.MustNew(wsmanager.Callbacks{OnMessage: func(c *wsmanager.Conn, msg wsmanager.Message) error {
			if strings.HasPrefix(string(msg.Payload), `{"protocol"`) {
				return c.Send(wsmanager.Text("{}\x1e"))
			}
			got <- string(msg.Payload)
			return nil
		}}, wsmanager.Options{Logger: optionsWithoutLog().Logger, Driver: wsmanager.DriverGoroutine})
		opts.SkipNegotiation, opts.StatefulReconnect = false, true
		opts.Handlers = hub.Methods{"Take": func(string) {}}
		c, err := hub.Dial(t.Context(), "http://example.com/hub", opts)
		require.NoError(t, err)
		require.Equal(t, "{\"type\":6}\x1e", <-got)
		begin := time.Now()
		for i := 1; i <= 20; i++ {
			for range 4 {
				m.Broadcast(wsmanager.Text(event(8<<10) + "\x1e"))
			}
			require.Equal(t, ack(4*i)+"\x1e", <-got)
		}
		require.Zero(t, time.Since(begin))
		c.Close()
		<-c.Done()
		require.NoError(t, m.Shutdown(t.Context()))
	})
}
