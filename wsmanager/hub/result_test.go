package hub_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager/hub"
)

// A null, or no result, of a client is an error where a number or a boolean is needed, and nothing elsewhere.
func TestMissingResultsOfClients(t *testing.T) { onEachDriver(t, testMissingResultsOfClients) }

type seconds float64

func ask[T any](ctx *hub.Context) (string, error) {
	v, err := hub.Invoke[T](ctx, ctx.Clients().Caller(), "ask")
	if err != nil {
		return "", hub.Errorf("%v", err)
	}
	return fmt.Sprintf("%v", v), nil
}

func testMissingResultsOfClients(t *testing.T) {
	_, url := serve(t, hub.Methods{
		"int": ask[int], "uint8": ask[uint8], "float64": ask[float64], "bool": ask[bool], "seconds": ask[seconds],
		"pointer": ask[*int], "text": ask[string], "any": ask[any], "list": ask[[]int], "struct": ask[thing],
	}, hub.Options{})
	p := connect(t, url)
	asked := 0
	answer := func(method, member string) string {
		p.send(invocation("1", method))
		asked++
		id := fmt.Sprintf("s%d", asked)
		p.expect(`{"type":1,"invocationId":"` + id + `","target":"ask","arguments":[]}`)
		p.send(`{"type":3,"invocationId":"` + id + `"` + member + `}`)
		return p.record()
	}
	for _, member := range []string{`,"result":null`, ``} {
		for _, method := range []string{"int", "uint8", "float64", "bool", "seconds"} {
			require.Contains(t, answer(method, member), `"error":"hub: decoding the result of the client's \"ask\":`, method)
		}
		for method, zero := range map[string]string{"pointer": "<nil>", "text": "", "any": "<nil>", "list": "[]", "struct": "{ 0}"} {
			require.Equal(t, `{"type":3,"invocationId":"1","result":"`+zero+`"}`, answer(method, member), method)
		}
	}
	require.Contains(t, answer("any", `,"error":""`), `"error":"hub: the other side answered \"ask\" with an error: "`)
	for method, value := range map[string]string{"int": "-3", "uint8": "200", "float64": "1.5", "bool": "true", "seconds": "2.5", "text": "x"} {
		raw := value
		if method == "text" {
			raw = `"x"`
		}
		require.Equal(t, `{"type":3,"invocationId":"1","result":"`+value+`"}`, answer(method, `,"result":`+raw))
	}
}

// A Connection treats results of the hub in the same way.
func TestMissingResultsOfHubs(t *testing.T) {
	_, url := serve(t, hub.Methods{"Void": func() {}, "Nil": func() *int { return nil }, "One": func() int { return 1 }}, hub.Options{})
	c, err := hub.Dial(t.Context(), url, hub.DialOptions{Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	defer c.Close()
	for _, method := range []string{"Void", "Nil"} {
		_, err = hub.Invoke[int](t.Context(), c, method)
		require.ErrorContains(t, err, "null for type int")
		_, err = hub.Invoke[bool](t.Context(), c, method)
		require.ErrorContains(t, err, "null for type bool")
		n, err := hub.Invoke[*int](t.Context(), c, method)
		require.NoError(t, err)
		require.Nil(t, n)
		require.NoError(t, c.Call(t.Context(), method))
	}
	n, err := hub.Invoke[int](t.Context(), c, "One")
	require.NoError(t, err)
	require.Equal(t, 1, n)
}

// A client reads the text with which it has ended its own stream. The method reads that the stream failed.
func TestTextsOfFailedStreams(t *testing.T) { onEachDriver(t, testTextsOfFailedStreams) }

func testTextsOfFailedStreams(t *testing.T) {
	logs, kept := newLines(), make(chan error, 1)
	failure := func(items iter.Seq2[int, error]) error {
		for _, err := range items {
			if err != nil {
				return err
			}
		}
		return nil
	}
	_, url := serve(t, hub.Methods{
		"Plain":   failure,
		"Wrapped": func(items iter.Seq2[int, error]) error { return fmt.Errorf("reading: %w", failure(items)) },
		"Public":  func(items iter.Seq2[int, error]) error { return hub.Errorf("no numbers: %v", failure(items)) },
		"Other":   func(items iter.Seq2[int, error]) error { _ = failure(items); return errors.New("secret") },
		"Keep":    func(items iter.Seq2[int, error]) { kept <- failure(items) },
		"Kept":    func() error { return <-kept },
		"Context": func(ctx context.Context, items <-chan int) error {
			for range items {
			}
			return ctx.Err()
		},
		"Stream": func(items iter.Seq2[int, error]) iter.Seq2[int, error] {
			return func(yield func(int, error) bool) { yield(0, failure(items)) }
		},
	}, hub.Options{Logger: slog.New(slog.NewTextHandler(logs, nil))})
	p := connect(t, url)
	text := "upload broke"
	call := func(kind int, method string) string {
		p.send(fmt.Sprintf(`{"type":%d,"invocationId":"1","target":"%s","arguments":[],"streamIds":["u"]}`, kind, method),
			`{"type":2,"invocationId":"u","item":1}`, `{"type":3,"invocationId":"u","error":"`+text+`"}`)
		return p.record()
	}
	failed := func(text string) string { return `{"type":3,"invocationId":"1","error":"` + text + `"}` }
	for _, method := range []string{"Plain", "Wrapped", "Context"} {
		require.Equal(t, failed("An unexpected error occurred invoking '"+method+"' on the server. HubException: upload broke"), call(1, method))
		require.Contains(t, logs.take(), "level=INFO")
	}
	require.Equal(t, failed("An unexpected error occurred invoking 'Stream' on the server. HubException: upload broke"), call(4, "Stream"))
	require.Equal(t, failed("no numbers: hub: the client's stream failed: upload broke"), call(1, "Public"))
	require.Equal(t, failed("An unexpected error occurred invoking 'Other' on the server."), call(1, "Other"))

	// The client need not give a text.
	text = ""
	require.Equal(t, failed("An unexpected error occurred invoking 'Plain' on the server. HubException: "), call(1, "Plain"))
	text = "upload broke"

	// The error of one call is not for the caller of another.
	require.Equal(t, `{"type":3,"invocationId":"1","result":null}`, call(1, "Keep"))
	logs.take()
	connect(t, url).failure("An unexpected error occurred invoking 'Kept' on the server.", "Kept")
	require.Contains(t, logs.take(), "the client's stream failed: upload broke")
}

// nested returns a value of n levels.
func nested(n int) any {
	var v any = "x"
	for i := range n {
		if i%2 == 0 {
			v = []any{v}
		} else {
			v = map[string]any{"[{": v}
		}
	}
	return v
}

// A record that is sent has at most 64 levels. A deeper value fails, and the connection stays.
func TestNestedValues(t *testing.T) { onEachDriver(t, testNestedValues) }

func testNestedValues(t *testing.T) {
	h, url := serve(t, hub.Methods{
		"Echo":  func(v any) any { return v },
		"Deep":  nested,
		"Items": func(n int) iter.Seq[any] { return func(yield func(any) bool) { yield(nested(n)) } },
		"Ask": func(ctx *hub.Context, n int) (any, error) {
			return hub.Invoke[any](ctx, ctx.Clients().Caller(), "ask", nested(n))
		},
		"Wide":   func() any { return strings.Repeat("[{", 5000) },
		"Escape": func() any { return []any{`"` + strings.Repeat(`\[`, 100), nested(60)} },
		"Many": func() any {
			many := make([]any, 1000)
			for i := range many {
				many[i] = nested(61)
			}
			return many
		},
	}, hub.Options{})
	p := connect(t, url)
	const failed = `{"type":3,"invocationId":"1","error":"An unexpected error occurred invoking '%s' on the server."}`
	for _, n := range []int{64, 65, 1000} {
		require.Equal(t, fmt.Sprintf(failed, "Deep"), p.call("1", "Deep", n))
		require.Equal(t, fmt.Sprintf(failed, "Ask"), p.call("1", "Ask", n))
		p.send(fmt.Sprintf(`{"type":4,"invocationId":"1","target":"Items","arguments":[%d]}`, n))
		p.expect(fmt.Sprintf(failed, "Items"))
		require.Equal(t, fmt.Sprintf(failed, "Echo"), p.call("1", "Echo", nested(n)))
		require.ErrorContains(t, h.Clients().All().Send("deep", nested(n)), "nested too deeply")
	}
	require.Contains(t, p.call("1", "Deep", 63), `"result":[{`)
	p.send(`{"type":4,"invocationId":"1","target":"Items","arguments":[63]}`)
	require.Contains(t, p.record(), `"item":[{`)
	p.expect(`{"type":3,"invocationId":"1"}`)
	for _, method := range []string{"Wide", "Escape", "Many"} {
		require.Contains(t, p.call("1", method), `"result":`, method)
	}
	require.ErrorContains(t, h.Clients().All().Send("deep", nested(63)), "nested too deeply", "the list of arguments is a level")
	require.NoError(t, h.Clients().All().Send("deep", nested(62)))
	require.Contains(t, p.record(), `"target":"deep"`)
	p.send(invocation("1", "Ask", 62))
	require.Contains(t, p.record(), `"target":"ask"`)

	// A Connection does not send them either.
	c, err := hub.Dial(t.Context(), url, hub.DialOptions{Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	defer c.Close()
	require.ErrorContains(t, c.Call(t.Context(), "Echo", nested(63)), "nested too deeply")
	require.ErrorContains(t, c.Send(t.Context(), "Echo", nested(63)), "nested too deeply")
	v, err := hub.Invoke[any](t.Context(), c, "Echo", nested(62))
	require.NoError(t, err)
	require.Equal(t, nested(62), v)
}

// A method that passes the error of a group on tells the client the reason.
func TestTextsOfWrongGroups(t *testing.T) {
	_, url := serve(t, hub.Methods{"Join": func(ctx *hub.Context, group string) error { return ctx.Join(group) }}, hub.Options{})
	p := connect(t, url)
	for _, group := range []string{"", strings.Repeat("x", 257)} {
		p.failure("A group's name has 1 to 256 bytes.", "Join", group)
	}
	p.result("null", "Join", strings.Repeat("x", 256))
}
