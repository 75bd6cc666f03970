package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"flag"
	"log/slog"
	"net"
	"net/http"
	"os/signal"
	"runtime/debug"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/speakingtube/speakingtube/examples/benchmarks/internal/harness"
	"github.com/speakingtube/speakingtube/pipeline"
	"github.com/speakingtube/speakingtube/wsmanager"
)

// server is the child: one Manager, and endpoints for the parent to steer it.
type server struct {
	m *wsmanager.Manager

	seq uint64 // of broadcasts, which one request at a time makes

	mu      sync.Mutex // guards what follows
	stalled *wsmanager.Conn
	gone    chan struct{} // closed with the end of stalled
}

// hello is what the child says first.
type hello struct{ Addr string }

// connKey is where the request's context has the socket.
type connKey struct{}

func child(args []string, out *json.Encoder) error {
	flags := flag.NewFlagSet("child", flag.ContinueOnError)
	policy := flags.Int("policy", 0, "")
	outbox := flags.Int("outbox", 0, "")
	closing := flags.Duration("close", 0, "")
	if err := flags.Parse(args); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	s := &server{}
	s.m = wsmanager.MustNew(wsmanager.Callbacks{
		OnAccept:  s.accept,
		OnConnect: s.connect,
		OnClose:   s.close,
	}, wsmanager.Options{
		Logger:         slog.New(slog.DiscardHandler),
		SlowConsumer:   wsmanager.SlowConsumer(*policy),
		OutboxMessages: *outbox,
		// It is the policy that is looked at: a stalled reader lives on.
		WriteTimeout: time.Hour,
		IdleTimeout:  time.Hour,
		CloseTimeout: *closing,
	})
	mux := http.NewServeMux()
	mux.Handle("/ws", s.m)
	mux.HandleFunc("/broadcast", s.broadcast)
	mux.HandleFunc("/flood", s.flood)
	mux.HandleFunc("/close", s.closeStalled)
	mux.HandleFunc("/stats", s.stats)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	if err := out.Encode(hello{ln.Addr().String()}); err != nil {
		return err
	}
	return pipeline.ServeListener(ctx, ln, &http.Server{
		Handler:     mux,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, connKey{}, c) },
	}, s.m.Shutdown)
}

// accept gives the one that will not read a small buffer in the kernel: it is to
// be stalled in seconds, not after the megabytes that loopback grants.
func (s *server) accept(r *http.Request) (wsmanager.Accept, error) {
	stall := r.URL.Query().Has("stall")
	if stall {
		if err := r.Context().Value(connKey{}).(*net.TCPConn).SetWriteBuffer(4 << 10); err != nil {
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

// sizes are those of the messages, in turn.
var sizes = []int{512, 1024, 2048, 4096}

// headSize is a message's number, and when it was due in nanoseconds: both
// processes have the same clock.
const headSize = 16

// broadcast sends as many messages a second as it is told, for so long.
func (s *server) broadcast(w http.ResponseWriter, r *http.Request) {
	rate, err1 := strconv.ParseFloat(r.FormValue("rate"), 64)
	d, err2 := time.ParseDuration(r.FormValue("d"))
	if err1 != nil || err2 != nil {
		http.Error(w, "rate=20&d=5s", http.StatusBadRequest)
		return
	}
	gap := time.Duration(float64(time.Second) / rate)
	var done broadcasts
	for due, end := time.Now(), time.Now().Add(d); due.Before(end); due = due.Add(gap) {
		time.Sleep(time.Until(due))
		s.seq++
		p := make([]byte, sizes[s.seq%uint64(len(sizes))])
		binary.BigEndian.PutUint64(p, s.seq)
		binary.BigEndian.PutUint64(p[8:], uint64(due.UnixNano())) // a late broadcast is late for all
		began := time.Now()
		s.m.Broadcast(wsmanager.Binary(p))
		done.Longest = max(done.Longest, time.Since(began))
		done.Messages++
	}
	done.Last = s.seq
	harness.Answer(w, done)
}

// broadcasts is what broadcast did.
type broadcasts struct {
	Messages int
	Last     uint64        // its number
	Longest  time.Duration // of a call of Broadcast
}

// flood sends the stalled connection alone as many bytes as it is told, in messages
// of 32 KiB.
func (s *server) flood(w http.ResponseWriter, r *http.Request) {
	bytes, err := strconv.Atoi(r.FormValue("bytes"))
	c, _ := s.current()
	for deadline := time.Now().Add(10 * time.Second); c == nil && time.Now().Before(deadline); c, _ = s.current() {
		time.Sleep(10 * time.Millisecond) // the policy has closed one, and the next is coming
	}
	if err != nil || c == nil {
		http.Error(w, "bytes=1000000, and a stalled connection", http.StatusBadRequest)
		return
	}
	p := make([]byte, 32<<10)
	began := time.Now()
	for n := 0; n < bytes; n += len(p) {
		_ = c.Send(wsmanager.Binary(p)) // most find no room, or the connection closed: that is the point
	}
	took := time.Since(began)
	debug.FreeOSMemory() // of what was dropped: what is held shows
	harness.Answer(w, took)
}

// closed is how the end of the stalled connection went.
type closed struct {
	Call time.Duration // of CloseConn
	Gone time.Duration // until OnClose
}

func (s *server) closeStalled(w http.ResponseWriter, _ *http.Request) {
	c, gone := s.current()
	if c == nil {
		http.Error(w, "there is no stalled connection", http.StatusConflict)
		return
	}
	began := time.Now()
	err := s.m.CloseConn(c.ID(), 4001, "too slow")
	took := closed{Call: time.Since(began)}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	<-gone
	took.Gone = time.Since(began)
	harness.Answer(w, took)
}

// status is what the parent wants to know.
type status struct {
	Stalled bool // there is a stalled connection
	Stats   wsmanager.Stats
}

func (s *server) stats(w http.ResponseWriter, _ *http.Request) {
	c, _ := s.current()
	harness.Answer(w, status{c != nil, s.m.Stats()})
}
