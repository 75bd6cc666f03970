package main

import (
	"context"
	"errors"
	"iter"
	"strings"
	"sync/atomic"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/hub"
)

// maxSent is MaxSendSize of the hub at /extremes/hub.
const maxSent = 100_000

// extremes are the options of the hub at /extremes/hub.
func extremes(o *hub.Options) {
	o.MaxSendSize = maxSent
	o.Disconnected = func(ctx *hub.Context, _ error) {
		group, ok := ctx.Items().Load("farewell")
		if !ok {
			return
		}
		_ = ctx.Clients().Group(group.(string)).Send("left group", ctx.ConnectionID(), ctx.User())
		_ = ctx.Clients().OthersInGroup(group.(string)).Send("left others", ctx.ConnectionID(), ctx.User())
		_ = ctx.Clients().User(ctx.User()).Send("left user", ctx.ConnectionID(), ctx.User())
		_ = ctx.Clients().Caller().Send("left caller") // there is none
	}
}

// extremeMethods are for extremes.mjs and members.mjs.
func extremeMethods() hub.Methods {
	var begun, ended atomic.Int64
	text := func(n int) string { return strings.Repeat("é", n/2) + strings.Repeat("x", n%2) }
	unsent := func(err error) string {
		if errors.Is(err, wsmanager.ErrMessageTooBig) {
			return "too big"
		}
		if err != nil {
			return err.Error()
		}
		return ""
	}
	return hub.Methods{
		"Size": func(s string) int { return len(s) },
		"Text": text,
		"Texts": func(sizes []int) iter.Seq[string] {
			return func(yield func(string) bool) {
				for _, n := range sizes {
					if !yield(text(n)) {
						return
					}
				}
			}
		},
		"AskBig": func(ctx *hub.Context, n int) (string, error) {
			size, err := hub.Invoke[int](ctx, ctx.Clients().Caller(), "size", text(n))
			if err == nil && size != n {
				err = hub.Errorf("%d bytes have arrived", size)
			}
			return unsent(err), nil
		},
		"SendBig": func(ctx *hub.Context, to string, n int) (string, error) {
			all := ctx.Clients()
			receivers := map[string]hub.Receivers{
				"all": all.All(), "group": all.Group("g"), "user": all.User(ctx.User()), "connections": all.Connections(ctx.ConnectionID()),
			}
			if to == "caller" {
				return unsent(all.Caller().Send("big", text(n))), nil
			}
			return unsent(receivers[to].Send("big", text(n))), nil
		},
		"Watch": func(ctx *hub.Context) iter.Seq[int] {
			begun.Add(1)
			return func(func(int) bool) {
				<-ctx.Done()
				if errors.Is(context.Cause(ctx), hub.ErrCanceled) {
					ended.Add(1)
				}
			}
		},
		"Watched": func() []int64 { return []int64{begun.Load(), ended.Load()} },
		"ToUsers": func(ctx *hub.Context, users []string, msg string) error {
			return ctx.Clients().Users(users...).Send("message", ctx.ConnectionID(), msg)
		},
		"Farewell": func(ctx *hub.Context, group string) error {
			ctx.Items().Store("farewell", group)
			return ctx.Join(group)
		},
	}
}
