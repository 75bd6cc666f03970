package h2test_test

import (
	"bytes"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/speakingtube/speakingtube/internal/h2test"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// connectOffered is the setting that allows extended CONNECTs.
var connectOffered = http2.Setting{ID: http2.SettingEnableConnectProtocol, Val: 1}

// script is a server that sends and reads single frames.
type script struct {
	t    *testing.T
	conn *wstest.PipeConn
	fr   *http2.Framer
}

// scripted returns a client and its server, which has sent the given settings. It must run
// in a bubble.
func scripted(t *testing.T, settings ...http2.Setting) (*h2test.Conn, *script) {
	t.Helper()
	client, server := wstest.Pipe(64 << 10)
	c := h2test.New(client)
	s := &script{t, server, http2.NewFramer(server, server)}
	s.fr.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	t.Cleanup(func() {
		require.NoError(t, server.Close())
		c.Close()
	})
	preface := make([]byte, len(http2.ClientPreface))
	_, err := io.ReadFull(server, preface)
	require.NoError(t, err)
	require.Equal(t, http2.ClientPreface, string(preface))
	mine := await[*http2.SettingsFrame](s)
	push, ok := mine.Value(http2.SettingEnablePush)
	require.True(t, ok)
	require.Zero(t, push)
	if settings != nil {
		require.NoError(t, s.fr.WriteSettings(settings...))
		synctest.Wait()
	}
	return c, s
}

// await reads until a frame of the given type.
func await[F http2.Frame](s *script) F {
	s.t.Helper()
	for {
		f, err := s.fr.ReadFrame()
		require.NoError(s.t, err)
		if f, ok := f.(F); ok {
			return f
		}
	}
}

// head sends the head of a response.
func (s *script) head(id uint32, endStream bool, pairs ...string) {
	s.t.Helper()
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	enc.SetMaxDynamicTableSize(0)
	for i := 0; i < len(pairs); i += 2 {
		require.NoError(s.t, enc.WriteField(hpack.HeaderField{Name: pairs[i], Value: pairs[i+1]}))
	}
	require.NoError(s.t, s.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: endStream}))
}

// open opens a tunnel on both sides.
func (s *script) open(c *h2test.Conn) *h2test.Stream {
	s.t.Helper()
	stream, err := c.Open(request(s.t, "http://example.com/chat", "websocket"), false)
	require.NoError(s.t, err)
	s.head(await[*http2.MetaHeadersFrame](s).StreamID, false, ":status", "200")
	_, err = stream.Response()
	require.NoError(s.t, err)
	return stream
}

func runInFakeTime(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, f)
}

func TestSettings(t *testing.T) {
	t.Run("no extended CONNECT", func(t *testing.T) {
		runInFakeTime(t, func(t *testing.T) {
			c, _ := scripted(t, http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 1})
			_, err := c.Open(request(t, "http://example.com/", "websocket"), false)
			require.ErrorIs(t, err, h2test.ErrNotOffered)
			_, err = c.Open(request(t, "http://example.com/", ""), false)
			require.NoError(t, err, "other requests are accepted")
		})
	})
	t.Run("Open waits for them", func(t *testing.T) {
		runInFakeTime(t, func(t *testing.T) {
			c, s := scripted(t)
			r := request(t, "http://example.com/", "websocket")
			opened := make(chan error, 1)
			go func() {
				_, err := c.Open(r, false)
				opened <- err
			}()
			synctest.Wait()
			require.Empty(t, opened)
			require.NoError(t, s.fr.WriteSettings(connectOffered))
			require.NoError(t, <-opened)
			require.True(t, await[*http2.SettingsFrame](s).IsAck())
		})
	})
	t.Run("streams at once", func(t *testing.T) {
		runInFakeTime(t, func(t *testing.T) {
			c, s := scripted(t, connectOffered, http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 1})
			first := s.open(c)
			_, err := c.Open(request(t, "http://example.com/", "websocket"), false)
			require.ErrorContains(t, err, "allows 1 streams")
			first.Reset(http2.ErrCodeCancel)
			s.open(c)
		})
	})
	t.Run("frames and the table of headers", func(t *testing.T) {
		runInFakeTime(t, func(t *testing.T) {
			c, s := scripted(t, connectOffered, http2.Setting{ID: http2.SettingMaxFrameSize, Val: 20_000}, http2.Setting{ID: http2.SettingHeaderTableSize, Val: 0})
			s.fr.ReadMetaHeaders = hpack.NewDecoder(0, nil) // an entry in the table is an error
			s.fr.SetMaxReadFrameSize(1 << 20)
			for range 2 {
				stream := s.open(c)
				_, err := stream.Write(make([]byte, 30_000))
				require.NoError(t, err)
				require.EqualValues(t, 20_000, await[*http2.DataFrame](s).Length)
				require.EqualValues(t, 10_000, await[*http2.DataFrame](s).Length)
			}
		})
	})
}

// The client sends as many bytes as the server allows, and not one more. A lower
// SETTINGS_INITIAL_WINDOW_SIZE takes bytes back from open streams (RFC 9113, 6.9.2).
func TestServersWindows(t *testing.T) {
	runInFakeTime(t, func(t *testing.T) {
		c, s := scripted(t, connectOffered, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 10})
		stream := s.open(c)
		written := make(chan error, 1)
		go func() {
			_, err := stream.Write(make([]byte, 70_000))
			written <- err
		}()
		require.EqualValues(t, 10, await[*http2.DataFrame](s).Length)
		require.NoError(t, s.fr.WriteWindowUpdate(stream.ID(), 5))
		require.EqualValues(t, 5, await[*http2.DataFrame](s).Length)
		require.NoError(t, s.fr.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 4})) // -6 now
		require.NoError(t, s.fr.WriteWindowUpdate(stream.ID(), 7))
		require.EqualValues(t, 1, await[*http2.DataFrame](s).Length)
		require.NoError(t, s.fr.WriteWindowUpdate(stream.ID(), 100_000)) // above the connection's
		got := 10 + 5 + 1
		for got < 65535 {
			got += int(await[*http2.DataFrame](s).Length)
		}
		require.Equal(t, 65535, got)
		synctest.Wait()
		require.Zero(t, s.conn.Unread())
		require.Empty(t, written)
		require.NoError(t, s.fr.WriteWindowUpdate(0, 1000))
		require.EqualValues(t, 1000, await[*http2.DataFrame](s).Length)
		go func() { stream.Reset(http2.ErrCodeCancel) }()
		require.ErrorContains(t, <-written, "reset by this side", "a Write that waits")
	})
}

// A server that does not read makes Write wait, and affects neither Read nor Close.
func TestServerReadsNothing(t *testing.T) {
	runInFakeTime(t, func(t *testing.T) {
		c, s := scripted(t, connectOffered, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 30})
		require.NoError(t, s.fr.WriteWindowUpdate(0, 1<<30))
		stream := s.open(c)
		written := make(chan error, 1)
		go func() {
			_, err := stream.Write(make([]byte, 1<<20))
			written <- err
		}()
		synctest.Wait()
		require.Empty(t, written)
		for range 100 {
			require.NoError(t, s.fr.WritePing(false, [8]byte{1}))
			require.NoError(t, s.fr.WriteData(1, false, []byte("hello")))
		}
		_, err := io.ReadFull(stream, make([]byte, 500))
		require.NoError(t, err)
		begin := time.Now()
		c.Close()
		require.Equal(t, time.Second, time.Since(begin))
		require.ErrorIs(t, <-written, h2test.ErrClosed)
	})
}

func TestPingIsAnswered(t *testing.T) {
	runInFakeTime(t, func(t *testing.T) {
		_, s := scripted(t, connectOffered)
		require.NoError(t, s.fr.WritePing(false, [8]byte{1, 2, 3}))
		f := await[*http2.PingFrame](s)
		require.True(t, f.IsAck())
		require.Equal(t, [8]byte{1, 2, 3}, f.Data)
	})
}

// Padding counts for the windows, and is not data.
func TestPaddingAndTheClientsWindow(t *testing.T) {
	runInFakeTime(t, func(t *testing.T) {
		c, s := scripted(t, connectOffered)
		stream := s.open(c)
		got := make(chan int, 1)
		go func() {
			p, _ := io.ReadAll(stream)
			got <- len(p)
		}()
		// Frames of 257 bytes, 256 of them padding with its length. The window of 256 KiB takes
		// the first 1000; an update of half a window takes the others.
		const first, others = 1000, 500
		granted := make(chan uint32, 1)
		go func() {
			for {
				if f := await[*http2.WindowUpdateFrame](s); f.StreamID != 0 {
					granted <- f.Increment
					return
				}
			}
		}()
		send := func(frames int) {
			for range frames {
				require.NoError(t, s.fr.WriteDataPadded(1, false, []byte("x"), make([]byte, 255)))
			}
		}
		send(first)
		require.GreaterOrEqual(t, <-granted, uint32(128<<10))
		send(others)
		require.NoError(t, s.fr.WriteData(1, true, nil))
		require.Equal(t, first+others, <-got)
	})
}

// Interim responses are skipped before the final one.
func TestInterimResponses(t *testing.T) {
	runInFakeTime(t, func(t *testing.T) {
		c, s := scripted(t, connectOffered)
		stream, err := c.Open(request(t, "http://example.com/", ""), true)
		require.NoError(t, err)
		require.True(t, await[*http2.MetaHeadersFrame](s).StreamEnded())
		s.head(1, false, ":status", "103", "link", "</a.css>")
		s.head(1, false, ":status", "200", "x-b", "b")
		require.NoError(t, s.fr.WriteData(1, false, []byte("body")))
		s.head(1, true, "x-trailer", "c")
		res, err := stream.Response()
		require.NoError(t, err)
		require.Equal(t, http.Header{"X-B": {"b"}}, res.Header)
		body, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		require.Equal(t, "body", string(body))
	})
}

// A GOAWAY ends the streams that it does not cover; the others continue.
func TestGoAway(t *testing.T) {
	runInFakeTime(t, func(t *testing.T) {
		c, s := scripted(t, connectOffered)
		a, b := s.open(c), s.open(c)
		require.NoError(t, s.fr.WriteGoAway(a.ID(), http2.ErrCodeNo, nil))
		_, err := io.ReadAll(b)
		require.ErrorContains(t, err, "GOAWAY")
		_, err = c.Open(request(t, "http://example.com/", "websocket"), false)
		require.ErrorContains(t, err, "GOAWAY")
		require.NoError(t, s.fr.WriteData(a.ID(), true, []byte("still here")))
		got, err := io.ReadAll(a)
		require.NoError(t, err)
		require.Equal(t, "still here", string(got))
	})
}

// Errors of the server end the connection, or the stream, with the code of RFC 9113.
func TestServerErrors(t *testing.T) {
	t.Run("the connection", func(t *testing.T) {
		for _, tt := range []struct {
			name string
			do   func(s *script) error
			code http2.ErrCode
			text string
		}{
			{"a stream's window", func(s *script) (err error) {
				for range 256<<10/16384 + 1 {
					err = s.fr.WriteData(1, false, make([]byte, 16384))
				}
				return err
			}, http2.ErrCodeFlowControl, "beyond a stream's window"},
			{"the connection's window overflows", func(s *script) error { return s.fr.WriteWindowUpdate(0, 1<<31-1) }, http2.ErrCodeFlowControl, "a window above"},
			{"a stream that is not open", func(s *script) error { return s.fr.WriteData(7, false, nil) }, http2.ErrCodeProtocol, "not open"},
			{"a stream that the server opens", func(s *script) error { return s.fr.WriteData(2, false, nil) }, http2.ErrCodeProtocol, "not open"},
			{"a push", func(s *script) error {
				return s.fr.WritePushPromise(http2.PushPromiseParam{StreamID: 1, PromiseID: 2, EndHeaders: true})
			}, http2.ErrCodeProtocol, "a push"},
			{"a setting", func(s *script) error {
				return s.fr.WriteSettings(http2.Setting{ID: http2.SettingMaxFrameSize, Val: 1})
			}, http2.ErrCodeProtocol, "PROTOCOL_ERROR"},
			{"a frame that is too long", func(s *script) error { return s.fr.WriteRawFrame(http2.FrameData, 0, 1, make([]byte, 16385)) },
				http2.ErrCodeFrameSize, "frame too large"},
			{"a header that can't be decoded", func(s *script) error {
				return s.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte{0xff}, EndHeaders: true})
			}, http2.ErrCodeCompression, "COMPRESSION_ERROR"},
		} {
			t.Run(tt.name, func(t *testing.T) {
				runInFakeTime(t, func(t *testing.T) {
					c, s := scripted(t, connectOffered)
					stream := s.open(c)
					wrong := make(chan error, 1)
					go func() { wrong <- tt.do(s) }()
					require.Equal(t, tt.code, await[*http2.GoAwayFrame](s).ErrCode)
					require.NoError(t, <-wrong)
					_, err := io.ReadAll(stream)
					require.ErrorContains(t, err, tt.text)
					_, err = s.fr.ReadFrame()
					require.ErrorIs(t, err, io.EOF, "it is closed")
				})
			})
		}
	})
	t.Run("the stream", func(t *testing.T) {
		for _, tt := range []struct {
			name string
			do   func(s *script) error
			code http2.ErrCode
		}{
			{"a window overflows", func(s *script) error { return s.fr.WriteWindowUpdate(3, 1<<31-1) }, http2.ErrCodeFlowControl},
			{"data before the response", func(s *script) error { return s.fr.WriteData(3, false, []byte("x")) }, http2.ErrCodeProtocol},
			{"no status", func(s *script) error { s.head(3, false, "a", "b"); return nil }, http2.ErrCodeProtocol},
			{"an invalid status", func(s *script) error { s.head(3, false, ":status", "2OO"); return nil }, http2.ErrCodeProtocol},
			{"trailers without an end", func(s *script) error {
				s.head(3, false, ":status", "200")
				s.head(3, false, "a", "b")
				return nil
			}, http2.ErrCodeProtocol},
			{"an invalid header", func(s *script) error { s.head(3, false, ":status", "200", "A", "b"); return nil }, http2.ErrCodeProtocol},
			{"data after the end", func(s *script) error {
				s.head(3, true, ":status", "200")
				return s.fr.WriteData(3, false, []byte("x"))
			}, http2.ErrCodeStreamClosed},
		} {
			t.Run(tt.name, func(t *testing.T) {
				runInFakeTime(t, func(t *testing.T) {
					c, s := scripted(t, connectOffered)
					other := s.open(c)
					stream, err := c.Open(request(t, "http://example.com/", "websocket"), false)
					require.NoError(t, err)
					require.EqualValues(t, 3, stream.ID())
					require.NoError(t, tt.do(s))
					f := await[*http2.RSTStreamFrame](s)
					require.EqualValues(t, 3, f.StreamID)
					require.Equal(t, tt.code, f.ErrCode)
					require.Error(t, stream.CloseWrite())
					require.NoError(t, s.fr.WriteData(1, true, []byte("x")))
					got, err := io.ReadAll(other)
					require.NoError(t, err)
					require.Equal(t, "x", string(got))
				})
			})
		}
	})
	t.Run("no settings first", func(t *testing.T) {
		runInFakeTime(t, func(t *testing.T) {
			c, s := scripted(t)
			require.NoError(t, s.fr.WritePing(false, [8]byte{}))
			require.Equal(t, http2.ErrCodeProtocol, await[*http2.GoAwayFrame](s).ErrCode)
			_, err := c.Open(request(t, "http://example.com/", ""), true)
			require.ErrorContains(t, err, "the first frame")
		})
	})
	t.Run("no HTTP/2", func(t *testing.T) {
		runInFakeTime(t, func(t *testing.T) {
			c, s := scripted(t)
			_, err := io.WriteString(s.conn, "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
			require.NoError(t, err)
			_, err = c.Open(request(t, "http://example.com/", ""), true)
			require.ErrorContains(t, err, "looked like an HTTP/1.1 header")
		})
	})
	t.Run("it vanishes", func(t *testing.T) {
		runInFakeTime(t, func(t *testing.T) {
			c, s := scripted(t, connectOffered)
			stream := s.open(c)
			s.conn.Reset()
			_, err := stream.Read(make([]byte, 1))
			require.ErrorContains(t, err, "connection reset by peer")
		})
	})
}
