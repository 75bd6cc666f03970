package hub_test

import (
	"context"
	"fmt"
	"iter"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager/hub"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// stateful is a client that resumes its connection.
type stateful struct {
	t      *testing.T
	h      *hub.Hub
	target string
	id     string
}

func newStateful(t *testing.T, h *hub.Hub) (*stateful, *peer) {
	k := ticketOf(t, h, "negotiateVersion=1&useStatefulReconnect=true")
	require.True(t, k.UseStatefulReconnect)
	s := &stateful{t, h, "/hub?id=" + k.ConnectionToken, k.ConnectionID}
	p := dialHandler(t, h, s.target)
	p.send(`{"protocol":"json","version":2}`)
	p.ExpectText("{}\x1e")
	return s, p
}

// resume connects again, without negotiation and handshake.
func (s *stateful) resume() *peer { return dialHandler(s.t, s.h, s.target) }

func (s *stateful) status() int {
	return wstest.HandshakeHandler(s.t, s.h, wstest.Request(s.t, s.target), nil, wstest.Memory{Patience: time.Hour}).Response.StatusCode
}

func ack(n int) string      { return fmt.Sprintf(`{"type":8,"sequenceId":%d}`, n) }
func sequence(n int) string { return fmt.Sprintf(`{"type":9,"sequenceId":%d}`, n) }

func say(v any) string { return fmt.Sprintf(`{"type":1,"target":"say","arguments":[%v]}`, v) }

var echoes = hub.Methods{
	"Echo": func(v any) any { return v },
	"Join": func(ctx *hub.Context, group string) error { return ctx.Join(group) },
	"Ask": func(ctx *hub.Context) (int, error) {
		return hub.Invoke[int](ctx, ctx.Clients().Caller(), "m")
	},
	"Sum": func(items iter.Seq2[int, error]) (n int, err error) {
		for i, err := range items {
			if err != nil {
				return 0, err
			}
			n += i
		}
		return n, nil
	},
	"Wait":  func(ctx *hub.Context) { <-ctx.Done() },
	"Abort": func(ctx *hub.Context) { ctx.Abort() },
}

// A recorded trace of a connection that is resumed several times.
func TestResume(t *testing.T) {
	runInFakeTime(t, echoes, hub.Options{StatefulReconnect: true}, func(t *testing.T, h *hub.Hub) {
		s, p := newStateful(t, h)
		p.send(invocation("0", "Echo", 0), invocation("1", "Join", "g"))
		p.expect(`{"type":3,"invocationId":"0","result":0}`, `{"type":3,"invocationId":"1","result":null}`)
		begin := time.Now()
		p.expect(ack(2))
		require.LessOrEqual(t, time.Since(begin), time.Second)
		p.send(ack(2))
		p.send(invocation("2", "Echo", 2)) // the client's third message
		p.expect(`{"type":3,"invocationId":"2","result":2}`)
		p.Kill()
		synctest.Wait()
		require.NoError(t, h.Clients().Group("g").Send("say", 1), "the message is kept until the resume")
		require.NoError(t, h.Clients().Client(s.id).Send("say", 2))

		p = s.resume()
		p.send(invocation("never", "Echo", "before the Sequence"))
		p.send(sequence(3), invocation("2", "Echo", 2), invocation("3", "Echo", 3)) // the third message again, and the fourth
		p.expect(sequence(3), `{"type":3,"invocationId":"2","result":2}`, say(1), say(2))
		p.expect(`{"type":3,"invocationId":"3","result":3}`)
		p.expect(ack(4))
		p.send(ack(6))
		synctest.Wait()
		p.Kill()
		synctest.Wait()

		// All messages are acknowledged, so none is replayed.
		p = s.resume()
		p.send(sequence(5), invocation("4", "Echo", 4))
		p.expect(sequence(7), `{"type":3,"invocationId":"4","result":4}`)

		// The old socket is still open.
		q := s.resume()
		q.send(sequence(6))
		q.expect(sequence(7), `{"type":3,"invocationId":"4","result":4}`)
		q.send(ack(7))
		p.SendText(invocation("old", "Echo", "from the old socket") + "\x1e")
		p.ExpectClose(1000)
		require.NoError(t, h.Clients().All().Send("say", 3))
		q.expect(say(3))
		require.Equal(t, 1, h.Len())

		q.send(`{"type":7}`)
		q.ExpectClose(1000)
		require.Equal(t, http.StatusNotFound, s.status())
	})
}

// Calls, the client's answers and its streams continue over several sockets.
func TestResumeDuringCalls(t *testing.T) {
	runInFakeTime(t, echoes, hub.Options{StatefulReconnect: true}, func(t *testing.T, h *hub.Hub) {
		s, p := newStateful(t, h)
		p.send(`{"type":1,"invocationId":"sum","target":"Sum","arguments":[],"streamIds":["u"]}`, invocation("ask", "Ask"))
		p.expect(`{"type":1,"invocationId":"s1","target":"m","arguments":[]}`)
		sent := 2
		for i := range 5 {
			p.send(fmt.Sprintf(`{"type":2,"invocationId":"u","item":%d}`, i))
			sent++
			p.SendText(`{"type":2,"invocationId":"u","it`) // the part of a record is lost with its socket
			synctest.Wait()
			p.Kill()
			synctest.Wait()
			p = s.resume()
			p.send(sequence(sent))
			p.expect(sequence(1), `{"type":1,"invocationId":"s1","target":"m","arguments":[]}`)
			p.send(fmt.Sprintf(`{"type":2,"invocationId":"u","item":%d}`, i)) // the last one again
		}
		p.send(`{"type":3,"invocationId":"s1","result":7}`, `{"type":3,"invocationId":"u"}`)
		got := []string{p.record(), p.record()}
		require.ElementsMatch(t, []string{`{"type":3,"invocationId":"ask","result":7}`, `{"type":3,"invocationId":"sum","result":10}`}, got)
		p.SendClose(1000, "")
		p.ExpectClose(1000)
	})
}

// The ends after which a connection can be resumed, and the time limit.
func TestResumableEnds(t *testing.T) {
	ended := make(chan error, 1)
	opts := hub.Options{StatefulReconnect: true, Disconnected: func(_ *hub.Context, err error) { ended <- err }}
	for name, end := range map[string]func(t *testing.T, s *stateful, p *peer){
		"the client's close frame": func(_ *testing.T, _ *stateful, p *peer) { p.SendClose(1001, ""); p.ExpectClose(1001) },
		"the client's Close":       func(_ *testing.T, _ *stateful, p *peer) { p.send(`{"type":7}`); p.readToClose(1000) },
		"Abort":                    func(_ *testing.T, _ *stateful, p *peer) { p.send(invocation("", "Abort")); p.readToClose(1000) },
		"malformed":                func(_ *testing.T, _ *stateful, p *peer) { p.send("malformed"); p.readToClose(1000) },
		"a broken socket, 15 s ago": func(t *testing.T, s *stateful, p *peer) {
			p.Kill()
			begin := time.Now()
			err := await(ended)
			require.ErrorContains(t, err, "not resumed")
			require.InDelta(t, 15*time.Second, time.Since(begin), float64(time.Millisecond))
			ended <- err
		},
		"Disconnect between two sockets": func(t *testing.T, s *stateful, p *peer) {
			p.Kill()
			synctest.Wait()
			require.NoError(t, s.h.Clients().Client(s.id).Disconnect())
		},
		"a Sequence above the next number": func(t *testing.T, s *stateful, p *peer) {
			p.Kill()
			synctest.Wait()
			p = s.resume()
			p.send(sequence(2))
			require.Equal(t, closedWithError, p.readToClose(1000))
		},
		"an Ack of a message that was not sent": func(t *testing.T, s *stateful, p *peer) {
			p.send(ack(1))
			require.Equal(t, closedWithError, p.readToClose(1000))
		},
	} {
		t.Run(name, func(t *testing.T) {
			runInFakeTime(t, echoes, opts, func(t *testing.T, h *hub.Hub) {
				s, p := newStateful(t, h)
				synctest.Wait()
				end(t, s, p)
				_ = await(ended) // some ends are not errors
				require.Equal(t, http.StatusNotFound, s.status())
				require.Zero(t, h.Len())
			})
		})
	}
	t.Run("a broken socket, just before 15 s", func(t *testing.T) {
		runInFakeTime(t, echoes, opts, func(t *testing.T, h *hub.Hub) {
			s, p := newStateful(t, h)
			for range 3 {
				p.Kill()
				time.Sleep(15*time.Second - time.Millisecond)
				p = s.resume()
				p.send(sequence(1))
				p.expect(sequence(1))
			}
			require.Empty(t, ended)
			p.send(`{"type":7}`)
			p.readToClose(1000)
			require.NoError(t, await(ended))
		})
	})
}

// A client that requests version 1 in its handshake is not stateful.
func TestVersion1Fallback(t *testing.T) {
	runInFakeTime(t, echoes, hub.Options{StatefulReconnect: true}, func(t *testing.T, h *hub.Hub) {
		k := ticketOf(t, h, "negotiateVersion=1&useStatefulReconnect=true")
		p := dialHandler(t, h, "/hub?id="+k.ConnectionToken).shake()
		p.result("1", "Echo", 1)
		p.call("j", "Join", "g")
		time.Sleep(3 * time.Second)
		require.NoError(t, h.Clients().Group("g").Send("say", 1))
		p.expect(say(1)) // without an Ack before
		s := &stateful{t, h, "/hub?id=" + k.ConnectionToken, k.ConnectionID}
		require.Equal(t, http.StatusConflict, s.status())
		p.Kill()
		synctest.Wait()
		require.Equal(t, http.StatusNotFound, s.status())
	})
}

// At StatefulBuffer results and items wait. Other messages are kept up to the size of the outbox.
func TestStatefulBuffer(t *testing.T) {
	text := strings.Repeat("x", 1000)
	produced := make(chan int, 1000)
	methods := hub.Methods{"Flood": func() iter.Seq2[string, error] {
		return func(yield func(string, error) bool) {
			for i := range 500 {
				if !yield(text, nil) {
					return
				}
				produced <- i
			}
		}
	}}
	ended := make(chan error, 1)
	opts := hub.Options{StatefulReconnect: true, Disconnected: func(_ *hub.Context, err error) { ended <- err }}
	runInFakeTime(t, methods, opts, func(t *testing.T, h *hub.Hub) {
		s, p := newStateful(t, h)
		p.send(streamInvocation("s", "Flood"))
		const each = 1000 + len(`{"type":2,"invocationId":"s","item":""}`) + 1
		const fit = 100_000/each + 1
		for range fit {
			p.record()
		}
		synctest.Wait()
		require.Len(t, produced, fit)
		p.expect(ack(1))
		p.send(ack(10))
		for range 10 {
			p.record()
		}
		synctest.Wait()
		require.Len(t, produced, fit+10)
		p.send(`{"type":5,"invocationId":"s"}`)
		p.send(ack(20))
		for !strings.HasPrefix(p.record(), `{"type":3`) {
		}
		p.Kill()
		synctest.Wait()
		sent := 0
		for ; h.Clients().Client(s.id).Send("say", text) == nil; sent++ {
			require.Less(t, sent, 2000)
		}
		require.Greater(t, sent, 900, "1 MiB")
		require.ErrorIs(t, await(ended), hub.ErrSlowConsumer)
		require.Equal(t, http.StatusNotFound, s.status())
	})
}

// A broken socket does not cancel the calls of a stateful connection. The end of the connection does.
func TestContextSurvivesBrokenSocket(t *testing.T) {
	causes := make(chan error, 1)
	methods := hub.Methods{"Wait": func(ctx *hub.Context) { <-ctx.Done(); causes <- context.Cause(ctx) }}
	runInFakeTime(t, methods, hub.Options{StatefulReconnect: true}, func(t *testing.T, h *hub.Hub) {
		s, p := newStateful(t, h)
		p.send(invocation("1", "Wait"))
		synctest.Wait()
		p.Kill()
		time.Sleep(10 * time.Second)
		require.Empty(t, causes)
		p = s.resume()
		p.send(sequence(2), `{"type":5,"invocationId":"1"}`)
		require.ErrorIs(t, await(causes), hub.ErrCanceled)
		p.send(`{"type":7}`)
		p.readToClose(1000)
	})
}
