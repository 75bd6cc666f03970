package hub_test

import (
	"fmt"
	"testing"

	"github.com/speakingtube/speakingtube/wsmanager/hub"
)

// BenchmarkCall measures a call and its answer over loopback with a hundred calls in flight. The allocations are those
// of client and server.
func BenchmarkCall(b *testing.B) {
	_, url := serve(b, hub.Methods{"Add": func(a, c int) int { return a + c }}, hub.Options{})
	p := connect(b, url)
	const window = 100
	records := make([]string, window)
	for i := range records {
		records[i] = fmt.Sprintf(`{"target":"Add","arguments":[40,2],"type":1,"invocationId":"%d"}`, i)
	}
	b.ReportAllocs()
	for n := 0; n < b.N; n += window {
		p.send(records...)
		for range window {
			p.record()
		}
	}
}

// BenchmarkParseAndAppend measures the JSON protocol without a connection.
func BenchmarkParseAndAppend(b *testing.B) {
	p := hub.JSON()
	record := []byte(`{"target":"Add","arguments":[40,2],"invocationId":"7","type":1}`)
	b.ReportAllocs()
	var dst []byte
	for b.Loop() {
		m, err := p.Parse(record)
		if err != nil {
			b.Fatal(err)
		}
		if dst, err = p.Append(dst[:0], m); err != nil {
			b.Fatal(err)
		}
	}
}
