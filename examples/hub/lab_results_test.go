package main

import (
	"context"
	"iter"
	"time"

	"github.com/speakingtube/speakingtube/wsmanager/hub"
)

// resultMethods invoke methods of clients, for results.mjs. Their errors are for the test.
func resultMethods() hub.Methods {
	return hub.Methods{
		"AskAs": func(ctx *hub.Context, kind, method string) (any, error) {
			v, err := askAs(ctx, ctx.Clients().Caller(), kind, method)
			return v, public(err)
		},
		"AskWithin": func(ctx *hub.Context, method string, milliseconds int) (any, error) {
			limited, cancel := context.WithTimeout(ctx, time.Duration(milliseconds)*time.Millisecond)
			defer cancel()
			v, err := hub.Invoke[any](limited, ctx.Clients().Caller(), method)
			return v, public(err)
		},
		"AskOther": func(ctx *hub.Context, id, method string, arg any) (any, error) {
			v, err := hub.Invoke[any](ctx, ctx.Clients().Client(id), method, arg)
			return v, public(err)
		},
		"AskForItems": func(ctx *hub.Context, n int) iter.Seq2[int, error] {
			return func(yield func(int, error) bool) {
				for i := range n {
					v, err := hub.Invoke[int](ctx, ctx.Clients().Caller(), "item", i)
					if !yield(v, public(err)) || err != nil {
						return
					}
				}
			}
		},
	}
}

func askAs(ctx context.Context, c hub.Client, kind, method string) (any, error) {
	switch kind {
	case "number":
		return hub.Invoke[int](ctx, c, method)
	case "fraction":
		return hub.Invoke[float64](ctx, c, method)
	case "text":
		return hub.Invoke[string](ctx, c, method)
	case "flag":
		return hub.Invoke[bool](ctx, c, method)
	case "list":
		return hub.Invoke[[]string](ctx, c, method)
	case "object":
		type object struct {
			Name string `json:"name"`
			More []int  `json:"more"`
		}
		return hub.Invoke[object](ctx, c, method)
	case "bytes":
		return hub.Invoke[[]byte](ctx, c, method)
	case "time":
		return hub.Invoke[time.Time](ctx, c, method)
	case "pointer":
		return hub.Invoke[*int](ctx, c, method)
	default:
		return hub.Invoke[any](ctx, c, method)
	}
}

// public makes an error whose text the client reads.
func public(err error) error {
	if err == nil {
		return nil
	}
	return hub.Error(err.Error())
}
