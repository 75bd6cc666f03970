package hub_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/hub"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// A sender is a way to send an event from within a method.
type sender = func(ctx *hub.Context, method string, args ...any) error

// senders are all ways to send an event to the only connection, which is in group g and belongs to ann. The caller is
// another connection, except for "caller".
func senders(id string) map[string]sender {
	return map[string]sender{
		"all":        func(ctx *hub.Context, m string, a ...any) error { return ctx.Hub().Clients().All().Send(m, a...) },
		"all except": func(ctx *hub.Context, m string, a ...any) error { return ctx.Clients().AllExcept("x").Send(m, a...) },
		"others":     func(ctx *hub.Context, m string, a ...any) error { return ctx.Clients().Others().Send(m, a...) },
		"client":     func(ctx *hub.Context, m string, a ...any) error { return ctx.Clients().Client(id).Send(m, a...) },
		"connections": func(ctx *hub.Context, m string, a ...any) error {
			return ctx.Clients().Connections("x", id).Send(m, a...)
		},
		"group":  func(ctx *hub.Context, m string, a ...any) error { return ctx.Clients().Group("g").Send(m, a...) },
		"groups": func(ctx *hub.Context, m string, a ...any) error { return ctx.Clients().Groups("f", "g").Send(m, a...) },
		"group except": func(ctx *hub.Context, m string, a ...any) error {
			return ctx.Clients().GroupExcept("g", "x").Send(m, a...)
		},
		"others in one": func(ctx *hub.Context, m string, a ...any) error {
			return ctx.Clients().OthersInGroup("g").Send(m, a...)
		},
		"user":  func(ctx *hub.Context, m string, a ...any) error { return ctx.Clients().User("ann").Send(m, a...) },
		"users": func(ctx *hub.Context, m string, a ...any) error { return ctx.Clients().Users("ann", "x").Send(m, a...) },
	}
}

// Options.MaxSendSize counts the content of a record. One of exactly the limit arrives, also if it is bigger than the outbox.
func TestMaxSendSize(t *testing.T) { onEachDriver(t, testMaxSendSize) }

func testMaxSendSize(t *testing.T) {
	for _, limit := range []int{60, 125, 126, 4000, 65_535, 1 << 16, 300_000} {
		for _, stateful := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d bytes, stateful %v", limit, stateful), func(t *testing.T) {
				var send atomic.Pointer[func(*hub.Context)] // of the next call of Do
				opts := hub.Options{MaxSendSize: limit, StatefulReconnect: stateful, Authenticate: named}
				opts.StatefulBuffer, opts.WebSocket.Outbox.Bytes = 20, 50
				if stateful { // the client acknowledges nothing
					opts.StatefulBuffer, opts.WebSocket.Outbox.Bytes = 8<<20, 16<<20
				}
				h, url := serve(t, hub.Methods{"Do": func(ctx *hub.Context) { (*send.Load())(ctx) }}, opts)
				k := negotiate(t, url, "negotiateVersion=1&useStatefulReconnect=true&user=ann")
				p := dial(t, url+"?id="+k.ConnectionToken+"&user=ann")
				p.noAcks = true
				p.send(fmt.Sprintf(`{"protocol":"json","version":%d}`, map[bool]int{false: 1, true: 2}[stateful]))
				p.expect(`{}`)
				caller := connect(t, url)
				require.Eventually(t, func() bool { return h.Len() == 2 }, wstest.Patience, 1e6)
				require.NoError(t, h.Join(k.ConnectionID, "g"))
				text := "é" + strings.Repeat("x", limit-len(`{"type":1,"target":"say","arguments":["é"]}`))
				do := func(c *peer, s sender) {
					next := func(ctx *hub.Context) {
						err := s(ctx, "say", text+"x")
						if !errors.Is(err, wsmanager.ErrMessageTooBig) {
							t.Errorf("one byte above the limit: %v", err)
						}
						if err = s(ctx, "say", text); err != nil {
							t.Errorf("at the limit: %v", err)
						}
					}
					send.Store(&next)
					if c == p {
						c.send(invocation("1", "Do"))
						return
					}
					for r := c.call("1", "Do"); r != `{"type":3,"invocationId":"1","result":null}`; {
						r = c.record()
					}
				}
				for name, s := range senders(k.ConnectionID) {
					do(caller, s)
					require.Equal(t, `{"type":1,"target":"say","arguments":["`+text+`"]}`, p.record(), name)
				}
				do(p, func(ctx *hub.Context, m string, a ...any) error { return ctx.Clients().Caller().Send(m, a...) })
				p.expect(`{"type":1,"target":"say","arguments":["`+text+`"]}`, `{"type":3,"invocationId":"1","result":null}`)
			})
		}
	}
}

// large makes a text of n bytes.
func large(n int) string { return strings.Repeat("0123456789", n/10) }

// Each kind of message may be bigger than all buffers of the hub and the client if MaxSendSize allows it, in both directions.
func TestMessagesAboveAllBuffers(t *testing.T) {
	t.Parallel() // most of the time acknowledgements are waited for
	onEachDriver(t, func(t *testing.T) { t.Parallel(); testMessagesAboveAllBuffers(t) })
}

func testMessagesAboveAllBuffers(t *testing.T) {
	const size = 300_000
	for _, stateful := range []bool{false, true} {
		t.Run(fmt.Sprint("stateful ", stateful), func(t *testing.T) {
			t.Parallel()
			opts := hub.Options{MaxReceiveSize: 2 * size, MaxSendSize: hub.NoLimit, StatefulReconnect: true, StatefulBuffer: 1000}
			opts.WebSocket.Outbox.Bytes, opts.WebSocket.Limits.MaxMessageSize = 5000, 3000
			h, url := serve(t, hub.Methods{
				"Size":   func(s string) int { return len(s) },
				"Result": func() string { return large(size) },
				"Items": func() iter.Seq[string] {
					return func(yield func(string) bool) { _ = yield(large(size)) && yield("end") }
				},
				"Ask": func(ctx *hub.Context) (int, error) {
					return hub.Invoke[int](ctx, ctx.Clients().Caller(), "size", large(size))
				},
				"Answer": func(ctx *hub.Context) (int, error) {
					s, err := hub.Invoke[string](ctx, ctx.Clients().Caller(), "text")
					return len(s), err
				},
				"Upload": func(items iter.Seq2[string, error]) (n int, err error) {
					for s, err := range items {
						if err != nil {
							return n, err
						}
						n += len(s)
					}
					return n, nil
				},
			}, opts)
			events := make(chan int, 1)
			dial := hub.DialOptions{
				MaxReceiveSize: 2 * size, ReceiveBuffer: 4 * size, MaxSendSize: hub.NoLimit, StatefulReconnect: stateful, StatefulBuffer: 1000,
				Handlers: hub.Methods{
					"size": func(s string) int { return len(s) }, "text": func() string { return large(size) },
					"say": func(s string) { events <- len(s) },
				},
			}
			dial.WebSocket.Outbox.Bytes, dial.WebSocket.Limits.MaxMessageSize = 5000, 3000
			c := client(t, url, dial)
			require.Eventually(t, func() bool { return h.Len() == 1 }, wstest.Patience, 1e6) // the client knows earlier that it is connected
			require.NoError(t, h.Clients().All().Send("say", large(size)))
			require.Equal(t, size, awaitValue(t, events))
			n, err := hub.Invoke[int](testContext(t), c, "Size", large(size))
			require.NoError(t, err)
			require.Equal(t, size, n)
			s, err := hub.Invoke[string](testContext(t), c, "Result")
			require.NoError(t, err)
			require.Equal(t, large(size), s)
			for _, method := range []string{"Ask", "Answer"} {
				n, err = hub.Invoke[int](testContext(t), c, method)
				require.NoError(t, err, method)
				require.Equal(t, size, n, method)
			}
			n, err = hub.Invoke[int](testContext(t), c, "Upload", iter.Seq[string](func(yield func(string) bool) { _ = yield(large(size)) && yield("end") }))
			require.NoError(t, err)
			require.Equal(t, size+3, n)
			var items []int
			for s, err := range hub.Stream[string](testContext(t), c, "Items") {
				require.NoError(t, err)
				items = append(items, len(s))
			}
			require.Equal(t, []int{size, 3}, items)
		})
	}
}

// Events behind a big one have room, although it exceeds the outbox, or the buffer of a stateful connection.
func TestEventsBehindBigOne(t *testing.T) { onEachDriver(t, testEventsBehindBigOne) }

func testEventsBehindBigOne(t *testing.T) {
	const size = 6_000_000 // more than the buffers of the system
	for _, stateful := range []bool{false, true} {
		t.Run(fmt.Sprint("stateful ", stateful), func(t *testing.T) {
			opts := hub.Options{MaxSendSize: size + 100, StatefulReconnect: true, StatefulBuffer: 1000}
			opts.WebSocket.Outbox.Bytes = 8000
			h, url := serve(t, hub.Methods{}, opts)
			k := negotiate(t, url, "negotiateVersion=1&useStatefulReconnect=true")
			p := dial(t, url+"?id="+k.ConnectionToken)
			p.send(fmt.Sprintf(`{"protocol":"json","version":%d}`, map[bool]int{false: 1, true: 2}[stateful]))
			p.expect(`{}`)
			require.Eventually(t, func() bool { return h.Len() == 1 }, wstest.Patience, 1e6)
			require.NoError(t, h.Clients().Client(k.ConnectionID).Send("say", large(size)))
			for i := range 20 {
				require.NoError(t, h.Clients().Client(k.ConnectionID).Send("say", large(100), i))
			}
			require.Equal(t, `{"type":1,"target":"say","arguments":["`+large(size)+`"]}`, p.record())
			for i := range 20 {
				p.expect(fmt.Sprintf(`{"type":1,"target":"say","arguments":["%s",%d]}`, large(100), i))
			}
		})
	}
}

// A method whose result or item is too big fails, and its caller gets an answer, however small the limit is. The connection
// stays.
func TestAnswersAboveMaxSendSize(t *testing.T) { onEachDriver(t, testAnswersAboveMaxSendSize) }

func testAnswersAboveMaxSendSize(t *testing.T) {
	for _, stateful := range []bool{false, true} {
		_, url := serve(t, hub.Methods{
			"Void":   func() {},
			"Result": func(n int) string { return large(n) },
			"Fail":   func() error { return hub.Error(large(1000)) },
			"Items": func() iter.Seq[string] {
				return func(yield func(string) bool) { _ = yield("a") && yield(large(1000)) && yield("c") }
			},
			"Ask": func(ctx *hub.Context) (int, error) {
				_, err := hub.Invoke[int](ctx, ctx.Clients().Caller(), "size", large(1000))
				if !errors.Is(err, wsmanager.ErrMessageTooBig) {
					return 0, hub.Errorf("wrong error: %v", err)
				}
				return 1, nil
			},
		}, hub.Options{MaxSendSize: 60, StatefulReconnect: stateful})
		k := negotiate(t, url, "negotiateVersion=1&useStatefulReconnect=true")
		p := dial(t, url+"?id="+k.ConnectionToken)
		p.noAcks = true
		p.send(fmt.Sprintf(`{"protocol":"json","version":%d}`, map[bool]int{false: 1, true: 2}[stateful]))
		p.expect(`{}`)
		p.result(`"0123456789"`, "Result", 10)
		p.failure("An unexpected error occurred invoking 'Result' on the server.", "Result", 50)
		p.failure("An unexpected error occurred invoking 'Fail' on the server.", "Fail")
		p.failure("Failed to invoke '"+large(1000)+"' due to an error on the server. HubException: Method does not exist.", large(1000))
		p.result("1", "Ask")
		p.send(streamInvocation("s", "Items"))
		p.expect(`{"type":2,"invocationId":"s","item":"a"}`, `{"type":3,"invocationId":"s","error":"An unexpected error occurred invoking 'Items' on the server."}`)
		long := strings.Repeat("i", 100)
		require.Equal(t, `{"type":3,"invocationId":"`+long+`","result":null}`, p.call(long, "Void"))
	}
}

// A result with invalid UTF-8 cannot be sent either. Its caller gets an answer.
func TestAnswerWithInvalidUTF8(t *testing.T) {
	for _, stateful := range []bool{false, true} {
		_, url := serve(t, hub.Methods{"Bad": func() json.RawMessage { return json.RawMessage("\"\xff\"") }}, hub.Options{StatefulReconnect: stateful})
		c := client(t, url, hub.DialOptions{StatefulReconnect: stateful, Handlers: hub.Methods{}})
		_, err := hub.Invoke[string](testContext(t), c, "Bad")
		require.ErrorContains(t, err, "An unexpected error occurred invoking 'Bad' on the server.")
	}
}

// methodsOfSizes are for a client whose messages may be too big.
func methodsOfSizes() hub.Methods {
	return hub.Methods{
		"Size": func(s string) int { return len(s) },
		"Ask": func(ctx *hub.Context, n int) (int, error) {
			s, err := hub.Invoke[string](ctx, ctx.Clients().Caller(), "text", n)
			var remote *hub.RemoteError
			if errors.As(err, &remote) {
				return 0, hub.Error(remote.Text)
			}
			return len(s), err
		},
		"Upload": func(items iter.Seq2[string, error]) (n int, err error) {
			for s, err := range items {
				if err != nil {
					return n, hub.Error(err.Error())
				}
				n += len(s)
			}
			return n, nil
		},
	}
}

// DialOptions.MaxSendSize limits what the Go client sends: its calls fail, and the hub learns that a stream or a handler has
// failed.
func TestMaxSendSizeOfClient(t *testing.T) { onEachDriver(t, testMaxSendSizeOfClient) }

func testMaxSendSizeOfClient(t *testing.T) {
	for _, limit := range []int{150, 4000, 70_000} {
		for _, stateful := range []bool{false, true} {
			_, url := serve(t, methodsOfSizes(), hub.Options{MaxReceiveSize: 100_000, StatefulReconnect: stateful})
			dial := hub.DialOptions{MaxSendSize: limit, StatefulReconnect: stateful, Handlers: hub.Methods{
				"text": func(n int) (string, error) {
					if n < 0 {
						return "", hub.Error(strings.Repeat("e", -n))
					}
					return strings.Repeat("x", n), nil
				},
			}}
			dial.StatefulBuffer, dial.WebSocket.Outbox.Bytes = 20, 50
			if stateful { // waiting for acknowledgements takes time
				dial.StatefulBuffer, dial.WebSocket.Outbox.Bytes = 1<<20, 2<<20
			}
			c := client(t, url, dial)
			ctx := testContext(t)
			around := len(`{"type":1,"invocationId":"1","target":"Size","arguments":[""]}`)
			n, err := hub.Invoke[int](ctx, c, "Size", strings.Repeat("x", limit-around)) // the first call, with id 1
			require.NoError(t, err)
			require.Equal(t, limit-around, n)
			_, err = hub.Invoke[int](ctx, c, "Size", strings.Repeat("x", limit-around+1)) // with id 2
			require.ErrorIs(t, err, wsmanager.ErrMessageTooBig)
			require.ErrorIs(t, c.Send(ctx, "Size", strings.Repeat("x", limit)), wsmanager.ErrMessageTooBig)
			for _, err := range hub.Stream[int](ctx, c, "Size", strings.Repeat("x", limit)) {
				require.ErrorIs(t, err, wsmanager.ErrMessageTooBig)
			}
			upload := func(items ...string) (int, error) {
				return hub.Invoke[int](ctx, c, "Upload", iter.Seq[string](func(yield func(string) bool) {
					for _, s := range items {
						if !yield(s) {
							return
						}
					}
				}))
			}
			n, err = upload("a", strings.Repeat("x", limit-60))
			require.NoError(t, err)
			require.Equal(t, limit-59, n)
			_, err = upload("a", strings.Repeat("x", limit), "c")
			require.ErrorContains(t, err, "The client's stream failed.")
			n, err = hub.Invoke[int](ctx, c, "Ask", limit-60)
			require.NoError(t, err)
			require.Equal(t, limit-60, n)
			for _, tooBig := range []int{limit, -limit} {
				_, err = hub.Invoke[int](ctx, c, "Ask", tooBig)
				require.ErrorContains(t, err, "An unexpected error occurred invoking 'text' on the client.")
			}
		}
	}
}

// The limits of both sides match: what one side sends within MaxSendSize, the other takes with the same MaxReceiveSize.
func TestSizesMatch(t *testing.T) {
	for _, size := range []int{300, 32 << 10, 1 << 20} {
		h, url := serve(t, hub.Methods{"Size": func(s string) int { return len(s) }}, hub.Options{MaxReceiveSize: size, MaxSendSize: size})
		got := make(chan int, 1)
		c := client(t, url, hub.DialOptions{MaxReceiveSize: size, MaxSendSize: size, Handlers: hub.Methods{"say": func(s string) { got <- len(s) }}})
		n := size - len(`{"type":1,"invocationId":"1","target":"Size","arguments":[""]}`)
		result, err := hub.Invoke[int](testContext(t), c, "Size", strings.Repeat("x", n))
		require.NoError(t, err)
		require.Equal(t, n, result)
		n = size - len(`{"type":1,"target":"say","arguments":[""]}`)
		require.NoError(t, h.Clients().All().Send("say", strings.Repeat("x", n)))
		require.Equal(t, n, awaitValue(t, got))
	}
}
