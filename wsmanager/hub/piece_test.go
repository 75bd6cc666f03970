package hub_test

import (
	"fmt"
	"iter"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager/hub"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// A WebSocket message may hold any number of records: 1,100 calls of 1 KB and 60 of 20 KB, as the .NET client joins them, and
// far more.
func TestJoinedRecords(t *testing.T) { onEachDriver(t, testJoinedRecords) }

func testJoinedRecords(t *testing.T) {
	_, url := serve(t, hub.Methods{"Size": func(s string) int { return len(s) }}, hub.Options{})
	p := connect(t, url)
	for _, row := range []struct{ n, size int }{{1100, 1000}, {60, 20_000}, {2000, 1000}} {
		var records []string
		for i := range row.n {
			records = append(records, invocation(fmt.Sprint(i), "Size", strings.Repeat("x", row.size)))
		}
		go p.SendText(strings.Join(records, "\x1e") + "\x1e")
		for i := range row.n {
			p.expect(fmt.Sprintf(`{"type":3,"invocationId":"%d","result":%d}`, i, row.size))
		}
	}
	p.SendClose(1000, "")
	p.ExpectClose(1000)
}

// Records are handled while the rest of their WebSocket message arrives. Each byte counts for ClientTimeout, also within a
// record, and records and fragments may be cut anywhere.
func TestRecordsOfSlowMessage(t *testing.T) {
	methods := hub.Methods{"Echo": func(v any) any { return v }}
	runInFakeTime(t, methods, hub.Options{}, func(t *testing.T, h *hub.Hub) {
		p := dialHandler(t, h, "/hub").shake()
		first := true
		part := func(text string, last bool) {
			op := ws.OpContinuation
			if first {
				op, first = ws.OpText, false
			}
			_, err := p.Conn().Write(wstest.Frame(op, last, []byte(text)))
			require.NoError(t, err)
		}
		part(invocation("1", "Echo", "é")[:20], false)
		time.Sleep(25 * time.Second)
		part(invocation("1", "Echo", "é")[20:]+"\x1e"+`{"type":1,`, false)
		p.expect(`{"type":3,"invocationId":"1","result":"é"}`)
		slow := `"invocationId":"2","target":"Echo","arguments":[2]}` + "\x1e"
		for i := range len(slow) { // longer than ClientTimeout
			time.Sleep(3 * time.Second)
			part(slow[i:i+1], i == len(slow)-1)
		}
		p.expect(`{"type":3,"invocationId":"2","result":2}`)
		p.SendClose(1000, "")
		p.ExpectClose(1000)
	})
}

// A slow method slows the client down within a message, and the hub holds little of it.
func TestBackpressureWithinMessage(t *testing.T) {
	var gate chan bool // made in the bubble
	runInFakeTime(t, hub.Methods{"Take": func(items iter.Seq2[string, error]) (n int) {
		for _, err := range items {
			_ = err // only the number of items matters
			<-gate
			n++
		}
		return n
	}}, hub.Options{}, func(t *testing.T, h *hub.Hub) {
		gate = make(chan bool)
		before := live()
		p := dialHandler(t, h, "/hub").shake()
		p.send(`{"type":1,"invocationId":"t","target":"Take","arguments":[],"streamIds":["u"]}`)
		const n = 1000
		var text strings.Builder
		for range n {
			text.WriteString(`{"type":2,"invocationId":"u","item":"` + strings.Repeat("x", 20_000) + "\"}\x1e")
		}
		text.WriteString(`{"type":3,"invocationId":"u"}` + "\x1e")
		size := int64(3 * text.Len()) // the builder, the frame and its copy
		sent := make(chan bool)
		go func() { p.SendText(text.String()); close(sent) }()
		time.Sleep(2 * time.Second)
		synctest.Wait()
		require.Less(t, live()-before-size, int64(maxHostileHeap))
		for range n {
			gate <- true
		}
		<-sent
		p.expect(fmt.Sprintf(`{"type":3,"invocationId":"t","result":%d}`, n))
		p.SendClose(1000, "")
		p.ExpectClose(1000)
	})
}
