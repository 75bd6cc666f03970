package hub_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/hub"
)

func streamInvocation(id, method string, args ...any) string {
	return strings.Replace(invocation(id, method, args...), `"type":1`, `"type":4`, 1)
}

// Results that are streams: their items, their ends and their errors.
func TestStreams(t *testing.T) { onEachDriver(t, testStreams) }

func testStreams(t *testing.T) {
	step := make(chan bool)
	_, url := serve(t, hub.Methods{
		"Count": func(n int) iter.Seq2[int, error] {
			return func(yield func(int, error) bool) {
				for i := range n {
					if !yield(i, nil) {
						return
					}
				}
			}
		},
		"Seq": func() (iter.Seq[string], error) {
			return func(yield func(string) bool) { _ = yield("a") && yield("b") }, nil
		},
		"Channel": func() <-chan any { ch := make(chan any, 2); ch <- nil; ch <- 1; close(ch); return ch },
		"Steps": func(ctx *hub.Context) <-chan int {
			ch := make(chan int)
			go func() {
				defer close(ch)
				for i := range 2 {
					<-step
					ch <- i
				}
			}()
			return ch
		},
		"Fails": func() iter.Seq2[int, error] {
			return func(yield func(int, error) bool) { _ = yield(1, nil) && yield(2, hub.Error("broke")) }
		},
		"Hides": func() iter.Seq2[int, error] {
			return func(yield func(int, error) bool) { yield(0, errors.New("secret")) }
		},
		"Panics": func() iter.Seq2[int, error] { return func(func(int, error) bool) { panic("secret") } },
		"Bad":    func() iter.Seq2[any, error] { return func(yield func(any, error) bool) { yield(func() {}, nil) } },
		"Never":  func() (iter.Seq2[int, error], error) { return nil, hub.Error("not today") },
		"Nil":    func() iter.Seq2[int, error] { return nil },
		"NilCh":  func() <-chan int { return nil },
		"Add":    func(a, b int) int { return a + b },
	}, hub.Options{})
	p := connect(t, url)
	item := func(v string) string { return `{"type":2,"invocationId":"s","item":` + v + `}` }
	end := func(text string) string {
		if text == "" {
			return `{"type":3,"invocationId":"s"}`
		}
		return `{"type":3,"invocationId":"s","error":"` + text + `"}`
	}
	hidden := func(method string) string {
		return end("An unexpected error occurred invoking '" + method + "' on the server.")
	}
	for _, row := range []struct {
		call string
		want []string
	}{
		{streamInvocation("s", "count", 3), []string{item("0"), item("1"), item("2"), end("")}},
		{streamInvocation("s", "Count", 0), []string{end("")}},
		{streamInvocation("s", "Seq"), []string{item(`"a"`), item(`"b"`), end("")}},
		{streamInvocation("s", "Channel"), []string{item("null"), item("1"), end("")}},
		{streamInvocation("s", "Fails"), []string{item("1"), end("broke")}},
		{streamInvocation("s", "Hides"), []string{hidden("Hides")}},
		{streamInvocation("s", "Panics"), []string{hidden("Panics")}},
		{streamInvocation("s", "Bad"), []string{hidden("Bad")}},
		{streamInvocation("s", "Never"), []string{end("not today")}},
		{streamInvocation("s", "Nil"), []string{hidden("Nil")}},
		{streamInvocation("s", "NilCh"), []string{hidden("NilCh")}},
		{streamInvocation("s", "Nope"), []string{end("Failed to invoke 'Nope' due to an error on the server. HubException: Method does not exist.")}},
		{streamInvocation("s", "Add", 1, 2), []string{end("The client attempted to invoke the non-streaming 'Add' method with a streaming invocation.")}},
		{invocation("s", "Count", 3), []string{end("The client attempted to invoke the streaming 'Count' method with a non-streaming invocation.")}},
	} {
		p.send(row.call)
		p.expect(row.want...)
	}
	// Items are sent as they are produced, and other calls run meanwhile.
	p.send(streamInvocation("s", "Steps"))
	p.result("3", "Add", 1, 2)
	step <- true
	p.expect(item("0"))
	p.result("3", "Add", 1, 2)
	step <- true
	p.expect(item("1"), end(""))
}

// A client cancels its streams.
func TestCanceledStreams(t *testing.T) { onEachDriver(t, testCanceledStreams) }

func testCanceledStreams(t *testing.T) {
	ended, goOn := make(chan error, 2), make(chan bool)
	_, url := serve(t, hub.Methods{
		"Count": func(ctx *hub.Context) iter.Seq2[int, error] {
			return func(yield func(int, error) bool) {
				n := 0
				for yield(n, nil) {
					n++
				}
				ended <- context.Cause(ctx)
			}
		},
		"Watch": func(ctx *hub.Context) iter.Seq2[int, error] {
			return func(yield func(int, error) bool) {
				yield(0, nil)
				<-ctx.Done()
				ended <- context.Cause(ctx)
				yield(0, ctx.Err())
			}
		},
		"Silent": func() <-chan int { <-goOn; return make(chan int) },
	}, hub.Options{})
	p := connect(t, url)
	for _, method := range []string{"Count", "Watch"} {
		p.send(streamInvocation("s", method))
		p.expect(`{"type":2,"invocationId":"s","item":0}`)
		p.send(`{"type":5,"invocationId":"s"}`)
		require.ErrorIs(t, <-ended, hub.ErrCanceled, method)
		for { // items that were already on their way, then the end, which is not an error
			r := p.record()
			if strings.HasPrefix(r, `{"type":2,`) {
				continue
			}
			require.Equal(t, `{"type":3,"invocationId":"s"}`, r)
			break
		}
	}
	p.send(streamInvocation("1", "Silent"), streamInvocation("2", "Silent"))
	goOn <- true
	goOn <- true
	p.send(`{"type":5,"invocationId":"2"}`, `{"type":5,"invocationId":"2"}`)
	p.expect(`{"type":3,"invocationId":"2"}`)
	p.send(`{"type":5,"invocationId":"1"}`)
	p.expect(`{"type":3,"invocationId":"1"}`)

	// The end of a connection ends its streams.
	p.send(streamInvocation("s", "Watch"))
	p.expect(`{"type":2,"invocationId":"s","item":0}`)
	p.SendClose(1000, "")
	require.ErrorIs(t, <-ended, hub.ErrClosed)
}

// A client that does not read its stream blocks only the method that produces it.
func TestSlowStream(t *testing.T) { onEachDriver(t, testSlowStream) }

func testSlowStream(t *testing.T) {
	produced := make(chan int, 1<<20)
	_, url := serve(t, hub.Methods{
		"Flood": func() iter.Seq2[string, error] {
			return func(yield func(string, error) bool) {
				for i := range 1000 {
					if !yield(strings.Repeat("x", 20_000), nil) {
						return
					}
					produced <- i
				}
			}
		},
		"Add": func(a, b int) int { return a + b },
	}, hub.Options{WebSocket: wsmanager.Options{Outbox: wsmanager.Outbox{Bytes: 256 << 10}, Limits: wsmanager.Limits{MaxMessageSize: 64 << 10}}})
	p, other := connect(t, url), connect(t, url)
	p.send(streamInvocation("s", "Flood"))
	<-produced
	for range 20 {
		other.result("3", "Add", 1, 2)
	}
	for i := range 1000 {
		require.LessOrEqual(t, len(produced), i+500, "only the buffers of the kernel and the outbox are full")
		require.Contains(t, p.record(), `"type":2`)
	}
	p.expect(`{"type":3,"invocationId":"s"}`)
}

// Streams of the client as iter.Seq2 and channel.
func TestUploads(t *testing.T) { onEachDriver(t, testUploads) }

func testUploads(t *testing.T) {
	summed, causes := make(chan int, 1), make(chan error, 1)
	sum := func(items iter.Seq2[int, error]) (int, error) {
		n := 0
		for i, err := range items {
			if err != nil {
				return n, err
			}
			n += i
		}
		return n, nil
	}
	_, url := serve(t, hub.Methods{
		"Sum":  sum,
		"Note": func(items iter.Seq2[int, error]) { n, _ := sum(items); summed <- n },
		"Chan": func(ctx *hub.Context, items <-chan int) int {
			n := 0
			for i := range items {
				n += i
			}
			causes <- context.Cause(ctx)
			return n
		},
		"Two": func(a iter.Seq2[int, error], scale int, b iter.Seq2[int, error]) int {
			x, _ := sum(a)
			y, _ := sum(b)
			return scale * (x + y)
		},
		"First": func(items iter.Seq2[int, error]) int {
			for i, err := range items {
				if err == nil {
					return i
				}
			}
			return -1
		},
		"Echo": func(items iter.Seq2[string, error]) iter.Seq2[string, error] {
			return func(yield func(string, error) bool) {
				for s, err := range items {
					if !yield(s+"!", err) {
						return
					}
				}
			}
		},
		"Twice": func(items iter.Seq2[int, error]) int { a, _ := sum(items); b, _ := sum(items); return a + 1000*b },
		"Add":   func(a, b int) int { return a + b },
	}, hub.Options{})
	p := connect(t, url)
	upload := func(id, method string, streams ...string) string {
		return fmt.Sprintf(`{"type":1,"invocationId":"%s","target":"%s","arguments":[],"streamIds":["%s"]}`, id, method, strings.Join(streams, `","`))
	}
	item := func(id string, v any) string { return fmt.Sprintf(`{"type":2,"invocationId":"%s","item":%v}`, id, v) }
	end := func(id string) string { return `{"type":3,"invocationId":"` + id + `"}` }
	done := func(v any) string { return fmt.Sprintf(`{"type":3,"invocationId":"u","result":%v}`, v) }
	failed := func(text string) string { return `{"type":3,"invocationId":"u","error":"` + text + `"}` }

	p.send(upload("u", "Sum", "1"), item("1", 1), item("1", 2), end("1"))
	p.expect(done(3))
	p.send(upload("u", "Sum", "1"), end("1"))
	p.expect(done(0))
	p.send(upload("u", "Sum", "1"))
	for i := range 3000 {
		p.send(item("1", i))
	}
	p.send(end("1"))
	p.expect(done(4498500))
	p.send(upload("u", "Chan", "1"), item("1", 5), item("1", 6), end("1"))
	p.expect(done(11))
	require.NoError(t, <-causes)
	p.send(`{"type":1,"invocationId":"u","target":"Two","arguments":[10],"streamIds":["a","b"]}`)
	p.send(item("b", 1), item("a", 2), item("b", 3), end("b"), end("a"))
	p.expect(done(60))
	p.send(upload("u", "Twice", "1"), item("1", 1), end("1"))
	p.expect(done(1)) // the second loop gets no items

	// Other calls run meanwhile, and a call without an id gets its stream.
	p.send(strings.Replace(upload("", "Note", "1"), `"invocationId":"",`, "", 1), item("1", 4))
	p.result("3", "Add", 1, 2)
	p.send(item("1", 5), end("1"))
	require.Equal(t, 9, <-summed)

	// The client ends its stream with an error, or sends an item of a wrong type.
	p.send(upload("u", "Sum", "1"), item("1", 1), `{"type":3,"invocationId":"1","error":"upload broke"}`)
	p.expect(failed("An unexpected error occurred invoking 'Sum' on the server. HubException: upload broke"))
	p.send(upload("u", "Chan", "1"), item("1", 1), `{"type":3,"invocationId":"1","error":"upload broke"}`)
	p.expect(failed("An unexpected error occurred invoking 'Chan' on the server. HubException: upload broke"))
	require.ErrorContains(t, <-causes, "upload broke")
	for _, method := range []string{"Sum", "Chan"} {
		for _, bad := range []string{`"x"`, `null`} {
			p.send(upload("u", method, "1"), item("1", bad))
			p.expect(failed("Failed to invoke '" + method + "' due to an error on the server. An item of a stream is of the wrong type."))
			if method == "Chan" {
				require.Error(t, <-causes)
			}
		}
	}
	// Items that the method does not take are dropped.
	p.send(upload("u", "First", "1"), item("1", 7))
	p.expect(done(7))
	for range 50 {
		p.send(item("1", 8))
	}
	p.send(end("1"))

	p.send(strings.Replace(upload("u", "Echo", "1"), `"type":1`, `"type":4`, 1), item("1", `"a"`))
	p.expect(`{"type":2,"invocationId":"u","item":"a!"}`)
	p.send(item("1", `"b"`), end("1"))
	p.expect(`{"type":2,"invocationId":"u","item":"b!"}`, end("u"))

	// A wrong number of streams, and an id that is in use.
	p.send(upload("u", "Sum", "1", "2"))
	p.expect(failed("Failed to invoke 'Sum' due to an error on the server. Invocation provides 2 stream(s) but target expects 1."))
	p.send(invocation("u", "Sum"))
	p.expect(failed("Failed to invoke 'Sum' due to an error on the server. Invocation provides 0 stream(s) but target expects 1."))
	p.send(upload("x", "Sum", "1"), upload("u", "Sum", "1"))
	p.expect(failed("Stream ID '1' is already in use."))
	p.send(item("1", 2), end("1"))
	p.expect(`{"type":3,"invocationId":"x","result":2}`)
}

// The hub stops reading after StreamBuffer items that the method does not take, and continues when the method has
// returned.
func TestUploadBackpressure(t *testing.T) { onEachDriver(t, testUploadBackpressure) }

func testUploadBackpressure(t *testing.T) {
	gate := make(chan bool)
	_, url := serve(t, hub.Methods{
		"Hold": func(iter.Seq2[int, error]) { <-gate },
		"Add":  func(a, b int) int { return a + b },
	}, hub.Options{StreamBuffer: 2})
	p := connect(t, url)
	p.send(`{"type":1,"invocationId":"h","target":"Hold","arguments":[],"streamIds":["1"]}`)
	for range 100 {
		p.send(`{"type":2,"invocationId":"1","item":1}`)
	}
	p.send(invocation("a", "Add", 1, 2))
	gate <- true
	p.expect(`{"type":3,"invocationId":"h","result":null}`, `{"type":3,"invocationId":"a","result":3}`)
}

type bomb struct{}

func (*bomb) UnmarshalJSON([]byte) error { panic("secret") }

// Custom decoding of the application may panic.
func TestPanicInItemDecoder(t *testing.T) { onEachDriver(t, testPanicInItemDecoder) }

func testPanicInItemDecoder(t *testing.T) {
	_, url := serve(t, hub.Methods{
		"Seq": func(items iter.Seq2[bomb, error]) {
			for _, err := range items {
				_ = err // Decode panics before
			}
		},
		"Channel": func(items <-chan bomb) {
			for range items {
			}
		},
	}, hub.Options{})
	p := connect(t, url)
	for _, m := range []string{"Seq", "Channel"} {
		p.send(`{"type":1,"invocationId":"x","target":"`+m+`","arguments":[],"streamIds":["u"]}`, `{"type":2,"invocationId":"u","item":1}`)
		p.expect(`{"type":3,"invocationId":"x","error":"An unexpected error occurred invoking '` + m + `' on the server."}`)
	}
}
