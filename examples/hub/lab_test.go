package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/hub"
)

// serveTestHubs serves what the suites in testdata/node need: the example with some methods more
// at /hub, and hubs with other options at /quick/hub and /deflate/hub.
func serveTestHubs(t *testing.T) (url string) {
	t.Helper()
	mux := http.NewServeMux()
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	serve := func(path string, change func(*hub.Options)) *hub.Hub {
		b := newBoard()
		m := methods()
		maps.Copy(m, b.methods())
		maps.Copy(m, labMethods())
		maps.Copy(m, resultMethods())
		maps.Copy(m, typedMethods())
		opts := options(log, b)
		opts.Authenticate = func(_ *http.Request, token string) (hub.Identity, error) {
			if token == "bad" {
				return hub.Identity{}, wsmanager.Reject(http.StatusUnauthorized, "bad token")
			}
			return hub.Identity{User: token}, nil
		}
		opts.Redirect = func(r *http.Request, _ hub.Identity) (string, string, error) {
			if r.URL.Query().Get("refuse") != "" {
				return "", "", hub.Error("not today")
			}
			return r.URL.Query().Get("to"), r.URL.Query().Get("as"), nil
		}
		change(&opts)
		h, err := hub.New(m, opts)
		require.NoError(t, err)
		t.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
			defer cancel()
			require.NoError(t, h.Shutdown(ctx))
		})
		if path != "" {
			mux.Handle(path, h)
			mux.Handle(path+"/", h)
		}
		return h
	}
	handler, err := app(serve("", func(*hub.Options) {}), log).Build()
	require.NoError(t, err)
	mux.Handle("/", handler)
	serve("/quick/hub", func(o *hub.Options) {
		o.KeepAliveInterval, o.ClientTimeout, o.HandshakeTimeout = time.Second, 8*time.Second, 5*time.Second
		o.NegotiationTimeout = 5 * time.Second
	})
	serve("/deflate/hub", func(o *hub.Options) { o.WebSocket.Compression.Enabled = true })
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	return srv.URL
}

// labMethods is what the example has no use for.
func labMethods() hub.Methods {
	return hub.Methods{
		"Half":  func(a float64) float64 { return a / 2 },
		"Void":  func() {},
		"Hide":  func() error { return errors.New("secret") },
		"Panic": func() { panic("secret") },
		"Channel": func(ctx *hub.Context, n int) <-chan int {
			ch := make(chan int)
			go func() {
				defer close(ch)
				for i := range n {
					select {
					case ch <- i:
					case <-ctx.Done():
						return
					}
				}
			}()
			return ch
		},
		"BadStream": func() iter.Seq2[int, error] {
			return func(yield func(int, error) bool) { _ = yield(1, nil) && yield(0, hub.Error("broke")) }
		},
		"Big": func(n, size int) iter.Seq2[string, error] {
			return func(yield func(string, error) bool) {
				for range n {
					if !yield(strings.Repeat("x", size), nil) {
						return
					}
				}
			}
		},
		"SumTo": func(ctx *hub.Context, items iter.Seq2[int, error]) error {
			n, err := sum(items)
			if err != nil {
				return err
			}
			return ctx.Clients().Caller().Send("summed", n)
		},
		"SumTwo": func(a <-chan int, sum int, b <-chan int) int {
			for a != nil || b != nil {
				select {
				case n, ok := <-a:
					if !ok {
						a = nil
					}
					sum += n
				case n, ok := <-b:
					if !ok {
						b = nil
					}
					sum += n
				}
			}
			return sum
		},
		"WhoAmI": func(ctx *hub.Context) string { return ctx.User() },
		"AskAny": func(ctx *hub.Context, method string, args any) (any, error) {
			v, err := hub.Invoke[any](ctx, ctx.Clients().Caller(), method, args)
			var remote *hub.RemoteError
			if errors.As(err, &remote) {
				return nil, hub.Error(remote.Text)
			}
			return v, err
		},
		"Wait": func(ctx *hub.Context) { <-ctx.Done() },
		"Tell": func(ctx *hub.Context, event string, args []any) error {
			return ctx.Clients().Caller().Send(event, args...)
		},
		"Describe": func(x any) (string, error) {
			text, err := json.Marshal(x)
			return string(text), err
		},
	}
}
