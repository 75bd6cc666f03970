package hub_test

import (
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager/hub"
)

// countingClient counts messages as Microsoft's clients do.
type countingClient struct {
	next, latest int
	strict       bool            // the client of .NET does not count items of streams that it does not know
	ended        map[string]bool // streams
	handled      []string        // records that are new
}

func (c *countingClient) read(t *testing.T, record string) {
	var m struct {
		Type         int
		InvocationID string
		SequenceID   int
	}
	require.NoError(t, json.Unmarshal([]byte(record), &m))
	switch {
	case m.Type == 9:
		require.LessOrEqual(t, m.SequenceID, c.next, "the client ends the connection")
		c.next = m.SequenceID
		return
	case m.Type > 5, c.strict && m.Type == 2 && c.ended[m.InvocationID]:
		return
	}
	c.next++
	if c.next-1 <= c.latest {
		return
	}
	c.latest = c.next - 1
	c.handled = append(c.handled, record)
	if m.Type == 3 {
		c.ended[m.InvocationID] = true
	}
}

// Items of a stream that has ended are sent again in a way that each client counts rightly, whether it has read the end of the
// stream before the cut or not, and whether it counts items of streams that it does not know.
func TestReplayOfEndedStreams(t *testing.T) {
	methods := hub.Methods{
		"Stream": func(n int) iter.Seq[int] {
			return func(yield func(int) bool) {
				for i := range n {
					if !yield(i) {
						return
					}
				}
			}
		},
		"Echo": func(v any) any { return v },
	}
	for _, strict := range []bool{false, true} {
		for read := range 11 { // records before the first cut
			t.Run(fmt.Sprintf("strict %v/%d", strict, read), func(t *testing.T) {
				runInFakeTime(t, methods, hub.Options{StatefulReconnect: true}, func(t *testing.T, h *hub.Hub) {
					s, p := newStateful(t, h)
					p.noAcks = true
					c := &countingClient{next: 1, strict: strict, ended: make(map[string]bool)}
					p.send(streamInvocation("a", "Stream", 3), invocation("1", "Echo", 1))
					synctest.Wait()
					p.send(streamInvocation("b", "Stream", 4), invocation("2", "Echo", 2))
					synctest.Wait()
					const all = 3 + 1 + 1 + 4 + 1 + 1
					for range min(read, all) {
						c.read(t, p.record())
					}
					for round := range 3 {
						p.Kill()
						synctest.Wait()
						require.NoError(t, h.Clients().Client(s.id).Send("say", round))
						p = s.resume()
						p.noAcks = true
						p.send(sequence(5))
						synctest.Wait()
						require.NoError(t, h.Clients().Client(s.id).Send("last", round))
						for record := ""; record != fmt.Sprintf(`{"type":1,"target":"last","arguments":[%d]}`, round); {
							record = p.record()
							c.read(t, record)
						}
					}
					p.send(invocation("3", "Echo", 3))
					c.read(t, p.record())
					require.Equal(t, all+3*2+1, c.latest)
					require.Len(t, c.handled, all+3*2+1)
					slices.Sort(c.handled)
					require.Len(t, slices.Compact(c.handled), all+3*2+1, "no record is handled twice")
					p.SendClose(1000, "")
					p.ExpectClose(1000)
				})
			})
		}
	}
}
