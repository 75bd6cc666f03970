//go:build linux

package evloop_test

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager/internal/evloop"
)

var errBoom = errors.New("boom")

// A handler that panics or ends its goroutine loses its socket; the loop continues.
func TestHandlerFails(t *testing.T) {
	failures := map[string]struct {
		fail func()
		want error
	}{
		"panic":  {func() { panic(errBoom) }, errBoom},
		"goexit": {runtime.Goexit, evloop.ErrGoexit},
	}
	handlers := map[string]func(c *conn, fail func()){
		"Data":     func(c *conn, fail func()) { c.data = func(*conn, []byte) bool { fail(); return true } },
		"Kicked":   func(c *conn, fail func()) { c.kick = func(*conn) { fail() } },
		"Writable": func(c *conn, fail func()) { c.writable = func(*conn) { fail() } },
	}
	for failure, f := range failures {
		for handler, set := range handlers {
			for name, mode := range modes {
				if handler == "Data" && mode == evloop.Detached {
					continue // the handler is in Data
				}
				t.Run(fmt.Sprint(failure, "/", handler, "/", name), func(t *testing.T) {
					l := newLoop(t, evloop.Options{})
					other := add(t, l, echo())
					c := &conn{}
					client, release := inMode(t, l, c, mode)
					c.set(func() { set(c, f.fail) })
					switch handler {
					case "Data":
						send(t, client, "x")
					case "Kicked":
						c.Kick()
					case "Writable":
						require.NoError(t, c.WantWritable())
						if mode == evloop.Detached {
							// The owner ends the socket after Data.
							eventually(t, func() bool { _, err := c.Write([]byte("x")); return err != nil }, "it is shut")
						}
					}
					release()
					err := await(t, c.ended)
					require.ErrorIs(t, err, f.want)
					var p *evloop.PanicError
					if errors.As(err, &p) {
						require.Contains(t, string(p.Stack), "failure_test.go")
					}
					send(t, other, "hello")
					require.Equal(t, "hello", receive(t, other, 5))
					eventually(t, func() bool { s := l.Stats(); return s.Sockets == 1 && s.Goroutines == 1 }, "nothing is left of it")
				})
			}
		}
	}
}

func TestEndFails(t *testing.T) {
	for failure, fail := range map[string]func(){"panic": func() { panic(errBoom) }, "goexit": runtime.Goexit} {
		for name, mode := range modes {
			t.Run(failure+"/"+name, func(t *testing.T) {
				logged := make(chan string, 10)
				l := newLoop(t, evloop.Options{Logf: func(format string, args ...any) { logged <- fmt.Sprintf(format, args...) }})
				other := add(t, l, echo())
				c := &conn{end: func(*conn, error) { fail() }}
				client, release := inMode(t, l, c, mode)
				release()
				client.Close()
				require.NotEmpty(t, await(t, logged))
				send(t, other, "hello")
				require.Equal(t, "hello", receive(t, other, 5))
				eventually(t, func() bool { s := l.Stats(); return s.Sockets == 1 && s.Goroutines == 1 }, "nothing is left of it")
			})
		}
	}
	t.Run("after Data did", func(t *testing.T) {
		for _, mode := range []uint32{evloop.Inline, evloop.Slow} {
			logged := make(chan string, 10)
			l := newLoop(t, evloop.Options{Logf: func(format string, args ...any) { logged <- fmt.Sprintf(format, args...) }})
			c := &conn{}
			client, _ := inMode(t, l, c, mode)
			c.set(func() {
				c.data = func(*conn, []byte) bool { panic(errBoom) }
				c.end = func(_ *conn, err error) { panic(err) }
			})
			send(t, client, "x")
			require.Contains(t, await(t, logged), "boom")
			require.Empty(t, receiveAll(client))
			eventually(t, func() bool { return l.Stats().Sockets == 0 }, "it is gone")
		}
	})
}

// A leader that was deposed and then fails affects nothing else.
func TestDeposedHandlerFails(t *testing.T) {
	for failure, fail := range map[string]func(){"panic": func() { panic(errBoom) }, "goexit": runtime.Goexit} {
		t.Run(failure, func(t *testing.T) {
			l := newLoop(t, evloop.Options{})
			other := add(t, l, echo())
			gate := make(chan struct{})
			c := &conn{data: func(*conn, []byte) bool { <-gate; fail(); return true }}
			send(t, add(t, l, c), "x")
			eventually(t, func() bool { return c.Mode() == evloop.Detached }, "the watchdog detaches it")
			close(gate)
			require.Error(t, await(t, c.ended))
			send(t, other, "hello")
			require.Equal(t, "hello", receive(t, other, 5))
			eventually(t, func() bool { return l.Stats().Goroutines == 1 }, "the leader is alone again")
		})
	}
}

func receiveAll(r io.Reader) string {
	all, _ := io.ReadAll(r) // an error ends the read too
	return string(all)
}
