package hub

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/speakingtube/speakingtube/wsmanager"
)

// Hub is a set of connections. Clients call its methods, and it calls methods of its clients. It is an http.Handler for a
// path and the paths below it ("/hub" and "/hub/"). Make one with [New]. All methods are safe for concurrent use and may be
// called in methods and hooks, except that these must not wait for Shutdown.
type Hub struct {
	opts     Options
	sessions sessionConfig
	methods  methodTable

	stateless *wsmanager.Manager // its broadcasts reach all connections except those of the field stateful
	resumable *wsmanager.Manager // sockets of stateful connections; it sends no broadcasts

	// The Managers behind middleware that passes requests without a WebSocket to serveOther.
	serveStateless http.Handler
	serveResumable http.Handler

	tickets  tickets
	conns    sync.Map // *conn by id, from the handshake to the end
	stateful statefulConns
	running  goroutineGroup // of calls, hooks and streams
	counters counters

	handshakes sync.RWMutex // read-locked while a handshake is answered; see conn.completeHandshake

	mu       sync.Mutex // guards draining
	draining bool
}

// New makes a Hub. Its error lists all mistakes in methods and options.
func New(methods Methods, opts Options) (*Hub, error) {
	table, methodsErr := newMethodTable(methods)
	opts, optsErr := opts.withDefaults()
	h := &Hub{opts: opts, methods: table}
	h.sessions = opts.sessionConfig()
	h.tickets = newTickets(&opts)
	h.stateful.init(opts.WebSocket.Limits.MaxGroups)
	var managersErr error
	if optsErr == nil { // wrong options would be reported twice
		managersErr = h.newManagers()
	}
	if err := errors.Join(methodsErr, optsErr, managersErr); err != nil {
		return nil, err
	}
	h.serveStateless = h.stateless.Middleware(http.HandlerFunc(h.serveOther))
	h.serveResumable = h.resumable.Middleware(http.HandlerFunc(h.serveOther))
	return h, nil
}

func (h *Hub) newManagers() (err error) {
	callbacks := wsmanager.Callbacks{
		OnAccept: h.accept,
		OnConnect: func(ws *wsmanager.Conn) error {
			s, _ := wsmanager.Value[*serverSocket](ws)
			s.connected(ws)
			return nil
		},
		OnMessage: func(ws *wsmanager.Conn, m wsmanager.Message) error {
			s, _ := wsmanager.Value[*serverSocket](ws)
			s.received(m)
			return nil
		},
		OnClose: func(ws *wsmanager.Conn, err error) {
			s, _ := wsmanager.Value[*serverSocket](ws)
			s.closed(err)
		},
	}
	ws := h.opts.WebSocket
	if h.stateless, err = wsmanager.New(callbacks, ws); err != nil {
		return err
	}
	ws.SlowConsumer = wsmanager.SlowConsumerClose // a dropped message would leave a gap in the numbers
	ws.Outbox.Messages = max(ws.Outbox.Messages, ws.Outbox.Bytes/16, 1)
	ws.Outbox.Bytes = doubled(ws.Outbox.Bytes) // for replayed messages and new ones
	h.resumable, err = wsmanager.New(callbacks, ws)
	return err
}

// MustNew is New for literals. It panics with the error of New.
func MustNew(methods Methods, opts Options) *Hub {
	h, err := New(methods, opts)
	if err != nil {
		panic(err)
	}
	return h
}

// Len returns the number of connections, including those that have broken and may be resumed.
func (h *Hub) Len() (n int) {
	for range h.conns.Range {
		n++
	}
	return n
}

func (h *Hub) find(id string) *conn {
	c, ok := h.conns.Load(id)
	if !ok {
		return nil
	}
	return c.(*conn)
}

func (h *Hub) logger() *slog.Logger {
	if h.opts.Logger != nil {
		return h.opts.Logger
	}
	return slog.Default()
}

func (h *Hub) baseContext() context.Context {
	if ctx := h.opts.WebSocket.BaseContext; ctx != nil {
		return ctx
	}
	return context.Background()
}

// Shutdown shuts the hub down gracefully. It refuses negotiations and handshakes with 503 and sends each client a Close
// message that allows it to reconnect, to another server or to this one after its restart. The contexts of calls end.
// Shutdown waits until all connections have ended and all calls and hooks have returned. If ctx ends before, it cuts the
// remaining connections and returns an error. Pass it to pipeline.Serve. Do not wait for it in a method or hook.
func (h *Hub) Shutdown(ctx context.Context) error {
	h.handshakes.Lock() // waits until each answered handshake is in conns
	h.mu.Lock()
	h.draining = true
	h.mu.Unlock()
	h.handshakes.Unlock()
	for _, c := range h.conns.Range {
		c.(*conn).close(&Close{AllowReconnect: true}, wsmanager.StatusNormalClosure, ErrShutdown)
	}
	var wg sync.WaitGroup
	var errs [2]error
	for i, m := range []*wsmanager.Manager{h.stateless, h.resumable} {
		wg.Go(func() { errs[i] = m.Shutdown(ctx) })
	}
	wg.Wait()
	return errors.Join(errs[0], errs[1], h.running.wait(ctx))
}

func (h *Hub) isDraining() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.draining
}

// sessionConfig needs options with defaults.
func (o *Options) sessionConfig() sessionConfig {
	return sessionConfig{
		start:             time.Now(),
		keepAliveInterval: o.KeepAliveInterval,
		timeout:           o.ClientTimeout,
		maxMessageSize:    o.MaxMessageSize,
		replayLimit:       o.WebSocket.Outbox.Bytes,
		replayBuffer:      o.StatefulBuffer,
	}
}
