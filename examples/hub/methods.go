package main

import (
	"context"
	"iter"
	"time"

	"github.com/speakingtube/speakingtube/wsmanager/hub"
)

// methods is one of each kind, to try a client with.
func methods() hub.Methods {
	return hub.Methods{
		"Echo":    func(x hub.Raw) hub.Raw { return x }, // unchanged, with all digits
		"Add":     func(a, b int) int { return a + b },
		"Fail":    func() error { return hub.Error("boom") },
		"Counter": counter,
		"Sum":     sum,
		"Broadcast": func(ctx *hub.Context, msg hub.Raw) error {
			return message.Send(ctx.Clients().All(), ctx.ConnectionID(), msg)
		},
		"JoinGroup": func(ctx *hub.Context, group string) error { return ctx.Join(group) },
		"ToGroup": func(ctx *hub.Context, group string, msg hub.Raw) error {
			return message.Send(ctx.Clients().Group(group), ctx.ConnectionID(), msg)
		},
		"AskClient": askClient,
		"Abort":     func(ctx *hub.Context) { ctx.Abort() },
	}
}

// counter streams 0 to n-1, with a pause of delay milliseconds after each.
func counter(ctx context.Context, n, delay int) iter.Seq2[int, error] {
	return func(yield func(int, error) bool) {
		for i := range n {
			if !yield(i, nil) {
				return // the client has enough, or is gone
			}
			if err := pause(ctx, delay); err != nil {
				yield(0, err)
				return
			}
		}
	}
}

// pause waits some milliseconds, or until ctx ends.
func pause(ctx context.Context, milliseconds int) error {
	if milliseconds <= 0 {
		return context.Cause(ctx)
	}
	timer := time.NewTimer(time.Duration(milliseconds) * time.Millisecond)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// sum adds up what the client streams.
func sum(items iter.Seq2[int, error]) (int, error) {
	total := 0
	for n, err := range items {
		if err != nil {
			return 0, err
		}
		total += n
	}
	return total, nil
}

// askClient lets the client do the sum. It may never answer.
func askClient(ctx *hub.Context, a, b int) (int, error) {
	limited, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	return clientAdd.Invoke(limited, ctx.Clients().Caller(), a, b)
}
