package hub_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/hub"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// attacker is a client that sends what it wants, as fast as the hub takes it. It reads nothing after its handshake.
type attacker interface {
	// send sends records, and reports whether the connection still takes any.
	send(records ...string) bool

	// vanish ends the connection without saying so.
	vanish()
}

// attackTransports open a connection of an attacker. Each attack runs over each of them.
var attackTransports = map[string]func(t *testing.T, h *hub.Hub) attacker{
	"WebSocket": func(t *testing.T, h *hub.Hub) attacker {
		return &socketAttacker{dialHandler(t, h, "/hub").shake(), 1 << 20}
	},
	"WebSocket, stateful": func(t *testing.T, h *hub.Hub) attacker {
		_, p := newStateful(t, h)
		return &socketAttacker{p, 1 << 20}
	},
}

type socketAttacker struct {
	p     *peer
	piece int // bytes in a WebSocket message
}

func (a *socketAttacker) send(records ...string) bool {
	data := []byte(strings.Join(records, "\x1e") + "\x1e")
	var frames []byte
	for len(data) > 0 {
		n := min(a.piece, len(data))
		frames = append(frames, wstest.Frame(ws.OpText, true, data[:n])...)
		data = data[n:]
	}
	_, err := a.p.Conn().Write(frames)
	return err == nil
}

func (a *socketAttacker) vanish() { a.p.Kill() }

// hostileMethods do with their client's data what methods do.
func hostileMethods() hub.Methods {
	large := strings.Repeat("x", 100_000)
	return hub.Methods{
		"Wait":   func(ctx *hub.Context) { <-ctx.Done() },
		"Text":   func(ctx *hub.Context, _ string) { <-ctx.Done() },
		"Upload": func(ctx *hub.Context, _ iter.Seq2[string, error]) { <-ctx.Done() },
		"Chan":   func(ctx *hub.Context, _ <-chan string) { <-ctx.Done() },
		"Sum": func(items iter.Seq2[string, error]) (n int) {
			for range items {
				n++
			}
			return n
		},
		"Large": func() string { return large },
		"Idle":  func(ctx *hub.Context) iter.Seq[string] { return func(func(string) bool) { <-ctx.Done() } },
		"Flood": func() iter.Seq[string] {
			return func(yield func(string) bool) {
				for yield(large) {
				}
			}
		},
		"Ask": func(ctx *hub.Context) (string, error) {
			return hub.Invoke[string](ctx, ctx.Clients().Caller(), "m", large)
		},
	}
}

// Attacks with records that a client may send. Each sends until the hub takes no more, or has taken a lot.
var attacks = map[string]func(send func(records ...string) bool){
	"items that no method takes": func(send func(...string) bool) {
		send(`{"type":1,"target":"Upload","arguments":[],"streamIds":["u"]}`)
		repeat(send, 1000, func(int) string { return `{"type":2,"invocationId":"u","item":"` + strings.Repeat("x", 30_000) + `"}` })
	},
	"items of many uploads": func(send func(...string) bool) {
		repeat(send, 1000, func(i int) string {
			return fmt.Sprintf(`{"type":1,"target":"Chan","arguments":[],"streamIds":["%d"]}`, i)
		})
		repeat(send, 2000, func(i int) string {
			return fmt.Sprintf(`{"type":2,"invocationId":"%d","item":"%s"}`, i%1000, strings.Repeat("x", 10_000))
		})
	},
	"small items of many uploads": func(send func(...string) bool) {
		repeat(send, 1000, func(i int) string {
			return fmt.Sprintf(`{"type":1,"target":"Upload","arguments":[],"streamIds":["%d"]}`, i)
		})
		repeat(send, 20_000, func(i int) string { return fmt.Sprintf(`{"type":2,"invocationId":"%d","item":""}`, i%1000) })
	},
	"ends of uploads with long errors": func(send func(...string) bool) {
		repeat(send, 1000, func(i int) string {
			return fmt.Sprintf(`{"type":1,"target":"Upload","arguments":[],"streamIds":["%d"]}`, i)
		})
		repeat(send, 1000, func(i int) string {
			return fmt.Sprintf(`{"type":3,"invocationId":"%d","error":"%s"}`, i, strings.Repeat("x", 30_000))
		})
	},
	"long arguments": func(send func(...string) bool) {
		repeat(send, 500, func(int) string { return invocation("", "Text", strings.Repeat("x", 30_000)) })
	},
	"many arguments": func(send func(...string) bool) {
		repeat(send, 100, func(i int) string {
			return fmt.Sprintf(`{"type":1,"invocationId":"%d","target":"Wait","arguments":[%s0]}`, i, strings.Repeat("0,", 5_000))
		})
	},
	"many streams": func(send func(...string) bool) {
		send(invocation("", "Wait"))
		repeat(send, 100, func(i int) string {
			return fmt.Sprintf(`{"type":1,"invocationId":"%d","target":"Text","arguments":[],"streamIds":[%s""]}`, i, strings.Repeat(`"",`, 5_000))
		})
	},
	"long names": func(send func(...string) bool) {
		send(invocation("", "Wait"))
		repeat(send, 500, func(i int) string { return invocation(fmt.Sprint(i), strings.Repeat("x", 30_000)) })
	},
	"long ids": func(send func(...string) bool) {
		repeat(send, 500, func(i int) string {
			return fmt.Sprintf(`{"type":4,"invocationId":"%d%s","target":"Idle","arguments":[]}`, i, strings.Repeat("x", 30_000))
		})
	},
	"idle streams": func(send func(...string) bool) {
		repeat(send, 5000, func(i int) string {
			return fmt.Sprintf(`{"type":4,"invocationId":"%d","target":"Idle","arguments":[]}`, i)
		})
	},
	"large items that nobody reads": func(send func(...string) bool) {
		repeat(send, 1000, func(i int) string {
			return fmt.Sprintf(`{"type":4,"invocationId":"%d","target":"Flood","arguments":[]}`, i)
		})
	},
	"large results that nobody reads": func(send func(...string) bool) {
		repeat(send, 500, func(i int) string { return invocation(fmt.Sprint(i), "Large") })
	},
	"large questions that nobody reads": func(send func(...string) bool) {
		repeat(send, 500, func(i int) string { return invocation(fmt.Sprint(i), "Ask") })
	},
	"answers that nobody has asked for": func(send func(...string) bool) {
		repeat(send, 500, func(i int) string {
			return fmt.Sprintf(`{"type":3,"invocationId":"s%d","result":"%s"}`, i, strings.Repeat("x", 30_000))
		})
	},
	"a record that does not end": func(send func(...string) bool) {
		send(strings.Repeat(`{"type":1,"target":"`, 1000))
	},
	"canceled calls": func(send func(...string) bool) {
		repeat(send, 5000, func(i int) string {
			return fmt.Sprintf(`{"type":4,"invocationId":"%d","target":"Flood","arguments":[]}`+"\x1e"+`{"type":5,"invocationId":"%d"}`, i, i)
		})
	},
}

func repeat(send func(...string) bool, n int, record func(i int) string) {
	for i := range n {
		if !send(record(i)) {
			return
		}
	}
}

// maxHostileHeap bounds the live memory that one connection may cause: 1 MiB that waits in the hub, as much that the
// WebSocket has read ahead, 1 MiB that waits to be sent and again its copy in the outbox, and stacks.
const maxHostileHeap = 8 << 20

// live returns the bytes of the heap and the stacks that are in use.
func live() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

// However much a client sends and however little it reads, the memory of its connection is bounded. When it has vanished,
// the connection ends, whatever waits, and memory and goroutines return.
func TestHostileClients(t *testing.T) {
	for transport, open := range attackTransports {
		for name, attack := range attacks {
			t.Run(transport+"/"+name, func(t *testing.T) {
				ended := 0
				opts := hub.Options{
					StatefulReconnect: true, MaxParallelCalls: 100,
					Disconnected: func(*hub.Context, error) { ended++ },
				}
				runInFakeTime(t, hostileMethods(), opts, func(t *testing.T, h *hub.Hub) {
					first := open(t, h) // fills the pools
					first.vanish()
					time.Sleep(time.Minute)
					synctest.Wait()
					ended = 0
					goroutines, before := runtime.NumGoroutine(), live()
					a := open(t, h)
					var sent atomic.Int64
					attacked := make(chan struct{})
					go func() {
						defer close(attacked)
						attack(func(records ...string) bool {
							ok := a.send(records...)
							sent.Add(int64(len(strings.Join(records, "\x1e"))))
							return ok
						})
					}()
					time.Sleep(2 * time.Second) // of the bubble: everything that can happen has happened
					synctest.Wait()
					during := live()
					require.Less(t, during-before, int64(maxHostileHeap), "%d bytes were sent", sent.Load())

					a.vanish()
					<-attacked
					time.Sleep(time.Minute)
					synctest.Wait()
					require.Zero(t, h.Len())
					require.Equal(t, 1, ended)
					require.LessOrEqual(t, runtime.NumGoroutine(), goroutines+2) // the listener of dialHandler, and one of the runtime
					require.Less(t, live()-before, int64(3<<20))                 // pools
				})
			})
		}
	}
}

// The hub works in proportion to the bytes that it gets: what it allocates for each is bounded, however they are cut.
func TestHostileClientsCostLittle(t *testing.T) {
	record := invocation("", "Text", strings.Repeat("x", 30_000))
	for _, piece := range []int{1 << 20, 1000, 7, 1} {
		runInFakeTime(t, hub.Methods{"Text": func(string) {}}, hub.Options{}, func(t *testing.T, h *hub.Hub) {
			a := &socketAttacker{dialHandler(t, h, "/hub").shake(), piece}
			a.send(record) // pools are filled
			synctest.Wait()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			const n = 4
			for range n {
				a.send(record)
			}
			synctest.Wait()
			runtime.ReadMemStats(&after)
			perByte := float64(after.TotalAlloc-before.TotalAlloc) / float64(n*len(record))
			require.Less(t, perByte, 200.0, "messages of %d bytes", piece) // most of it are the frames of the attacker
			a.vanish()
		})
	}
}

// A connection that is resumed over and over makes the hub send its buffer a few times only.
func TestHostileResumes(t *testing.T) {
	methods := hub.Methods{"Large": func() string { return strings.Repeat("x", 90_000) }}
	runInFakeTime(t, methods, hub.Options{StatefulReconnect: true}, func(t *testing.T, h *hub.Hub) {
		s, p := newStateful(t, h)
		p.send(invocation("1", "Large"))
		synctest.Wait()
		p.Kill()
		synctest.Wait()
		read, refused := 0, 0
		for range 1000 {
			if refused > 0 {
				require.Equal(t, http.StatusTooManyRequests, s.status())
				refused++
				continue
			}
			if read > 3<<20 && s.status() == http.StatusTooManyRequests {
				refused++
				continue
			}
			p := s.resume()
			p.send(sequence(2))
			p.expect(sequence(1))
			read += len(p.record())
			p.Kill()
			synctest.Wait()
		}
		require.Greater(t, refused, 900)
		require.Less(t, read, 6<<20)
		time.Sleep(time.Minute)
		require.Zero(t, h.Len())
	})
}

// The bubbles above know no kernel. A client that leaves while its reader waits ends its connection also over TCP, with FIN
// and with RST, on both drivers, behind items and behind calls, stateful or not.
func TestConnectionEndsWhileItsReaderWaits(t *testing.T) {
	onEachDriver(t, testConnectionEndsWhileItsReaderWaits)
}

func testConnectionEndsWhileItsReaderWaits(t *testing.T) {
	upload := `{"type":1,"invocationId":"u","target":"Upload","arguments":[],"streamIds":["1"]}`
	for name, records := range map[string][]string{
		"items": append([]string{upload}, times(14, `{"type":2,"invocationId":"1","item":"x"}`)...),
		"calls": times(30, `{"type":1,"target":"Wait","arguments":[]}`),
	} {
		for _, stateful := range []bool{false, true} {
			for _, reset := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/stateful %v/reset %v", name, stateful, reset), func(t *testing.T) {
					t.Parallel()
					ended := make(chan error, 2)
					h, url := serve(t, hostileMethods(), hub.Options{
						StatefulReconnect: true, ResumeWindow: 50 * time.Millisecond, MaxPendingCalls: 10,
						Disconnected: func(_ *hub.Context, err error) { ended <- err },
					})
					var p *peer
					if stateful {
						k := negotiate(t, url, "negotiateVersion=1&useStatefulReconnect=true")
						p = dial(t, url+"?id="+k.ConnectionToken)
						p.send(`{"protocol":"json","version":2}`)
						p.expect(`{}`)
					} else {
						p = connect(t, url)
					}
					p.send(records...)
					p.send(`{"type":6}`)
					if tcp, ok := p.Conn().(*net.TCPConn); ok && reset {
						require.NoError(t, tcp.SetLinger(0))
					}
					require.NoError(t, p.Conn().Close())
					require.Error(t, awaitValue(t, ended))
					require.Zero(t, h.Len())
					require.Empty(t, ended)
				})
			}
		}
	}
}

func times(n int, record string) (records []string) {
	for range n {
		records = append(records, record)
	}
	return records
}

// A client in Go ends its connection when the server disappears while a handler waits and further calls of the server wait
// for it.
func TestConnectionOfClientEndsWhileItsReaderWaits(t *testing.T) {
	onEachDriver(t, testConnectionOfClientEndsWhileItsReaderWaits)
}

func testConnectionOfClientEndsWhileItsReaderWaits(t *testing.T) {
	for _, stateful := range []bool{false, true} {
		t.Run(fmt.Sprintf("stateful %v", stateful), func(t *testing.T) {
			h, url := serve(t, testMethods(nil), hub.Options{StatefulReconnect: stateful})
			var line cable
			began, release := make(chan bool, 100), make(chan bool)
			reconnecting := make(chan error, 1)
			c := client(t, url, hub.DialOptions{
				StreamBuffer: 2, StatefulReconnect: stateful, ReconnectDelays: []time.Duration{time.Hour},
				WebSocket:      wsmanager.DialOptions{Network: wsmanager.Network{Dial: line.dial}},
				Handlers:       hub.Methods{"wait": func() { began <- true; <-release }},
				OnReconnecting: func(err error) { reconnecting <- err },
			})
			require.NoError(t, c.Call(testContext(t), "Void")) // broadcasts reach the client
			for range 20 {
				require.NoError(t, h.Clients().All().Send("wait"))
			}
			awaitValue(t, began)
			line.kill(true)
			line.cut()
			require.Error(t, awaitValue(t, reconnecting))
			require.False(t, c.Connected())
			close(release)
			end(t, c)
		})
	}
}

// A client in Go bounds what a hostile server makes it hold.
func TestHostileServers(t *testing.T) {
	for name, record := range map[string]string{
		"calls":          `{"type":1,"target":"wait","arguments":["` + strings.Repeat("x", 30_000) + `"]}`,
		"many arguments": `{"type":1,"target":"wait","arguments":[` + strings.Repeat("0,", 5_000) + `0]}`,
		"many streams":   `{"type":1,"target":"wait","arguments":[""],"streamIds":[` + strings.Repeat(`"",`, 5_000) + `""]}`,
		"questions":      `{"type":1,"invocationId":"1","target":"nothing","arguments":["` + strings.Repeat("x", 30_000) + `"]}`,
		"items":          `{"type":2,"invocationId":"1","item":"` + strings.Repeat("x", 30_000) + `"}`,
		"small items":    strings.Repeat(`{"type":2,"invocationId":"1","item":0}`+"\x1e", 100) + `{"type":6}`,
		"sequences":      strings.Repeat(`{"type":9,"sequenceId":1}`+"\x1e", 100) + `{"type":6}`,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				quiet := slog.New(slog.DiscardHandler)
				m := wsmanager.MustNew(wsmanager.Callbacks{OnMessage: func(c *wsmanager.Conn, msg wsmanager.Message) error {
					if !strings.Contains(string(msg.Payload), "protocol") {
						return nil
					}
					return errors.Join(c.Send(wsmanager.Text("{}\x1e")), attackClient(c, record))
				}}, wsmanager.Options{Logger: quiet, Driver: wsmanager.DriverGoroutine})
				l := wstest.Listen(64 << 10)
				srv := &http.Server{Handler: m}
				go func() { _ = srv.Serve(l) }() // returns at the end
				before := live()
				c, err := hub.Dial(t.Context(), "http://hub/", hub.DialOptions{
					SkipNegotiation: true, ReceiveBuffer: 2 << 20, ReconnectDelays: []time.Duration{}, Logger: quiet,
					WebSocket: wsmanager.DialOptions{Network: wsmanager.Network{Dial: func(context.Context, string, string) (net.Conn, error) { return l.Dial() }}},
					Handlers:  hub.Methods{"wait": func(ctx context.Context, _ string) { <-ctx.Done() }},
				})
				require.NoError(t, err)
				go func() {
					for range hub.Stream[string](t.Context(), c, "Stream") {
						<-c.Done() // takes one item only
					}
				}()
				time.Sleep(2 * time.Second)
				synctest.Wait()
				require.Less(t, live()-before, int64(maxHostileHeap+4<<20))
				c.Close()
				<-c.Done()
				_ = m.Shutdown(t.Context()) // the client may not have answered the close
				require.NoError(t, srv.Close())
				synctest.Wait()
			})
		})
	}
}

// attackClient sends records until the client takes no more.
func attackClient(c *wsmanager.Conn, record string) error {
	go func() {
		for range 400 {
			if c.SendContext(c.Context(), wsmanager.Text(record+"\x1e")) != nil {
				return
			}
		}
	}()
	return nil
}
