package hub

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
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

	// manager has the sockets, and the index of the hub's connections by group and user. The member of a connection is its
	// socket, or a sink connection if it outlives its sockets: see conn.member.
	manager *wsmanager.Manager
	serve   http.Handler // manager, behind middleware that passes requests without a WebSocket to serveOther

	tickets  tickets
	conns    sync.Map       // *conn by id, from the handshake to the end
	running  goroutineGroup // of calls, hooks, streams and replays
	counters counters
	attempts atomic.Uint64 // handshakes that were accepted

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
	h.sessions.run = h.running.run
	h.tickets = newTickets(&opts)
	var managerErr error
	if optsErr == nil { // wrong options would be reported twice
		h.manager, managerErr = wsmanager.New(h.callbacks(), opts.WebSocket)
	}
	if err := errors.Join(methodsErr, optsErr, managerErr); err != nil {
		return nil, err
	}
	h.serve = h.manager.Middleware(http.HandlerFunc(h.serveOther))
	return h, nil
}

func (h *Hub) callbacks() wsmanager.Callbacks {
	return wsmanager.Callbacks{
		OnAccept: h.accept,
		OnConnect: func(ws *wsmanager.Conn) error {
			s, _ := wsmanager.Value[*serverSocket](ws)
			s.connected(ws)
			return nil
		},
		OnPiece: func(ws *wsmanager.Conn, p wsmanager.Piece) error {
			s, _ := wsmanager.Value[*serverSocket](ws)
			s.received(p)
			return nil
		},
		OnContinue: func(ws *wsmanager.Conn) {
			s, _ := wsmanager.Value[*serverSocket](ws)
			s.serveDeferred()
		},
		OnClose: func(ws *wsmanager.Conn, err error) {
			s, _ := wsmanager.Value[*serverSocket](ws)
			s.closed(err)
		},
	}
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
	return errors.Join(h.manager.Shutdown(ctx), h.running.wait(ctx))
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
		maxReceiveSize:    o.MaxReceiveSize,
		maxSendSize:       o.MaxSendSize,
		replayLimit:       o.WebSocket.Outbox.Bytes,
		replayBuffer:      o.StatefulBuffer,
		maxJoined:         joinedLimit(o.WebSocket.Outbox.Bytes),
	}
}

// joinedLimit is how many bytes of records are joined into one WebSocket message, for an outbox of so many bytes.
func joinedLimit(outbox int) int { return min(64<<10, outbox/4) }
