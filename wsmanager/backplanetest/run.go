package backplanetest

import (
	"context"
	"testing"
	"time"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// Bus is the bus for one test: a message broker, or a part of one that nothing else uses.
type Bus struct {
	// Node returns the Backplane of one more node, as another process would have it, with
	// its own connection if the bus has connections. It may return the same Backplane each
	// time if that serves any number of nodes.
	Node func() wsmanager.Backplane

	// Cut breaks the connections of all nodes to the bus, and refuses new ones until
	// restore is called. If it is nil, the tests that need it are skipped; Run then only
	// closes links and checks that new ones work.
	Cut func() (restore func())

	// MaxMessage is the size of the biggest message to try, in bytes. Default: 500,000,
	// which makes an envelope of half the default of Options.Outbox.Bytes.
	MaxMessage int

	// Patience is the time limit of each wait. Default: wstest.Patience.
	Patience time.Duration
}

// Run checks a Backplane: each guarantee in a subtest. newBus is called once for each, with
// the subtest's testing.TB. It has to end everything that it starts with t.Cleanup; no goroutine
// may be left afterwards.
func Run(t *testing.T, newBus func(t testing.TB) Bus) {
	for _, g := range guarantees {
		t.Run(g.name, func(t *testing.T) { g.check(t, newBus) })
	}
}

// guarantee is one property that must hold.
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
var guarantees = append(append(append(linkGuarantees, deliveryGuarantees...), orderGuarantees...), lifecycleGuarantees...)

// context returns a context that ends after the bus's patience.
func (b Bus) context(t testing.TB) (context.Context, context.CancelFunc) {
	t.Helper()
	return context.WithTimeout(context.Background(), b.Patience)
}

// eventually polls until holds returns true, because nothing notifies of it.
func (b Bus) eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(b.Patience); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("backplanetest: waited too long for: %s", what)
		}
	}
}
