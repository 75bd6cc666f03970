package handshake

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// conn records the last write.
type conn struct {
	net.Conn
	written []byte
	closed  bool
	err     error // of Write
}

func (c *conn) Write(p []byte) (int, error) {
	c.written = append(c.written[:0], p...)
	return len(p), c.err
}
func (c *conn) Close() error                     { c.closed = true; return nil }
func (c *conn) SetWriteDeadline(time.Time) error { return nil }

// writer is a foreign http.ResponseWriter that can be hijacked.
type writer struct {
	header http.Header
	conn   *conn
	early  string
	err    error // of Hijack
}

func (w *writer) Header() http.Header         { return w.header }
func (w *writer) Write(p []byte) (int, error) { return len(p), nil }
func (w *writer) WriteHeader(int)             { panic("no component may be told") }
func (w *writer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if w.err != nil {
		return nil, nil, w.err
	}
	br := bufio.NewReader(strings.NewReader(w.early))
	_, _ = br.Peek(1) // fills the buffer
	return w.conn, bufio.NewReadWriter(br, nil), nil
}

// Below a writer that is not net/http's, Upgrade sends the answer itself.
func TestUpgradeBelowAForeignWriter(t *testing.T) {
	for _, early := range []string{"", "frames"} {
		w := &writer{header: http.Header{"Content-Type": {"text/plain"}, "X-Outer": {"1"}}, conn: &conn{}, early: early}
		q := &Request{key: testKey}
		require.NoError(t, q.Prepare(w, time.Second))
		got, rest, err := q.Upgrade(w, &Answer{Subprotocol: "chat", Header: http.Header{"X-Room": {"1"}}}, time.Second)
		require.NoError(t, err)
		require.Same(t, w.conn, got)
		require.Equal(t, early, string(rest))
		res, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(w.conn.written)), nil)
		require.NoError(t, err)
		require.Equal(t, 101, res.StatusCode)
		require.NotEmpty(t, res.Header.Get("Date"))
		res.Header.Del("Date")
		require.Equal(t, http.Header{
			"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Accept": {"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="},
			"Sec-Websocket-Protocol": {"chat"}, "X-Outer": {"1"}, "X-Room": {"1"},
		}, res.Header)
		require.False(t, w.conn.closed)
	}
}

// After an error the header is as it was, and a connection that was taken over is closed.
func TestUpgradeFails(t *testing.T) {
	for name, tt := range map[string]struct {
		w      *writer
		broken bool
	}{
		"in Hijack":          {&writer{conn: &conn{}, err: http.ErrNotSupported}, false},
		"in the first write": {&writer{conn: &conn{err: io.ErrClosedPipe}}, true},
	} {
		t.Run(name, func(t *testing.T) {
			tt.w.header = http.Header{"X-Outer": {"1"}}
			q := &Request{key: testKey}
			_, _, err := q.Upgrade(tt.w, &Answer{}, time.Second)
			require.Error(t, err)
			require.Equal(t, tt.broken, IsClosed(err))
			require.Equal(t, tt.broken, tt.w.conn.closed)
			var refusal *Refusal
			require.Equal(t, !tt.broken, errors.As(err, &refusal))
			require.ErrorContains(t, err, "*handshake.writer", "the log names the writer")
			require.Equal(t, http.Header{"X-Outer": {"1"}}, tt.w.header)
		})
	}
}

func TestPrepareNeedsAHijacker(t *testing.T) {
	var refusal *Refusal
	w := struct{ http.ResponseWriter }{&writer{}}
	require.ErrorAs(t, (&Request{}).Prepare(w, time.Second), &refusal)
	require.Equal(t, Failed, refusal.Reason)
	require.ErrorAs(t, (&Request{Stream: true}).Prepare(w, time.Second), &refusal)
	require.Equal(t, Failed, refusal.Reason)
}
