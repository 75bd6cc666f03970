package wsmanager_test

import (
	"bytes"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// rawH2 is an HTTP/2 client that works with frames.
type rawH2 struct {
	t      testing.TB
	conn   net.Conn
	fr     *http2.Framer
	last   uint32 // last stream ID
	server map[http2.SettingID]uint32
	window uint32 // increment of the server's first update of the connection's window
	goAway bool   // a GOAWAY frame has arrived
}

// dialRaw connects over plain TCP with these settings.
func dialRaw(t testing.TB, url string, settings ...http2.Setting) *rawH2 {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return rawOn(t, conn, settings...)
}

func rawOn(t testing.TB, conn net.Conn, settings ...http2.Setting) *rawH2 {
	t.Helper()
	c := &rawH2{t: t, conn: conn, fr: http2.NewFramer(conn, conn), server: map[http2.SettingID]uint32{}}
	c.fr.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	require.NoError(t, conn.SetDeadline(time.Now().Add(wstest.Patience)))
	_, err := io.WriteString(conn, http2.ClientPreface)
	require.NoError(t, err)
	require.NoError(t, c.fr.WriteSettings(settings...))
	c.ping() // the server's settings and its window update arrive before the answer
	return c
}

// frame reads up to the next frame of the stream; 0 for any frame.
func (c *rawH2) frame(id uint32) http2.Frame {
	c.t.Helper()
	for {
		require.NoError(c.t, c.conn.SetDeadline(time.Now().Add(wstest.Patience)))
		f, err := c.fr.ReadFrame()
		require.NoError(c.t, err)
		switch f := f.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				require.NoError(c.t, f.ForeachSetting(func(s http2.Setting) error { c.server[s.ID] = s.Val; return nil }))
				require.NoError(c.t, c.fr.WriteSettingsAck())
			}
		case *http2.WindowUpdateFrame:
			if f.StreamID == 0 && c.last == 0 {
				c.window += f.Increment
			}
		case *http2.GoAwayFrame:
			c.goAway = true
		}
		if id == 0 || f.Header().StreamID == id {
			return f
		}
	}
}

// ask sends a handshake for the path with the headers and returns its stream. The value ""
// omits a header.
func (c *rawH2) ask(path string, endStream bool, headers ...string) uint32 {
	c.t.Helper()
	fields := []string{
		":method", "CONNECT", ":protocol", "websocket", ":scheme", "http", ":path", path, ":authority", "example.com",
		"sec-websocket-version", "13",
	}
	for i := 0; i < len(headers); i += 2 {
		known := false
		for j := 0; j < len(fields); j += 2 {
			if fields[j] == headers[i] {
				fields[j+1], known = headers[i+1], true
			}
		}
		if !known {
			fields = append(fields, headers[i:i+2]...)
		}
	}
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	for i := 0; i < len(fields); i += 2 {
		if fields[i+1] != "" {
			require.NoError(c.t, enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]}))
		}
	}
	if c.last == 0 {
		c.last = 1
	} else {
		c.last += 2
	}
	require.NoError(c.t, c.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: c.last, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: endStream}))
	return c.last
}

// answer reads the response headers of a handshake.
func (c *rawH2) answer(id uint32) map[string]string {
	c.t.Helper()
	for {
		switch f := c.frame(id).(type) {
		case *http2.MetaHeadersFrame:
			got := map[string]string{}
			for _, h := range f.Fields {
				got[h.Name] = h.Value
			}
			return got
		case *http2.WindowUpdateFrame:
		default:
			c.t.Fatalf("got %v instead of response headers", f)
		}
	}
}

// open opens a WebSocket.
func (c *rawH2) open(headers ...string) uint32 {
	c.t.Helper()
	id := c.ask("/", false, headers...)
	require.Equal(c.t, "200", c.answer(id)[":status"])
	return id
}

func (c *rawH2) data(id uint32, p []byte, end bool) {
	c.t.Helper()
	require.NoError(c.t, c.fr.WriteData(id, end, p))
}

func (c *rawH2) text(id uint32, s string) {
	c.t.Helper()
	c.data(id, wstest.Frame(ws.OpText, true, []byte(s)), false)
}

// message reads data up to the end of one WebSocket frame, which must begin at the next DATA
// frame, and returns it.
func (c *rawH2) message(id uint32) ws.Frame {
	c.t.Helper()
	var got []byte
	for {
		f, ok := c.frame(id).(*http2.DataFrame)
		if !ok {
			continue
		}
		got = append(got, f.Data()...)
		r := bytes.NewReader(got)
		if h, err := ws.ReadHeader(r); err == nil && int64(r.Len()) >= h.Length {
			require.EqualValues(c.t, h.Length, r.Len(), "data after the WebSocket frame")
			return ws.Frame{Header: h, Payload: got[len(got)-r.Len():]}
		}
		require.False(c.t, f.StreamEnded(), "the stream ends in an incomplete frame %q", got)
	}
}

func (c *rawH2) expectText(id uint32, want string) {
	c.t.Helper()
	require.Equal(c.t, want, string(c.message(id).Payload))
}

// streamEnd describes the end of a stream.
type streamEnd struct {
	Data  string         // all data of the stream
	Clean bool           // END_STREAM
	Reset *http2.ErrCode // RST_STREAM
}

// end reads a stream to its end, and also the reset after it if resetFollows.
func (c *rawH2) end(id uint32, resetFollows bool) (e streamEnd) {
	c.t.Helper()
	for {
		switch f := c.frame(id).(type) {
		case *http2.DataFrame:
			e.Data += string(f.Data())
			e.Clean = e.Clean || f.StreamEnded()
		case *http2.RSTStreamFrame:
			code := f.ErrCode
			e.Reset = &code
			return e
		}
		if e.Clean && !resetFollows {
			return e
		}
	}
}

// ping checks that the HTTP/2 connection works.
func (c *rawH2) ping() {
	c.t.Helper()
	require.NoError(c.t, c.fr.WritePing(false, [8]byte{1}))
	for {
		if f, ok := c.frame(0).(*http2.PingFrame); ok && f.IsAck() {
			return
		}
	}
}
