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

// NewStepped is New with a clock that moves only by step. Its timers run on the goroutine
// that steps.
func NewStepped(cb Callbacks, opts Options) (m *Manager, step func(time.Duration), err error) {
	clock := stepclock.New(time.Now(), maxTimers) // deadlines of net/http and the system are compared with theirs
	m, err = newManager(cb, opts, clock)
	return m, clock.Step, err
}

// SetStuckAfter changes after what time without progress a write counts as stuck. There
// must be no connection yet.
func SetStuckAfter(m *Manager, d time.Duration) { m.sending.stuckAfter = d }

// CheckUTF8 reports whether p is the beginning of a text, and whether a whole one.
func CheckUTF8(p []byte) (ok, complete bool) {
	var c frame.UTF8
	return c.Feed(p), c.Complete()
}

// FrameEvents passes a stream of a client, or of a server, to the reader of frames in
// pieces of n bytes (all at once if n is 0). It returns the events and the most memory that
// the reader held, in bytes.
func FrameEvents(stream []byte, n int, client, compressed bool, limit int) (events []string, held int) {
	return recordEvents(stream, n, client, compressed, limit, nil)
}

// FrameEventsTaken is FrameEvents for a reader that is taken over during each message with
// a bit in takes, whose first bit follows its eighth.
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

// SpeakH2 makes a server understand HTTP/2 without TLS beside HTTP/1.1.
func SpeakH2(srv *http.Server) {
	srv.Protocols = new(http.Protocols)
	srv.Protocols.SetHTTP1(true)
	srv.Protocols.SetHTTP2(true)
	srv.Protocols.SetUnencryptedHTTP2(true)
}

// SetWatchInterval changes how often m looks for callbacks that take their time. There
// must be no connection yet.
func SetWatchInterval(m *Manager, d time.Duration) { m.watch.interval = d }

// Taken reports whether the callbacks of the connection run on another goroutine than the
// one that reads it.
func Taken(c *Conn) bool { return c.in.dispatch.taken() }
