package hub_test

import (
	"net/http"
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

const statefulQuery = "negotiateVersion=1&useStatefulReconnect=true"

// A client that has read the answer to its handshake can resume, however early it loses its socket and tries again.
func TestCutAfterHandshake(t *testing.T) { onEachDriver(t, testCutAfterHandshake) }

func testCutAfterHandshake(t *testing.T) {
	_, url := serve(t, echoes, hub.Options{StatefulReconnect: true})
	for range 100 {
		target := url + "?id=" + negotiate(t, url, statefulQuery).ConnectionToken
		p := dial(t, target)
		p.send(`{"protocol":"json","version":2}`)
		p.ExpectText("{}\x1e")
		p.Kill()
		p = dial(t, target)
		p.send(sequence(1), invocation("1", "Echo", 1))
		p.expect(sequence(1), `{"type":3,"invocationId":"1","result":1}`)
		p.send(`{"type":7}`)
		p.readToClose(1000)
	}
}

// As with ASP.NET Core, a client that loses its socket before the handshake begins again with its token.
func TestCutBeforeHandshake(t *testing.T) {
	for name, cut := range map[string]func(p *peer){
		"nothing was sent":        func(p *peer) { p.Kill() },
		"half of the handshake":   func(p *peer) { p.SendText(`{"protocol":`); synctest.Wait(); p.Kill() },
		"noticed by the server":   func(p *peer) { p.Kill(); synctest.Wait() },
		"a second before":         func(p *peer) { p.Kill(); time.Sleep(time.Second) },
		"the old socket is alive": func(*peer) {},
	} {
		t.Run(name, func(t *testing.T) {
			var connected, disconnected int
			opts := hub.Options{
				StatefulReconnect: true,
				Connected:         func(*hub.Context) error { connected++; return nil },
				Disconnected:      func(*hub.Context, error) { disconnected++ },
			}
			runInFakeTime(t, echoes, opts, func(t *testing.T, h *hub.Hub) {
				k := ticketOf(t, h, statefulQuery)
				s := &stateful{t, h, "/hub?id=" + k.ConnectionToken, k.ConnectionID}
				for range 5 {
					p := s.resume()
					cut(p)
				}
				p := s.resume()
				p.send(`{"protocol":"json","version":2}`)
				p.expect(`{}`)
				p.send(invocation("1", "Echo", 1))
				p.expect(`{"type":3,"invocationId":"1","result":1}`)
				require.Equal(t, 1, h.Len())
				require.NoError(t, h.Clients().Client(s.id).Send("say", 1))
				p.expect(say(1))
				p.Kill()
				synctest.Wait()
				p = s.resume()
				p.send(sequence(2))
				p.noAcks = true
				p.expect(sequence(1), `{"type":3,"invocationId":"1","result":1}`, say(1))
				p.send(`{"type":7}`)
				p.readToClose(1000)
				synctest.Wait()
				require.Equal(t, http.StatusNotFound, s.status())
				require.Equal(t, []int{1, 1}, []int{connected, disconnected})
				require.Zero(t, h.Len())
			})
		})
	}
}

// A token whose sockets had no handshake expires like one that was not used, and one whose handshake was refused is used.
func TestTokenAfterEarlyEnd(t *testing.T) {
	for name, row := range map[string]struct {
		end   func(p *peer)
		after time.Duration
		query string
	}{
		"15 s later":               {func(p *peer) { p.Kill() }, 15 * time.Second, statefulQuery},
		"the handshake's time-out": {func(p *peer) { p.readToClose(1000) }, 0, statefulQuery},
		"a wrong handshake":        {func(p *peer) { p.send(`{"type":6}`); p.readToClose(1000) }, 0, statefulQuery},
		"a close frame":            {func(p *peer) { p.SendClose(1001, ""); p.ExpectClose(1001) }, 0, statefulQuery},
		"not stateful":             {func(p *peer) { p.Kill() }, 0, "negotiateVersion=1"},
	} {
		t.Run(name, func(t *testing.T) {
			runInFakeTime(t, echoes, hub.Options{StatefulReconnect: true}, func(t *testing.T, h *hub.Hub) {
				k := ticketOf(t, h, row.query)
				s := &stateful{t, h, "/hub?id=" + k.ConnectionToken, k.ConnectionID}
				row.end(s.resume())
				time.Sleep(row.after)
				synctest.Wait()
				require.Equal(t, http.StatusNotFound, s.status())
			})
		})
	}
}

// Of many sockets with one token at the same time, at most one makes a connection.
func TestEarlySocketsAtOnce(t *testing.T) { onEachDriver(t, testEarlySocketsAtOnce) }

func testEarlySocketsAtOnce(t *testing.T) {
	var connected, disconnected atomic.Int64
	h, url := serve(t, echoes, hub.Options{
		StatefulReconnect: true, ResumeWindow: time.Millisecond,
		Connected:    func(*hub.Context) error { connected.Add(1); return nil },
		Disconnected: func(*hub.Context, error) { disconnected.Add(1) },
	})
	const sockets, rounds = 8, 20
	for round := range int64(rounds) {
		target := url + "?id=" + negotiate(t, url, statefulQuery).ConnectionToken
		answers := make(chan string, sockets)
		var wg sync.WaitGroup
		for range sockets {
			p := wstest.Handshake(t, wstest.Request(t, target), nil)
			if status := p.Response.StatusCode; status != http.StatusSwitchingProtocols {
				// A second handshake ends, or has ended, the connection, or it was not resumed in time.
				require.Contains(t, []int{http.StatusConflict, http.StatusNotFound}, status)
				continue
			}
			wg.Go(func() {
				_, _ = p.Conn().Write(wstest.Frame(ws.OpText, true, []byte(`{"protocol":"json","version":2}`+"\x1e"))) // it may have been closed
				if f, err := p.ReadFrame(); err == nil && f.Header.OpCode == ws.OpText {
					answers <- strings.TrimSuffix(string(f.Payload), "\x1e")
				}
				p.Kill()
			})
		}
		wg.Wait()
		close(answers)
		handshakes := 0
		for a := range answers {
			if a == `{}` {
				handshakes++
			}
		}
		require.LessOrEqual(t, handshakes, 1)
		require.LessOrEqual(t, connected.Load(), round+1)
	}
	require.NotZero(t, connected.Load())
	require.Eventually(t, func() bool { return h.Len() == 0 && disconnected.Load() == connected.Load() }, wstest.Patience, time.Millisecond)
}
