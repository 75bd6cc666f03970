package main

import (
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	"github.com/speakingtube/speakingtube/examples/benchmarks/internal/harness"
	"github.com/speakingtube/speakingtube/wsmanager"
)

type childConfig struct {
	Policy       wsmanager.SlowConsumer
	CloseTimeout time.Duration
}

// outboxMessages is small, so that the policy takes effect within a second.
const outboxMessages = 16

// server is the child: one Manager, and endpoints for the parent.
type server struct {
	m      *wsmanager.Manager
	number uint64 // of the last broadcast; the parent makes one request at a time

	mu      sync.Mutex // guards the fields below
	stalled *wsmanager.Conn
	gone    chan struct{} // closed by OnClose of stalled
}

func child(ctx context.Context, cfg childConfig) error {
	s := &server{}
	s.m = wsmanager.MustNew(wsmanager.Callbacks{
		OnAccept:  s.accept,
		OnConnect: s.connect,
		OnClose:   s.close,
	}, wsmanager.Options{
		Logger:       slog.New(slog.DiscardHandler),
		SlowConsumer: cfg.Policy,
		Outbox:       wsmanager.Outbox{Messages: outboxMessages},
		// Only the policy may end a stalled connection.
		Timeouts: wsmanager.Timeouts{Close: cfg.CloseTimeout, Write: time.Hour, Idle: time.Hour},
	})
	mux := http.NewServeMux()
	mux.Handle("/ws", s.m)
	mux.HandleFunc("/broadcast", s.broadcast)
	mux.HandleFunc("/flood", s.flood)
	mux.HandleFunc("/close", s.closeStalled)
	mux.HandleFunc("/stats", func(w http.ResponseWriter, _ *http.Request) {
		c, _ := s.current()
		harness.Answer(w, status{c != nil, s.m.Stats()}, nil)
	})
	return harness.Serve(ctx, mux, s.m.Shutdown)
}

// status is the answer to /stats.
type status struct {
	Stalled bool // a stalled connection is open
	Stats   wsmanager.Stats
}

// accept gives a connection that will stall a small send buffer in the kernel. With the
// megabytes of loopback it would take too long to fill.
func (s *server) accept(r *http.Request) (wsmanager.Accept, error) {
	stall := r.URL.Query().Has("stall")
	if stall {
		if err := harness.NetConn(r).SetWriteBuffer(4 << 10); err != nil {
			return wsmanager.Accept{}, err
		}
	}
	return wsmanager.Accept{Value: stall}, nil
}

func (s *server) connect(c *wsmanager.Conn) error {
	if stall, _ := wsmanager.Value[bool](c); stall {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.stalled, s.gone = c, make(chan struct{})
	}
	return nil
}

func (s *server) close(c *wsmanager.Conn, _ error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c == s.stalled {
		close(s.gone)
		s.stalled = nil
	}
}

func (s *server) current() (*wsmanager.Conn, chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stalled, s.gone
}

// sizes are the lengths of the messages, in turn.
var sizes = []int{512, 1024, 2048, 4096}

// headSize is the length of a message's number and of the time when it was due, in
// nanoseconds since 1970. Both processes use the same clock.
const headSize = 16

// broadcasts is the answer to /broadcast.
type broadcasts struct {
	Messages int
	Last     uint64 // number of the last message
}

// broadcast sends at a rate for a duration.
func (s *server) broadcast(w http.ResponseWriter, r *http.Request) {
	rate, err1 := strconv.ParseFloat(r.FormValue("rate"), 64)
	d, err2 := time.ParseDuration(r.FormValue("d"))
	gap := time.Duration(float64(time.Second) / rate)
	var done broadcasts
	for due, end := time.Now(), time.Now().Add(d); due.Before(end); due = due.Add(gap) {
		time.Sleep(time.Until(due))
		s.number++
		p := make([]byte, sizes[s.number%uint64(len(sizes))])
		binary.BigEndian.PutUint64(p, s.number)
		binary.BigEndian.PutUint64(p[8:], uint64(due.UnixNano()))
		s.m.Broadcast(wsmanager.Binary(p))
		done.Messages++
	}
	done.Last = s.number
	harness.Answer(w, done, errors.Join(err1, err2))
}

// flood sends the stalled connection a number of bytes in messages of 32 KiB and answers
// with the time that it took.
func (s *server) flood(w http.ResponseWriter, r *http.Request) {
	bytes, err := strconv.Atoi(r.FormValue("bytes"))
	c, _ := s.current()
	for deadline := time.Now().Add(10 * time.Second); c == nil && time.Now().Before(deadline); c, _ = s.current() {
		time.Sleep(10 * time.Millisecond) // the policy has closed one; the next one connects
	}
	if c == nil {
		harness.Answer(w, nil, errNoneStalled)
		return
	}
	p := make([]byte, 32<<10)
	began := time.Now()
	for n := 0; n < bytes; n += len(p) {
		_ = c.Send(wsmanager.Binary(p)) // errors are expected: the outbox is full, or the connection closed
	}
	took := time.Since(began)
	debug.FreeOSMemory() // dropped messages must not count as held memory
	harness.Answer(w, took, err)
}

var errNoneStalled = errors.New("no connection is stalled")

// closed is the answer to /close.
type closed struct {
	Call time.Duration // duration of Conns(id).Close
	Gone time.Duration // until OnClose
}

func (s *server) closeStalled(w http.ResponseWriter, _ *http.Request) {
	c, gone := s.current()
	if c == nil {
		harness.Answer(w, nil, errNoneStalled)
		return
	}
	began := time.Now()
	err := s.m.Conns(c.ID()).Close(4001, "too slow")
	took := closed{Call: time.Since(began)}
	if err == nil {
		<-gone
		took.Gone = time.Since(began)
	}
	harness.Answer(w, took, err)
}
