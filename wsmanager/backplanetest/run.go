package backplanetest

import (
	"context"
	"testing"
	"time"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// Bus is a bus for one test: a message broker, or a part of one that nobody else uses.
type Bus struct {
	// Node returns the Backplane of one more node, as another process would have it: with
	// a connection of its own, where there are connections. It may return the same one
	// each time if that serves any number of nodes.
	Node func() wsmanager.Backplane

	// Cut breaks the connections of all nodes to the bus, and lets nobody connect until
	// restore is called. nil leaves out what needs it; Run then only closes links, and
	// sees whether new ones work.
	Cut func() (restore func())

	// MaxMessage is the biggest message to try, in bytes. Default: 500,000, which an
	// envelope takes to half of what Options.OutboxBytes allows.
	MaxMessage int

	// Patience is how long is waited for anything that has to happen. Default:
	// wstest.Patience.
	Patience time.Duration
}

// Run checks a Backplane: each guarantee in a subtest of its own. newBus is called for
// each of them, with its testing.TB; what newBus starts it ends in t.Cleanup, after which
// nothing may be left.
func Run(t *testing.T, newBus func(t testing.TB) Bus) {
	for _, g := range guarantees {
		t.Run(g.name, func(t *testing.T) { g.check(t, newBus) })
	}
}

// guarantee is one thing that has to hold.
type guarantee struct {
	name string
	test func(t testing.TB, bus Bus)
}

func (g guarantee) check(t testing.TB, newBus func(testing.TB) Bus) {
	bus := newBus(t)
	if bus.MaxMessage == 0 {
		bus.MaxMessage = 500_000
	}
	if bus.Patience == 0 {
		bus.Patience = wstest.Patience
	}
	g.test(t, bus)
}

// guarantees is all of them.
var guarantees = append(append(append(rawGuarantees, reachGuarantees...), orderGuarantees...), lifeGuarantees...)

// context is as long as the bus's patience.
func (b Bus) context(t testing.TB) (context.Context, context.CancelFunc) {
	t.Helper()
	return context.WithTimeout(context.Background(), b.Patience)
}

// until waits until something holds. Nothing tells of it, so it is asked again and again.
func (b Bus) until(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(b.Patience); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("backplanetest: in vain waited for: %s", what)
		}
	}
}
