package backplanetest

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
)

// Envelopes of different nodes may overtake each other, those of one node may not.
func TestFaultsDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := &wsmanager.LocalBus{}
		c := newCluster(t, Bus{Node: func() wsmanager.Backplane { return bus }, Patience: time.Hour}, 3)
		to := c.nodes[2].dial(nil)
		c.faults[0].Delay(func() time.Duration { return time.Second })
		c.faults[1].Delay(func() time.Duration { return rand.N(10 * time.Millisecond) })
		begin := time.Now()
		c.nodes[0].Broadcast(wsmanager.Text("slow"))
		for i := range 100 {
			c.nodes[1].Broadcast(wsmanager.Text(fmt.Sprint(i)))
		}
		for i := range 100 {
			to.ExpectText(fmt.Sprint(i))
		}
		require.Less(t, time.Since(begin), time.Second)
		to.ExpectText("slow")
		require.Equal(t, time.Second, time.Since(begin))
		c.faults[0].Delay(nil)
		c.nodes[0].Broadcast(wsmanager.Text("quick"))
		to.ExpectText("quick")
	})
}

// All guarantees hold on a bus that delivers late, with different delays for each node.
func TestGuaranteesHoldWithDelays(t *testing.T) {
	late := []string{"a broadcast reaches every connection once", "a group's members are reached wherever they are", "exceptions hold on every node", "a connection joins and leaves by its id", "the messages of one node keep their order", "Shutdown publishes the queue", "nothing is left after Shutdown", "messages of every size arrive"}
	for _, g := range guarantees {
		for _, name := range late {
			if g.name != name {
				continue
			}
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					g.check(t, func(testing.TB) Bus {
						bus := &wsmanager.LocalBus{}
						return Bus{Patience: time.Hour, Node: func() wsmanager.Backplane {
							f := NewFaults(bus)
							f.Delay(func() time.Duration { return rand.N(100 * time.Millisecond) })
							return f
						}}
					})
				})
			})
		}
	}
}

func TestFaultsLose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := &wsmanager.LocalBus{}
		c := newCluster(t, Bus{Node: func() wsmanager.Backplane { return bus }, Patience: time.Hour}, 2)
		to := c.nodes[1].dial(nil)
		n := 0
		c.faults[0].Lose(func() bool { n++; return n%2 == 0 })
		for i := range 10 {
			c.nodes[0].Broadcast(wsmanager.Text(fmt.Sprint(i)))
		}
		for i := 0; i < 10; i += 2 {
			to.ExpectText(fmt.Sprint(i))
		}
	})
}
