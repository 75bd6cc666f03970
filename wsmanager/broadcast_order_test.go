package wsmanager

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// yielding is a transport whose writes let other goroutines run.
type yielding struct{ *fakeTransport }

func (y *yielding) TryWrite(p []byte) (int, error) {
	for range rand.IntN(3) {
		runtime.Gosched()
	}
	return y.fakeTransport.TryWrite(p)
}

// Goroutines broadcast to all, to groups and to users, send directly, join and leave, and
// callbacks with more messages to come run. Every receiver gets the messages of one
// goroutine in the order of its calls. Two receivers get the broadcasts to one set in the
// same order. No message arrives twice, and all messages that were counted as queued
// arrive.
func TestOrderOfEverythingThatIsSent(t *testing.T) {
	const conns, groups, senders, each = 12, 3, 6, 300
	for _, quick := range []bool{false, true} {
		t.Run(fmt.Sprintf("handedOver=%v", quick), func(t *testing.T) {
			m, clock := fakeManager(t, Options{Outbox: Outbox{Messages: 1 << 20, Bytes: 1 << 30}})
			trs := make([]*fakeTransport, conns)
			all := make([]*Conn, conns)
			for i := range all {
				trs[i] = newFakeTransport(1 << 30)
				a := Accept{User: fmt.Sprint("u", i%4), Groups: []string{fmt.Sprint("g", i%groups)}}
				all[i] = m.newConn(fmt.Sprint("c", i), a, nil, "fake")
				all[i].m.register(all[i], a)
				all[i].session().attach(&yielding{trs[i]})
				defer func() { all[i].m.unregister(all[i]); all[i].session().release() }()
			}
			var queued atomic.Int64
			var wg sync.WaitGroup
			for s := range senders {
				wg.Go(func() {
					for n := range each {
						if quick {
							clock.Step(time.Millisecond) // makes batches take time
						}
						c := all[rand.IntN(conns)]
						g := fmt.Sprint("g", rand.IntN(groups))
						text := func(set string) Message { return Text(fmt.Sprintf("%d %d %s", s, n, set)) }
						var sent Sent
						switch rand.IntN(12) {
						case 0, 1:
							sent = m.Broadcast(text("all"))
						case 2:
							sent = m.Group(g).Send(text(g))
						case 3:
							sent = m.Group(g).Except(c.id, c.id, "nobody").Send(text(g))
						case 4:
							sent = m.All().Except(c.id).Send(text("all"))
						case 5:
							u := fmt.Sprint("u", rand.IntN(4))
							sent = m.Users(u).Send(text(u))
						case 6:
							if c.Send(text("direct")) == nil {
								sent.Queued = 1
							}
						case 7:
							_ = c.Join(g)
							_ = c.Leave(fmt.Sprint("g", rand.IntN(groups)))
						case 8:
							end := deferBroadcasts(m)
							sent = m.Broadcast(text("all"))
							runtime.Gosched()
							end()
							m.broadcaster.FlushDeferred()
						case 9:
							union := m.Groups(g, fmt.Sprint("g", rand.IntN(groups)), g, "")
							sent = union.Except(all[rand.IntN(conns)].id).Send(text("union"))
						case 10:
							sent = m.Conns(c.id, all[rand.IntN(conns)].id, c.id).Send(text("ids"))
						case 11:
							_ = m.Users("u0", "u1").Leave(g)
							_ = m.Groups("g0", "g1").Except(c.id).Join(g)
							sent = m.Group(g).Send(text(g))
						}
						queued.Add(int64(sent.Queued))
					}
				})
			}
			wg.Wait()
			m.broadcaster.FlushDeferred()
			awaitNoWriters(t, m)

			inOrder := make(map[string]map[string]int) // for each receiver: positions of the broadcasts, by set
			var arrived int64
			for i, tr := range trs {
				last := make(map[string]int)
				got := tr.frames(t)
				for at, f := range got {
					arrived++
					var n int
					sender, rest, _ := strings.Cut(f, " ")
					_, err := fmt.Sscan(rest, &n)
					require.NoError(t, err)
					if before, ok := last[sender]; ok {
						require.Greater(t, n, before, "receiver %d, sender %s: %q in %q", i, sender, f, got[max(0, at-4):at+1])
					}
					last[sender] = n
					_, set, _ := strings.Cut(rest, " ")
					if set == "direct" || set == "union" || set == "ids" {
						continue
					}
					positions := inOrder[fmt.Sprint(i, " ", set)]
					if positions == nil {
						positions = make(map[string]int)
						inOrder[fmt.Sprint(i, " ", set)] = positions
					}
					positions[f] = len(positions)
				}
			}
			require.Equal(t, queued.Load(), arrived)
			for _, set := range []string{"all", "g0", "g1", "g2", "u0", "u1", "u2", "u3"} {
				for i := range conns {
					for k := range i {
						sameOrder(t, inOrder[fmt.Sprint(i, " ", set)], inOrder[fmt.Sprint(k, " ", set)])
					}
				}
			}
		})
	}
}

// sameOrder checks that a and b have their common messages in the same order.
func sameOrder(t *testing.T, a, b map[string]int) {
	t.Helper()
	byPlace := make([]string, len(a))
	for f, i := range a {
		byPlace[i] = f
	}
	last := -1
	for _, f := range byPlace {
		if i, ok := b[f]; ok {
			require.Greater(t, i, last, f)
			last = i
		}
	}
}
