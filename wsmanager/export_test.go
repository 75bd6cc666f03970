package wsmanager

import (
	"context"
	"net/http"
	"time"

	"github.com/gobwas/ws"
	"github.com/speakingtube/speakingtube/wsmanager/internal/stepclock"

	"github.com/speakingtube/speakingtube/wsmanager/internal/deflate"
	"github.com/speakingtube/speakingtube/wsmanager/internal/frame"
	"github.com/speakingtube/speakingtube/wsmanager/internal/frame/frametest"
)

// DialAs is Dial with another meaning of DriverAuto.
func DialAs(ctx context.Context, auto Driver, rawURL string, cb Callbacks, opts DialOptions) (*Conn, error) {
	return dialWith(ctx, auto, rawURL, cb, opts)
}

// NewClientAs is NewClient with another meaning of DriverAuto.
func NewClientAs(auto Driver, rawURL string, cb Callbacks, opts ClientOptions) (*Client, error) {
	return newClient(auto, rawURL, cb, opts)
}

// NewStepped is New with a clock that advances only by step. Timers run on the goroutine
// that calls step.
func NewStepped(cb Callbacks, opts Options) (m *Manager, step func(time.Duration), err error) {
	clock := stepclock.New(time.Now(), maxTimers) // starts at the real time, because net/http and the system compare deadlines with it
	m, err = newManager(cb, opts, clock)
	return m, clock.Step, err
}

// SetStuckAfter changes the time without progress after which a write counts as stuck. m
// must have no connections yet.
func SetStuckAfter(m *Manager, d time.Duration) { m.sending.StuckAfter = d }

// CheckUTF8 reports whether p is a valid beginning of a text, and whether it is complete.
func CheckUTF8(p []byte) (ok, complete bool) {
	var c frame.UTF8
	return c.Feed(p), c.Complete()
}

// FrameEvents passes the stream of a client or of a server to the frame reader in pieces of
// n bytes (all at once if n is 0). It returns the events and the maximum number of bytes
// that the reader buffered.
func FrameEvents(stream []byte, n int, client, compressed bool, limit int) (events []string, held int) {
	return recordEvents(stream, n, client, compressed, limit, nil)
}

// FrameEventsTaken is FrameEvents with a takeover during each message whose bit in takes is
// set. The bits repeat after the eighth message.
func FrameEventsTaken(stream []byte, n int, client, compressed bool, limit int, takes uint8) (events []string, held int) {
	return recordEvents(stream, n, client, compressed, limit, func() bool {
		takes = takes<<1 | takes>>7
		return takes&1 != 0
	})
}

func recordEvents(stream []byte, n int, client, compressed bool, limit int, takes func() bool) (events []string, held int) {
	cfg := frame.Config{Masked: client, Limit: limit}
	if compressed {
		cfg.CompressedLimit = deflate.MaxCompressed(limit)
	}
	e := frametest.Recorder{Takes: takes, Inflate: func(op ws.OpCode, p []byte) ([]byte, error) {
		return deflate.Inflate(nil, p, op == ws.OpText, limit)
	}}
	return e.Record(frame.GetReader(cfg), stream, n)
}

// SpeakH2 configures a server for HTTP/2 without TLS in addition to HTTP/1.1.
func SpeakH2(srv *http.Server) {
	srv.Protocols = new(http.Protocols)
	srv.Protocols.SetHTTP1(true)
	srv.Protocols.SetHTTP2(true)
	srv.Protocols.SetUnencryptedHTTP2(true)
}

// SetWatchInterval changes how often m looks for slow callbacks. m must have no connections
// yet.
func SetWatchInterval(m *Manager, d time.Duration) { m.watch.interval = d }

// Taken reports whether the callbacks of the connection run on another goroutine than the
// reader.
func Taken(c *Conn) bool { return c.in.dispatch.taken() }

// RunsCallback reports whether a callback of the connection has not returned.
func RunsCallback(c *Conn) bool { return c.in.dispatch.runs() }

// ReadingStopped reports whether the reader waits for callbacks, because the queue is full.
func ReadingStopped(c *Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := c.life.handover().active()
	return k != nil && k.room != nil
}

// Closing reports whether the connection has begun to close.
func Closing(c *Conn) bool { return c.reception.IsClosing() }
