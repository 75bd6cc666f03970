package wsmanager_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// heldConn is a connection to a server whose callbacks block until the test releases them.
type heldConn struct {
	t   *testing.T
	m   *wsmanager.Manager
	srv *httptest.Server
	c   *wstest.Client
	j   *journal // entries: each message when its callback begins, and the end
	at  struct {
		connect bool                  // OnConnect blocks too
		message func(string) bool     // reports whether OnMessage blocks for this text
		then    func(*heldConn) error // runs in a blocked callback after its release
		opts    func(*wsmanager.Options)
		header  http.Header
		early   []byte
		block   bool
	}
	conn    *wsmanager.Conn
	entered chan struct{}
	release chan struct{}
	served  chan struct{} // closed when ServeHTTP has returned
	running atomic.Int32
	first   atomic.Pointer[wsmanager.Conn] // the same as conn, for concurrent readers
}

// newHeldConn connects a client whose callbacks block.
func newHeldConn(t *testing.T, overTLS bool, set func(h *heldConn)) *heldConn {
	t.Helper()
	h := &heldConn{t: t, j: newJournal(), entered: make(chan struct{}, 100), release: make(chan struct{}, 100), served: make(chan struct{})}
	h.at.message = func(text string) bool { return strings.HasPrefix(text, "hold") }
	if set != nil {
		set(h)
	}
	opts := optionsWithoutLog()
	opts.Block = h.at.block
	if h.at.opts != nil {
		h.at.opts(&opts)
	}
	h.m = wsmanager.MustNew(wsmanager.Callbacks{
		OnConnect: func(c *wsmanager.Conn) error { return h.call(c, "connect", h.at.connect) },
		OnMessage: func(c *wsmanager.Conn, m wsmanager.Message) error {
			text := string(m.Payload)
			err := h.call(c, text, h.at.message(text))
			if text != string(m.Payload) {
				t.Errorf("the payload has changed during the callback: %.60q", m.Payload)
			}
			return err
		},
		OnClose: func(c *wsmanager.Conn, err error) {
			if c.Context().Err() == nil {
				t.Error("the Context has not ended before OnClose")
			}
			_ = h.call(c, fmt.Sprintf("closed: %v", err), false)
		},
	}, onDriver(t, opts))
	wsmanager.SetWatchInterval(h.m, 10*time.Millisecond)
	served := sync.OnceFunc(func() { close(h.served) })
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer served()
		h.m.ServeHTTP(w, r)
	}))
	h.srv = srv
	if !overTLS { // the client over TLS uses HTTP/1.1
		serveDriverProtocol(t, srv)
	}
	t.Cleanup(func() {
		close(h.release)
		shutdown(t, h.m)
		srv.Close()
	})
	if overTLS {
		srv.StartTLS()
		h.c = upgradeTLS(t, srv, h.at.header, h.at.early)
		return h
	}
	srv.Start()
	req := wstest.Request(t, srv.URL)
	for name, values := range h.at.header {
		req.Header[name] = values
	}
	h.c = handshakeOver(t, req, h.at.early)
	require.Equal(t, http.StatusSwitchingProtocols, h.c.Response.StatusCode)
	return h
}

// call runs as a callback and checks that callbacks do not overlap.
func (h *heldConn) call(c *wsmanager.Conn, text string, hold bool) error {
	if !h.first.CompareAndSwap(nil, c) && h.first.Load() != c {
		return nil // of another connection
	}
	if h.running.Add(1) != 1 {
		h.t.Errorf("%.60q: two callbacks at a time", text)
	}
	defer h.running.Add(-1)
	if h.conn == nil { // before any concurrent read
		h.conn = c
	}
	h.j.note("%s", text)
	if !hold {
		return nil
	}
	h.entered <- struct{}{}
	<-h.release
	if h.at.then != nil {
		return h.at.then(h)
	}
	return nil
}

// awaitCallback waits until a callback blocks.
func (h *heldConn) awaitCallback() *heldConn {
	h.t.Helper()
	select {
	case <-h.entered:
	case <-time.After(wstest.Patience):
		h.t.Fatal("no callback has been called")
	}
	return h
}

// resume releases one callback.
func (h *heldConn) resume() { h.release <- struct{}{} }

// ping sends a ping and expects its pong.
func (h *heldConn) ping(text string) {
	h.t.Helper()
	h.c.SendPing([]byte(text))
	h.c.ExpectPong([]byte(text))
}

// contextEnds waits until the connection's Context has ended and returns its cause.
func (h *heldConn) contextEnds() error {
	h.t.Helper()
	ctx := h.conn.Context()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(wstest.Patience):
		h.t.Fatal("the Context does not end")
		return nil
	}
}

func textFrame(s string) []byte { return wstest.Frame(ws.OpText, true, []byte(s)) }

func join(parts ...[]byte) (all []byte) {
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

// expectPongs reads pongs up to the last text. A later pong may replace earlier ones.
func (h *heldConn) expectPongs(texts ...string) {
	h.t.Helper()
	for last := ""; last != texts[len(texts)-1]; {
		f, err := h.c.ReadFrame()
		require.NoError(h.t, err)
		require.Equal(h.t, ws.OpPong, f.Header.OpCode)
		last = string(f.Payload)
		require.Contains(h.t, texts, last)
	}
}

// Frames are read while a callback runs: see takeoverCases.
func TestWhileACallbackRuns(t *testing.T) { onEachDriverAtOnce(t, testWhileACallbackRuns) }

func testWhileACallbackRuns(t *testing.T) {
	for _, tt := range takeoverCases {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.do(t, newHeldConn(t, false, tt.set))
		})
		if driverOf(t) != onGoroutine {
			continue // TLS uses the same driver
		}
		t.Run(tt.name+" over TLS", func(t *testing.T) {
			t.Parallel()
			tt.do(t, newHeldConn(t, true, tt.set))
		})
	}
}

// A callback that calls runtime.Goexit ends its connection, also if another goroutine has
// taken over reading.
func TestCallbackExitsAfterATakeover(t *testing.T) { onEachDriver(t, testCallbackExitsAfterATakeover) }

func testCallbackExitsAfterATakeover(t *testing.T) {
	needH1(t, "net/http resets the stream of a handler that did not return")
	for name, set := range map[string]func(h *heldConn){
		"OnMessage": func(h *heldConn) {},
		"OnConnect": func(h *heldConn) { h.at.connect = true },
		"Block":     func(h *heldConn) { h.at.block = true },
	} {
		t.Run(name, func(t *testing.T) {
			h := newHeldConn(t, false, func(h *heldConn) {
				set(h)
				h.at.then = func(*heldConn) error { runtime.Goexit(); return nil }
			})
			if name != "OnConnect" {
				h.c.SendText("hold")
			}
			h.awaitCallback()
			h.c.SendText("dropped")
			h.ping("p")
			h.resume()
			h.c.ExpectClose(1011)
			entries := h.j.await(t, 2)
			awaitCondition(t, func() bool { entries = h.j.all(); return strings.Contains(entries[len(entries)-1], "closed:") })
			require.Contains(t, entries[len(entries)-1], "it ended its goroutine")
			require.NotContains(t, entries, "dropped")
			require.NoError(t, h.c.Conn().Close())
			require.NoError(t, h.m.Shutdown(t.Context()))
			<-h.served
		})
	}
}

// dialSecond connects a second client.
func (h *heldConn) dialSecond() *wstest.Client {
	h.t.Helper()
	if h.srv.TLS != nil {
		return upgradeTLS(h.t, h.srv, nil, nil)
	}
	return dialOver(h.t, h.srv.URL, nil)
}

// closes is ExpectClose while the callback runs. An HTTP/2 stream ends with its request, which
// ends after the callback.
func (h *heldConn) closes(code int) (reason string) {
	h.t.Helper()
	if driverOf(h.t) != onH2 {
		return h.c.ExpectClose(code)
	}
	for {
		f, err := h.c.ReadFrame()
		require.NoError(h.t, err)
		if f.Header.OpCode != ws.OpClose {
			continue
		}
		h.c.SendRaw(wstest.Frame(ws.OpClose, true, f.Payload))
		got, reason := ws.ParseCloseFrameData(f.Payload)
		require.EqualValues(h.t, code, got)
		return reason
	}
}
