package hub_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net/http/httptest"

	"github.com/speakingtube/speakingtube/wsmanager/hub"
)

// serveKitchen serves a hub until done is called.
func serveKitchen() (url string, done func()) {
	h := hub.MustNew(hub.Methods{
		"Add": func(a, b int) int { return a + b },
		"Order": func(ctx *hub.Context, dish string) error {
			if dish == "" {
				return hub.Error("Which dish?")
			}
			well, err := hub.Invoke[bool](ctx, ctx.Clients().Caller(), "spicy", dish)
			if err != nil {
				return err
			}
			return ctx.Clients().All().Send("ordered", dish, well)
		},
		"Countdown": func(from int) iter.Seq[int] {
			return func(yield func(int) bool) {
				for ; from > 0 && yield(from); from-- {
				}
			}
		},
		"Sum": func(items iter.Seq2[int, error]) (sum int, err error) {
			for n, err := range items {
				if err != nil {
					return 0, err
				}
				sum += n
			}
			return sum, nil
		},
	}, hub.Options{Logger: slog.New(slog.DiscardHandler)})
	srv := httptest.NewServer(h)
	return srv.URL, func() {
		_ = h.Shutdown(context.Background())
		srv.Close()
	}
}

// A client that calls a hub and is called by it.
func ExampleDial() {
	url, done := serveKitchen()
	defer done()
	ctx := context.Background()
	ordered := make(chan string)
	c, err := hub.Dial(ctx, url, hub.DialOptions{Handlers: hub.Methods{
		"spicy":   func(dish string) bool { return dish == "curry" }, // the hub calls the handler "spicy"
		"ordered": func(dish string, spicy bool) { ordered <- fmt.Sprint(dish, ", spicy: ", spicy) },
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	sum, err := hub.Invoke[int](ctx, c, "Add", 40, 2)
	fmt.Println(sum, err)
	err = c.Send(ctx, "Order", "curry") // does not wait for an answer
	fmt.Println(<-ordered, err)

	var refused *hub.RemoteError
	if err := c.Call(ctx, "Order", ""); errors.As(err, &refused) {
		fmt.Println(refused.Text)
	}
	c.Close()
	<-c.Done()
	fmt.Println(c.Err())
	// Output:
	// 42 <nil>
	// curry, spicy: true <nil>
	// Which dish?
	// <nil>
}

// A stream of results, and a stream as an argument.
func ExampleStream() {
	url, done := serveKitchen()
	defer done()
	ctx := context.Background()
	c, err := hub.Dial(ctx, url, hub.DialOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	for n, err := range hub.Stream[int](ctx, c, "Countdown", 1000) {
		if err != nil {
			fmt.Println(err)
			return
		}
		if n == 997 {
			break // the hub stops
		}
		fmt.Println(n)
	}
	items := make(chan int)
	go func() {
		defer close(items)
		for n := range 10 {
			items <- n
		}
	}()
	sum, err := hub.Invoke[int](ctx, c, "Sum", items)
	fmt.Println(sum, err)
	// Output:
	// 1000
	// 999
	// 998
	// 45 <nil>
}

// All mistakes are reported at once.
func ExampleDial_mistakes() {
	_, err := hub.Dial(context.Background(), "example.com/hub", hub.DialOptions{
		Handlers:          hub.Methods{"said": func(*hub.Context, string) {}},
		SkipNegotiation:   true,
		StatefulReconnect: true,
	})
	fmt.Println(err)
	// Output:
	// hub: DialOptions.SkipNegotiation and StatefulReconnect are set: a connection without a negotiation cannot be resumed
	// hub: the URL has the scheme "": it must be http, https, ws or wss
	// hub: Methods["said"]: takes a *Context, which only hubs have: take a context.Context
}
