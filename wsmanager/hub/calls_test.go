package hub_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager/hub"
)

type thing struct {
	Name  string `json:"name"`
	Count int    `json:"count"`
}

// Arguments and results of all types; names match case-insensitively.
func TestCalls(t *testing.T) { onEachDriver(t, testCalls) }

func testCalls(t *testing.T) {
	_, url := serve(t, hub.Methods{
		"Echo":    func(v any) any { return v },
		"Add":     func(a, b int) int { return a + b },
		"Half":    func(a float64) (float64, error) { return a / 2, nil },
		"Void":    func() {},
		"VoidErr": func(*hub.Context) error { return nil },
		"Plain":   func(ctx context.Context) bool { _, ok := hub.FromContext(ctx); return ok },
		"Thing":   func(x thing) *thing { x.Count++; return &x },
		"Nil":     func() *thing { return nil },
		"Maybe": func(n *int, s string, x thing, m map[string]int, l []int) []any {
			return []any{n == nil, s, x, m == nil, l == nil}
		},
		"Bytes": func(b []byte) []byte { return b },
	}, hub.Options{})
	p := connect(t, url)
	for _, text := range []string{`"\u001e\u0000'\"\u2028"`, `"😀"`, `null`, `true`, `-9007199254740991`, `9007199254740991`, `1.5`, `{"aB":{"Cd":[1,"2",null]}}`, `[]`, `""`} {
		p.send(`{"type":1,"invocationId":"e","target":"eCHO","arguments":[` + text + `]}`)
		require.JSONEq(t, `{"type":3,"invocationId":"e","result":`+text+`}`, p.record())
	}
	p.result("3", "add", 1, 2)
	p.result("3", "ADD", 1, 2)
	p.result("1.5", "Half", 3)
	p.result("true", "Plain")
	p.result(`{"name":"x","count":2}`, "Thing", map[string]any{"NAME": "x", "count": 1, "unknown": 1})
	p.result("null", "Nil")
	p.result(`[true,"",{"name":"","count":0},true,true]`, "Maybe", nil, nil, nil, nil, nil)
	p.result(`"AQL/"`, "Bytes", []byte{1, 2, 255})
	require.Equal(t, `{"type":3,"invocationId":"v","result":null}`, p.call("v", "Void"))
	require.Equal(t, `{"type":3,"invocationId":"v","result":null}`, p.call("v", "VoidErr"))
}

// The caller reads the allowed part of an error, the log has the rest, and the connection stays open.
func TestCallErrors(t *testing.T) { onEachDriver(t, testCallErrors) }

func testCallErrors(t *testing.T) {
	logs := newLines()
	secret := errors.New("secret")
	_, url := serve(t, hub.Methods{
		"Fail":    func() error { return hub.Error("boom") },
		"Wrapped": func() (int, error) { return 1, fmt.Errorf("outside: %w", hub.Errorf("in%s", "side")) },
		"Hide":    func() error { return secret },
		"Empty":   func() error { return hub.Error("") },
		"Panic":   func() { panic("secret") },
		"Bad":     func() any { return func() {} },
		"Add":     func(a, b int) int { return a + b },
		"Stream":  func() <-chan int { return nil },
		"Secret":  hub.Method{Func: func() {}, Authorize: func(*hub.Call) error { return secret }},
	}, hub.Options{Logger: slog.New(slog.NewTextHandler(logs, nil))})
	p := connect(t, url)
	p.failure("boom", "Fail")
	p.failure("inside", "Wrapped")
	require.Empty(t, logs.take(), "errors for the caller are not logged at this level")
	for method, log := range map[string]string{"Hide": "err=secret", "Panic": "stack=", "Bad": "encoding the result", "Empty": "Empty"} {
		p.failure("An unexpected error occurred invoking '"+method+"' on the server.", method)
		require.Contains(t, logs.take(), log)
	}
	p.failure("Failed to invoke 'secret' because user is unauthorized", "secret")
	require.Contains(t, logs.take(), "not authorized: secret")
	p.failure("Failed to invoke 'Nope' due to an error on the server. HubException: Method does not exist.", "Nope")
	p.failure("Failed to invoke 'Add' due to an error on the server. Invocation provides 1 argument(s) but target expects 2.", "Add", 1)
	p.failure("Failed to invoke 'Add' due to an error on the server. Invocation provides 3 argument(s) but target expects 2.", "Add", 1, 2, 3)
	p.failure("Failed to invoke 'Add' due to an error on the server. Argument 2 is of the wrong type.", "Add", 1, "x")
	p.failure("Failed to invoke 'Add' due to an error on the server. Argument 1 is of the wrong type.", "Add", nil, 1)
	p.failure("Failed to invoke 'Add' due to an error on the server. Argument 1 is of the wrong type.", "Add", 1.5, 1)

	// A call without an id gets no answer.
	for _, method := range []string{"Fail", "Hide", "Panic", "Bad", "Nope", "Add", "Stream", "Secret"} {
		p.send(invocation("", method))
	}
	p.result("3", "Add", 1, 2)
}

func TestDetailedErrors(t *testing.T) { onEachDriver(t, testDetailedErrors) }

func testDetailedErrors(t *testing.T) {
	_, url := serve(t, hub.Methods{
		"Hide": func() error { return errors.New("secret") },
		"Fail": func() error { return hub.Error("boom") },
	}, hub.Options{DangerouslyDetailedErrors: true})
	p := connect(t, url)
	p.failure("An unexpected error occurred invoking 'Hide' on the server. secret", "Hide")
	p.failure("boom", "Fail")
}

// By default calls run one after the other, in order.
func TestCallsInOrder(t *testing.T) { onEachDriver(t, testCallsInOrder) }

func testCallsInOrder(t *testing.T) {
	var mu sync.Mutex
	var got []int
	running, most := 0, 0
	_, url := serve(t, hub.Methods{"Note": func(n int) int {
		mu.Lock()
		running++
		most = max(most, running)
		got = append(got, n)
		mu.Unlock()
		time.Sleep(time.Microsecond) // gives concurrent calls a chance to run
		mu.Lock()
		defer mu.Unlock()
		running--
		return n
	}}, hub.Options{})
	p := connect(t, url)
	const calls = 300
	records := make([]string, calls)
	for i := range records {
		records[i] = invocation(fmt.Sprint(i), "Note", i)
	}
	p.send(records...)
	for i := range calls {
		p.expect(fmt.Sprintf(`{"type":3,"invocationId":"%d","result":%d}`, i, i))
	}
	mu.Lock()
	defer mu.Unlock()
	require.Equal(t, 1, most)
	for i, n := range got {
		require.Equal(t, i, n)
	}
}

func TestParallelCalls(t *testing.T) { onEachDriver(t, testParallelCalls) }

func testParallelCalls(t *testing.T) {
	began, end := make(chan bool, 10), make(chan bool)
	_, url := serve(t, hub.Methods{"Wait": func() { began <- true; <-end }}, hub.Options{MaxParallelCalls: 3})
	p := connect(t, url)
	for i := range 5 {
		p.send(invocation(fmt.Sprint(i), "Wait"))
	}
	for range 3 {
		<-began
	}
	select {
	case <-began:
		t.Fatal("a fourth call has begun")
	default: // the counts below show that it does not begin later
	}
	for range 5 {
		end <- true
		p.record()
	}
}

// A record may continue in a later WebSocket message, one message may hold several records, members come in any order,
// and unknown members and types are ignored.
func TestRecordsAndMessages(t *testing.T) { onEachDriver(t, testRecordsAndMessages) }

func testRecordsAndMessages(t *testing.T) {
	_, url := serve(t, hub.Methods{"Echo": func(s string) string { return s }}, hub.Options{})
	p := connect(t, url)
	whole := `{"arguments":["é"],"headers":{"a":"b"},"new":1,"invocationId":"1","target":"Echo","type":1}` + "\x1e"
	at := strings.Index(whole, "é") // a text message must not end within a character
	for _, part := range []string{whole[:at], whole[at : at+2], whole[at+2 : len(whole)-1], whole[len(whole)-1:]} {
		p.SendText(part)
	}
	p.expect(`{"type":3,"invocationId":"1","result":"é"}`)
	with := func(id string) string { return strings.Replace(whole, `"1"`, `"`+id+`"`, 1) }
	p.SendText(with("2") + with("3") + whole[:10])
	p.SendText(whole[10:])
	p.expect(`{"type":3,"invocationId":"2","result":"é"}`, `{"type":3,"invocationId":"3","result":"é"}`,
		`{"type":3,"invocationId":"1","result":"é"}`)
	p.SendBinary([]byte(whole)) // records are a stream of bytes, independent of the type of the message
	p.expect(`{"type":3,"invocationId":"1","result":"é"}`)
	p.send(`{"type":17,"x":1}`, `{"type":6}`)
	p.result(`"x"`, "Echo", "x")
}

// Answers without an invocation are ignored. A malformed message ends the connection with a Close message.
func TestStrayAndMalformedRecords(t *testing.T) { onEachDriver(t, testStrayAndMalformedRecords) }

func testStrayAndMalformedRecords(t *testing.T) {
	_, url := serve(t, hub.Methods{"Echo": func(s string) string { return s }}, hub.Options{})
	p := connect(t, url)
	p.send(`{"type":2,"invocationId":"9","item":1}`, `{"type":3,"invocationId":"9","result":null}`, `{"type":3,"invocationId":"s9","result":1}`, `{"type":5,"invocationId":"9"}`,
		`{"type":8,"sequenceId":5}`, `{"type":9,"sequenceId":5}`)
	p.result(`"x"`, "Echo", "x")
	for _, bad := range []string{`nonsense`, ``, `{"type":1}`, `{"type":"6"}`, `{"type":3,"invocationId":"1","result":1,"error":"e"}`} {
		p := connect(t, url)
		p.send(bad, invocation("1", "Echo", "never"))
		require.Equal(t, closedWithError, p.readToClose(1000), bad)
	}
	// An oversized message ends the connection as soon as its size is known.
	for _, big := range []string{invocation("1", "Echo", strings.Repeat("x", 40_000)) + "\x1e", strings.Repeat("x", 40_000)} {
		p := connect(t, url)
		p.SendText(big)
		require.Equal(t, closedWithError, p.readToClose(1000))
	}
	q := connect(t, url)
	for range 4 { // a record without an end
		q.SendText(strings.Repeat("x", 9000))
	}
	require.Equal(t, closedWithError, q.readToClose(1000))
	p.result(`"x"`, "Echo", "x") // other connections are not affected
}

// A result that exceeds the outbox is answered with an error.
func TestResultAboveOutboxSize(t *testing.T) { onEachDriver(t, testResultAboveOutboxSize) }

func testResultAboveOutboxSize(t *testing.T) {
	_, url := serve(t, hub.Methods{"Huge": func(n int) string { return strings.Repeat("x", n) }}, hub.Options{})
	p := connect(t, url)
	p.failure("An unexpected error occurred invoking 'Huge' on the server.", "Huge", 2<<20)
	require.Len(t, p.call("1", "Huge", 500_000), 500_000+len(`{"type":3,"invocationId":"1","result":""}`))
}

// The context of a call ends when the client cancels the call, when the connection ends, and when the call has
// returned.
func TestContextOfCalls(t *testing.T) { onEachDriver(t, testContextOfCalls) }

func testContextOfCalls(t *testing.T) {
	causes, began := make(chan error, 1), make(chan bool)
	contexts := make(chan *hub.Context, 1)
	_, url := serve(t, hub.Methods{
		"Wait": func(ctx *hub.Context) error {
			began <- true
			<-ctx.Done()
			causes <- context.Cause(ctx)
			return ctx.Err()
		},
		"Keep": func(ctx *hub.Context) { contexts <- ctx },
		"Set":  func(ctx *hub.Context, v string) { ctx.Items().Store("v", v) },
		"Get":  func(ctx *hub.Context) any { v, _ := ctx.Items().Load("v"); return v },
	}, hub.Options{})
	p := connect(t, url)
	p.send(invocation("1", "Wait"))
	<-began
	p.send(invocation("2", "Wait"), `{"type":5,"invocationId":"2"}`) // canceled before it begins
	p.send(`{"type":5,"invocationId":"1"}`)
	require.ErrorIs(t, <-causes, hub.ErrCanceled)
	p.expect(`{"type":3,"invocationId":"1","error":"An unexpected error occurred invoking 'Wait' on the server."}`,
		`{"type":3,"invocationId":"2","error":"The invocation was canceled."}`)
	require.Equal(t, `{"type":3,"invocationId":"3","result":null}`, p.call("3", "Keep"))
	over := <-contexts
	<-over.Done()
	require.ErrorIs(t, context.Cause(over), hub.ErrReturned)
	p.call("4", "Set", "value")
	p.result(`"value"`, "Get")
	p.send(invocation("5", "Wait"))
	<-began
	p.Kill()
	require.Error(t, <-causes)
}

// A call runs also while its id is in use, and a stream does unless the id is that of another stream.
func TestInvocationIDs(t *testing.T) { onEachDriver(t, testInvocationIDs) }

func testInvocationIDs(t *testing.T) {
	end, began := make(chan bool), make(chan *hub.Context)
	_, url := serve(t, hub.Methods{
		"Wait": func(ctx *hub.Context) { began <- ctx; <-end },
		"Add":  func(a, b int) int { return a + b },
		"Watch": func(ctx *hub.Context) <-chan int {
			began <- ctx
			return make(chan int)
		},
	}, hub.Options{MaxParallelCalls: 3})
	const waited, inUse = `{"type":3,"invocationId":"1","result":null}`, `{"type":3,"invocationId":"1","error":"Invocation ID '1' is already in use."}`
	watch := `{"type":4,"invocationId":"1","target":"Watch","arguments":[]}`
	p := connect(t, url)
	p.send(invocation("1", "Wait"))
	first := <-began
	require.Equal(t, `{"type":3,"invocationId":"1","result":3}`, p.call("1", "Add", 1, 2))
	p.send(invocation("1", "Wait"))
	second := <-began

	// CancelInvocation means the earlier call, whose id still counts after the other has ended.
	p.send(`{"type":5,"invocationId":"1"}`)
	<-first.Done()
	require.ErrorIs(t, context.Cause(first), hub.ErrCanceled)
	require.NoError(t, second.Err())
	end <- true
	end <- true
	p.expect(waited, waited)

	// CancelInvocation means a stream rather than a call. After the end of both the id is free.
	p.send(invocation("1", "Wait"))
	call := <-began
	p.send(watch)
	stream := <-began
	require.Equal(t, `{"type":3,"invocationId":"1","result":3}`, p.call("1", "Add", 1, 2))
	p.send(watch)
	p.expect(inUse)
	p.send(`{"type":5,"invocationId":"1"}`)
	<-stream.Done()
	p.expect(`{"type":3,"invocationId":"1"}`)
	require.NoError(t, call.Err())
	end <- true
	p.expect(waited)
	p.send(watch)
	<-began
}

// The hub does not read from a client with too many pending calls until a call has ended; no call is lost. If only the
// client itself could end one, the connection ends.
func TestTooManyPendingCalls(t *testing.T) { onEachDriver(t, testTooManyPendingCalls) }

func testTooManyPendingCalls(t *testing.T) {
	gate := make(chan bool)
	_, url := serve(t, hub.Methods{
		"Gate":  func() { <-gate },
		"Note":  func(n int) int { return n },
		"Watch": func(ctx *hub.Context) <-chan int { return make(chan int) },
	}, hub.Options{MaxPendingCalls: 4, MaxPendingBytes: 1000})
	p := connect(t, url)
	p.send(invocation("gate", "Gate"))
	for i := range 200 {
		p.send(invocation(fmt.Sprint(i), "Note", i))
	}
	gate <- true
	p.expect(`{"type":3,"invocationId":"gate","result":null}`)
	for i := range 200 {
		p.expect(fmt.Sprintf(`{"type":3,"invocationId":"%d","result":%d}`, i, i))
	}
	for i := range 6 {
		p.send(fmt.Sprintf(`{"type":4,"invocationId":"w%d","target":"Watch","arguments":[]}`, i))
	}
	require.Equal(t, closedWithError, p.readToClose(1000))

	// Names and ids count for MaxPendingBytes.
	p = connect(t, url)
	for i := range 3 {
		p.send(fmt.Sprintf(`{"type":4,"invocationId":"%d%s","target":"Watch","arguments":[]}`, i, strings.Repeat("x", 400)))
	}
	require.Equal(t, closedWithError, p.readToClose(1000))
}

// lines collects log output.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func newLines() *lines { return &lines{} }

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// take returns the output since the last call.
func (l *lines) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.text.Reset()
	return l.text.String()
}
