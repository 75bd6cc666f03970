package main

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"runtime"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/speakingtube/speakingtube/pipeline"
	"github.com/speakingtube/speakingtube/wsmanager"
)

// endpoints are the Managers by path.
type endpoints struct {
	sockets map[string]*wsmanager.Manager
	drains  []func(context.Context) error
	debug   bool
}

// config has the values of the flags.
type config struct {
	driver   wsmanager.Driver
	compress wsmanager.Compression
	debug    bool
}

// newEndpoints makes the endpoints. Blocking callbacks block until done is closed.
func newEndpoints(log *slog.Logger, cfg config, done <-chan struct{}) (e *endpoints, err error) {
	e = &endpoints{sockets: make(map[string]*wsmanager.Manager), debug: cfg.debug}
	add := func(path string, cb wsmanager.Callbacks) *wsmanager.Manager {
		m, failed := wsmanager.New(cb, wsmanager.Options{
			Driver:      cfg.driver,
			Compression: cfg.compress,
			Logger:      log.With("path", path),
			Limits:      wsmanager.Limits{MaxMessageSize: 16 << 20}, // conformance suites send such messages
			Outbox:      wsmanager.Outbox{Bytes: 64 << 20, Messages: 1 << 16},
		})
		e.sockets[path], err = m, errors.Join(err, failed)
		return m
	}
	drained := func(m *wsmanager.Manager) {
		if m != nil { // err has the reason
			e.drains = append(e.drains, m.Shutdown)
		}
	}

	drained(add("/echo", wsmanager.Callbacks{OnMessage: echo}))
	drained(add("/broadcast", wsmanager.Callbacks{
		OnMessage: func(c *wsmanager.Conn, m wsmanager.Message) error {
			c.Manager().Broadcast(m)
			return nil
		},
	}))
	if !cfg.debug {
		return e, err
	}
	drained(add("/sleep", wsmanager.Callbacks{OnAccept: acceptSleep, OnMessage: sleep}))
	blocked := add("/block", wsmanager.Callbacks{
		OnMessage: func(*wsmanager.Conn, wsmanager.Message) error { <-done; return nil },
	})
	e.drains = append(e.drains, func(context.Context) error {
		now, cancel := context.WithCancel(context.Background())
		cancel()
		_ = blocked.Shutdown(now) // the error says that callbacks have not returned, as intended
		return nil
	})
	return e, err
}

// echo answers with the message itself. It uses SendContext and not Send: a client that
// writes without reading is slowed down instead of dropped. The end of the connection ends
// the wait too.
func echo(c *wsmanager.Conn, m wsmanager.Message) error {
	return c.SendContext(context.Background(), m)
}

// acceptSleep reads the duration of /sleep's callbacks.
func acceptSleep(r *http.Request) (wsmanager.Accept, error) {
	ms, err := strconv.Atoi(r.URL.Query().Get("ms"))
	if err != nil || ms < 0 || ms > 60_000 {
		return wsmanager.Accept{}, wsmanager.Reject(http.StatusBadRequest, "Set the duration, as in /sleep?ms=10: 0 to 60000.")
	}
	return wsmanager.Accept{Value: time.Duration(ms) * time.Millisecond}, nil
}

// sleep is a callback that takes the given time.
func sleep(c *wsmanager.Conn, m wsmanager.Message) error {
	d, _ := wsmanager.Value[time.Duration](c)
	select {
	case <-time.After(d):
		return c.Send(m)
	case <-c.Context().Done():
		return nil
	}
}

func (e *endpoints) app() *pipeline.Builder {
	app := pipeline.New()
	for _, path := range []string{"/echo", "/broadcast", "/sleep", "/block"} {
		if m, ok := e.sockets[path]; ok {
			app.Mount(path, m)
		}
	}
	if e.debug {
		app.Map("/mem", func(b *pipeline.Builder) { b.RunFunc(e.mem) })
		app.Map("/stats", func(b *pipeline.Builder) { b.RunFunc(e.stats) })
	}
	return app
}

// mem answers with the memory of the process, after a garbage collection.
func (e *endpoints) mem(w http.ResponseWriter, _ *http.Request) {
	runtime.GC()
	debug.FreeOSMemory()
	var ms runtime.MemStats
	runtime.ReadMemStats(&ms)
	connections := 0
	for _, m := range e.sockets {
		connections += m.All().Len()
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(map[string]uint64{ // an error means that the client is gone
		"connections":  uint64(connections),
		"goroutines":   uint64(runtime.NumGoroutine()),
		"heap_alloc":   ms.HeapAlloc,
		"heap_inuse":   ms.HeapInuse,
		"heap_objects": ms.HeapObjects,
		"stack_inuse":  ms.StackInuse,
		"mallocs":      ms.Mallocs,
		"sys":          ms.Sys,
	})
}

// stats answers with the counters of each path.
func (e *endpoints) stats(w http.ResponseWriter, _ *http.Request) {
	all := make(map[string]wsmanager.Stats)
	for path, m := range e.sockets {
		all[path] = m.Stats()
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(all) // an error means that the client is gone
}
