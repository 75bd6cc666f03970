package wsmanager

import (
	"context"
	"net/http"
	"time"

	"github.com/speakingtube/speakingtube/wsmanager/internal/stepclock"
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
func SetStuckAfter(m *Manager, d time.Duration) { m.stuckAfter = d }

// CheckUTF8 reports whether p is the beginning of a text, and whether a whole one.
func CheckUTF8(p []byte) (ok, complete bool) {
	var c utf8Check
	return c.feed(p), c.complete()
}

// FrameEvents feeds what a client sends, or a server, to the reader of frames in pieces
// of n (all at once if n is 0). It returns what it finds, and how many bytes it held
// at most.
func FrameEvents(stream []byte, n int, client, deflate bool, limit int) (got []string, held int) {
	return feedAll(&frameReader{masked: client, deflate: deflate, limit: limit}, stream, n)
}

// FrameEventsTaken is FrameEvents for a reader that is taken during those messages that
// have a bit in takes, which begins again after 8.
func FrameEventsTaken(stream []byte, n int, client, deflate bool, limit int, takes uint8) (got []string, held int) {
	return feedTaken(&frameReader{masked: client, deflate: deflate, limit: limit}, stream, n, func() bool {
		takes = takes<<1 | takes>>7
		return takes&1 != 0
	})
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
func SetWatchInterval(m *Manager, d time.Duration) { m.watch.every = d }

// Taken reports whether the callbacks of the connection run on another goroutine than the
// one that reads it.
func Taken(c *Conn) bool { return c.calling.Load()&callTaken != 0 }
