package hubtest_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/speakingtube/speakingtube/wsmanager/hub"
	"github.com/speakingtube/speakingtube/wsmanager/hub/hubtest"
)

// kitchen makes the hub under test.
func kitchen() *hub.Hub {
	return hub.MustNew(hub.Methods{
		"Order": func(ctx *hub.Context, dish string) error {
			if dish == "" {
				return hub.Error("Which dish?")
			}
			spicy, err := hub.Invoke[bool](ctx, ctx.Clients().Caller(), "spicy", dish)
			if err != nil {
				return err
			}
			return ctx.Clients().All().Send("ordered", dish, spicy)
		},
	}, hub.Options{StatefulReconnect: true})
}

// The test of a hub, as in a _test.go file.
func ExampleConnect() {
	_ = func(t *testing.T) { // func TestOrder(t *testing.T)
		h := kitchen()
		defer func() { _ = h.Shutdown(context.Background()) }()
		guest, cook := hubtest.Connect(t, h, hubtest.Options{}), hubtest.Connect(t, h, hubtest.Options{})
		guest.On("spicy", func(dish string) bool { return dish == "curry" }) // answers hub.Invoke
		guest.Call("Order", "curry")
		cook.Expect("ordered", "curry", true)
		if text := guest.CallFails("Order", ""); text != "Which dish?" {
			t.Errorf("the guest reads %q", text)
		}
		cook.ExpectNone()
	}
	// Output:
}

// A client is away for ten seconds, which take no time in a bubble.
func ExampleClient_Cut() {
	_ = func(t *testing.T) { // func TestTenSecondsAway(t *testing.T)
		synctest.Test(t, func(t *testing.T) {
			h := kitchen()
			defer func() { _ = h.Shutdown(context.Background()) }()
			c := hubtest.Connect(t, h, hubtest.Options{Stateful: true, Patience: time.Hour})
			c.Cut()
			_ = h.Clients().All().Send("ordered", "rice", false)
			time.Sleep(10 * time.Second)
			c.Resume()
			c.Expect("ordered", "rice", false)
		})
	}
	// Output:
}
