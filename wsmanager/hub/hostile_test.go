package hub_test

import (
	"fmt"
	"iter"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

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

// block is a struct that is far larger than its shortest encoding.
type block struct {
	Bytes [2000]byte
	Parts []block
	Next  *block
}

// blocks encodes n of them.
func blocks(n int, element string) string {
	return "[" + strings.Repeat(element+",", n-1) + element + "]"
}

// hostileMethods do with their client's data what methods do.
func hostileMethods() hub.Methods {
	large := strings.Repeat("x", 100_000)
	return hub.Methods{
		"Wait":   func(ctx *hub.Context) { <-ctx.Done() },
		"Text":   func(ctx *hub.Context, _ string) { <-ctx.Done() },
		"Upload": func(ctx *hub.Context, _ iter.Seq2[string, error]) { <-ctx.Done() },
		"Chan":   func(ctx *hub.Context, _ <-chan string) { <-ctx.Done() },
		"Sum": func(items iter.Seq2[string, error]) (n int) {
			for _, err := range items {
				_ = err // only the number of items matters
				n++
			}
			return n
		},
		"Blocks": func(ctx *hub.Context, blocks []block) iter.Seq[int] {
			return func(yield func(int) bool) {
				<-ctx.Done()
				yield(len(blocks))
			}
		},
		"TakeBlocks": func(ctx *hub.Context, items iter.Seq2[[]block, error]) {
			for blocks, err := range items {
				_ = err // the items are valid
				<-ctx.Done()
				runtime.KeepAlive(blocks)
			}
		},
		"ChanOfBlocks": func(ctx *hub.Context, _ <-chan []block) { <-ctx.Done() },
		"AskAbout": func(ctx *hub.Context, blocks []block) (int, error) {
			_, err := hub.Invoke[string](ctx, ctx.Clients().Caller(), "m")
			return len(blocks), err
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
		repeat(send, 400, func(int) string { return invocation("", "Text", strings.Repeat("x", 30_000)) })
	},
	"many arguments": func(send func(...string) bool) {
		repeat(send, 40, func(i int) string {
			return fmt.Sprintf(`{"type":1,"invocationId":"%d","target":"Wait","arguments":[%s0]}`, i, strings.Repeat("0,", 5_000))
		})
	},
	"many streams": func(send func(...string) bool) {
		send(invocation("", "Wait"))
		repeat(send, 40, func(i int) string {
			return fmt.Sprintf(`{"type":1,"invocationId":"%d","target":"Text","arguments":[],"streamIds":[%s""]}`, i, strings.Repeat(`"",`, 5_000))
		})
	},
	"long names": func(send func(...string) bool) {
		send(invocation("", "Wait"))
		repeat(send, 400, func(i int) string { return invocation(fmt.Sprint(i), strings.Repeat("x", 30_000)) })
	},
	"long ids": func(send func(...string) bool) {
		repeat(send, 400, func(i int) string {
			return fmt.Sprintf(`{"type":4,"invocationId":"%d%s","target":"Idle","arguments":[]}`, i, strings.Repeat("x", 30_000))
		})
	},
	"arguments that become large": func(send func(...string) bool) {
		repeat(send, 3000, func(i int) string {
			return fmt.Sprintf(`{"type":4,"invocationId":"%d","target":"Blocks","arguments":[%s]}`, i, blocks(100, "{}"))
		})
	},
	"arguments that become very large": func(send func(...string) bool) {
		repeat(send, 3000, func(i int) string {
			return fmt.Sprintf(`{"type":4,"invocationId":"%d","target":"Blocks","arguments":[%s]}`, i, blocks(10_000, []string{"0", "[]", "{}", `{"Next":{}}`}[i%4]))
		})
	},
	"arguments that become large while their calls wait": func(send func(...string) bool) {
		repeat(send, 3000, func(i int) string {
			return fmt.Sprintf(`{"type":1,"invocationId":"%d","target":"AskAbout","arguments":[%s]}`, i, blocks(200, "null"))
		})
	},
	"items that become large": func(send func(...string) bool) {
		repeat(send, 500, func(i int) string {
			target := []string{"TakeBlocks", "ChanOfBlocks"}[i%2]
			return fmt.Sprintf(`{"type":1,"target":"%s","arguments":[],"streamIds":["%d"]}`, target, i)
		})
		repeat(send, 5000, func(i int) string {
			return fmt.Sprintf(`{"type":2,"invocationId":"%d","item":%s}`, i%200, blocks(100, `{"parts":[{}]}`))
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
		repeat(send, 400, func(i int) string { return invocation(fmt.Sprint(i), "Large") })
	},
	"large questions that nobody reads": func(send func(...string) bool) {
		repeat(send, 400, func(i int) string { return invocation(fmt.Sprint(i), "Ask") })
	},
	"answers that nobody has asked for": func(send func(...string) bool) {
		repeat(send, 400, func(i int) string {
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

// statefulAttacks are those that a stateful connection handles in another way than others.
var statefulAttacks = map[string]bool{
	"items of many uploads": true, "large items that nobody reads": true, "large results that nobody reads": true,
	"large questions that nobody reads": true, "canceled calls": true,
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
			if transport == "WebSocket, stateful" && !statefulAttacks[name] {
				continue
			}
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
					require.Less(t, live()-before, int64(3<<20)) // pools
					// The collection in live has waited for goroutines that were ending, which the runtime counts for a moment.
					require.LessOrEqual(t, runtime.NumGoroutine(), goroutines+2) // the listener of dialHandler, and one of the runtime
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
