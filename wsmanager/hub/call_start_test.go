package hub_test

import (
	"bytes"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager/hub"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// warm calls a method until its calls are known to be short, so that the next one runs where it was read.
func warm(p *peer, method string, args ...any) {
	for range 200 {
		p.call("w", method, args...)
	}
}

// A method that was short a thousand times may block the next time, in the event loop. It holds up neither the messages behind its
// call nor other connections: they are handled before it returns.
func TestShortMethodThatBlocks(t *testing.T) { onEachDriver(t, testShortMethodThatBlocks) }

func testShortMethodThatBlocks(t *testing.T) {
	var blocks atomic.Bool
	entered, gate := make(chan struct{}, 10), make(chan struct{})
	defer close(gate)
	_, url := serve(t, hub.Methods{
		"Do": func(ctx *hub.Context, how string) (string, error) {
			if !blocks.Load() {
				return "", nil
			}
			entered <- struct{}{}
			switch how {
			case "canceled":
				<-ctx.Done()
				return "", ctx.Err()
			case "asks":
				return hub.Invoke[string](ctx, ctx.Clients().Caller(), "ask")
			}
			<-gate
			return "", nil
		},
		"Other": func() int { return 1 },
	}, hub.Options{MaxParallelCalls: 2})
	for _, row := range []struct {
		how    string
		behind func(p *peer) // messages behind the call, which are handled before gate opens
	}{
		{"blocks", func(p *peer) { p.result("1", "Other") }},
		{"canceled", func(p *peer) {
			p.send(`{"type":5,"invocationId":"do"}`)
			require.Contains(t, p.record(), `"invocationId":"do"`)
		}},
		{"asks", func(p *peer) {
			p.expect(`{"type":1,"invocationId":"s1","target":"ask","arguments":[]}`)
			p.send(`{"type":3,"invocationId":"s1","result":"answer"}`)
			p.expect(`{"type":3,"invocationId":"do","result":"answer"}`)
		}},
	} {
		blocks.Store(false)
		p, other := connect(t, url), connect(t, url)
		warm(p, "Do", row.how)
		blocks.Store(true)
		p.send(invocation("do", "Do", row.how))
		<-entered
		other.result("1", "Other")
		row.behind(p)
	}
}

// A method that ends its goroutine has failed. It ends neither the loop nor the calls behind it.
func TestMethodEndsItsGoroutine(t *testing.T) { onEachDriver(t, testMethodEndsItsGoroutine) }

func testMethodEndsItsGoroutine(t *testing.T) {
	var exits atomic.Bool
	h, url := serve(t, hub.Methods{"Do": func() int {
		if exits.CompareAndSwap(true, false) {
			runtime.Goexit()
		}
		return 1
	}}, hub.Options{})
	p, other := connect(t, url), connect(t, url)
	for range 3 {
		warm(p, "Do")
		exits.Store(true)
		p.send(invocation("exits", "Do") + "\x1e" + invocation("next", "Do") + "\x1e" + invocation("last", "Do"))
		p.expect(`{"type":3,"invocationId":"exits","error":"An unexpected error occurred invoking 'Do' on the server."}`)
		p.expect(`{"type":3,"invocationId":"next","result":1}`, `{"type":3,"invocationId":"last","result":1}`)
		other.result("1", "Do")
	}
	require.Eventually(t, func() bool { return h.Stats().PendingCalls == 0 }, wstest.Patience, time.Millisecond)
}

// The calls of one message run and answer in order, wherever they run: also those beyond the number that run in the loop, and one
// that blocks in between.
func TestOrderOfCallsInOneMessage(t *testing.T) { onEachDriver(t, testOrderOfCallsInOneMessage) }

func testOrderOfCallsInOneMessage(t *testing.T) {
	entered, gate := make(chan struct{}), make(chan struct{})
	last := 0 // methods of a connection run one after the other
	_, url := serve(t, hub.Methods{"Do": func(n int) (int, error) {
		if n > 0 && n != last+1 {
			return 0, hub.Error(fmt.Sprintf("%d after %d", n, last))
		}
		if last = n; n == 50 {
			entered <- struct{}{}
			<-gate
		}
		return n, nil
	}}, hub.Options{})
	p := connect(t, url)
	warm(p, "Do", 0)
	var calls []string
	for n := range 100 {
		calls = append(calls, invocation(fmt.Sprint(n+1), "Do", n+1))
	}
	p.send(strings.Join(calls, "\x1e"))
	<-entered
	for n := range 100 {
		if n == 49 {
			close(gate)
		}
		p.expect(fmt.Sprintf(`{"type":3,"invocationId":"%d","result":%d}`, n+1, n+1))
	}
}

// Calls and their answers need few allocations. Those of the client are counted too, and are none.
func TestAllocationsOfCalls(t *testing.T) {
	_, url := serve(t, hub.Methods{"Echo": func(s string) string { return s }}, hub.Options{})
	p := connect(t, url)
	call := newRawCall(p, invocation("1", "Echo", strings.Repeat("x", 100)), `{"type":3,"invocationId":"1","result":"`+strings.Repeat("x", 100)+"\"}\x1e")
	for range 200 {
		call()
	}
	require.LessOrEqual(t, testing.AllocsPerRun(1000, call), 14.0)
}

// newRawCall returns a function that sends a call and reads its answer, without an allocation.
func newRawCall(p *peer, record, answer string) func() {
	frame := wstest.Frame(ws.OpText, true, []byte(record+"\x1e"))
	want := ws.MustCompileFrame(ws.NewTextFrame([]byte(answer)))
	got := make([]byte, len(want))
	return func() {
		if _, err := p.Conn().Write(frame); err != nil {
			p.t.Fatal(err)
		}
		if _, err := io.ReadFull(p.Conn(), got); err != nil || !bytes.Equal(got, want) {
			p.t.Fatalf("got %q: %v", got, err)
		}
	}
}
