package wsmanager_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

const (
	// fuzzLimit is the maximum size of a message.
	fuzzLimit = 1000

	// maxFuzzStream is the maximum size of a stream. A fuzzer that finds nothing new makes its
	// inputs longer.
	maxFuzzStream = 8 << 10
)

// seedStreams adds a part of the conformance cases, few enough that a fuzzer runs them within
// a second. TestConformanceHoweverCut runs all of them.
func seedStreams(f *testing.F) {
	f.Helper()
	for _, g := range conformanceGroups {
		if g.name == "sizes" {
			continue
		}
		for i, tt := range g.cases(peer{masks: true}) {
			if i%12 == 0 && len(tt.send) < 300 {
				f.Add([]byte(tt.send), uint8(i%7), true, g.serverOnly)
			}
		}
	}
}

// FuzzStream feeds arbitrary bytes in arbitrary pieces to the frame reader. Takeovers occur
// during any of its messages. It must not panic, the events must not depend on the pieces, and
// its memory use must be proportional to the received bytes.
func FuzzStream(f *testing.F) {
	seedStreams(f)
	f.Fuzz(func(t *testing.T, stream []byte, piece uint8, client, deflate bool) {
		whole, held := wsmanager.FrameEvents(stream, 0, client, deflate, fuzzLimit)
		// The compressed form of a message may be larger than the message. A buffer has room
		// for twice its content, or for 512 bytes.
		bound := min(fuzzLimit*5/4, max(2*len(stream), 512)) + 128
		require.LessOrEqual(t, held, bound)
		for _, n := range []int{1, int(piece)} {
			got, held := wsmanager.FrameEvents(stream, n, client, deflate, fuzzLimit)
			require.Equal(t, whole, got, "in pieces of %d", n)
			require.LessOrEqual(t, held, bound)
		}
		for _, takes := range []uint8{0xff, piece} {
			for _, n := range []int{0, int(piece)} {
				got, held := wsmanager.FrameEventsTaken(stream, n, client, deflate, fuzzLimit, takes)
				require.Equal(t, whole, got, "in pieces of %d, takeovers %b", n, takes)
				require.LessOrEqual(t, held, bound)
			}
		}
		if len(stream) > maxFuzzStream {
			return
		}
		// The events are formatted with %q, at most 4 bytes for each input byte. An empty
		// frame of 2 bytes still produces an event. A compressed message can inflate to
		// fuzzLimit from a few bytes.
		allowed := uint64(64*len(stream) + len(whole)*8*fuzzLimit + 256<<10)
		spent := uint64(0)
		for range 3 { // other goroutines may allocate too
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			wsmanager.FrameEvents(stream, 0, client, deflate, fuzzLimit)
			runtime.ReadMemStats(&after)
			if spent = after.TotalAlloc - before.TotalAlloc; spent <= allowed {
				return
			}
		}
		require.LessOrEqual(t, spent, allowed, "allocated bytes for a stream of %d", len(stream))
	})
}

// fuzzServer is a server that uses one driver.
type fuzzServer struct {
	driver wsmanager.Driver
	addr   string
	ended  chan error
}

func fuzzServers(f *testing.F) (servers []fuzzServer) {
	f.Helper()
	drivers := []wsmanager.Driver{wsmanager.DriverGoroutine}
	if wsmanager.HasLoops() {
		drivers = append(drivers, wsmanager.DriverEventLoop)
	}
	for _, d := range drivers {
		s := fuzzServer{driver: d, ended: make(chan error, 1)}
		opts := optionsWithoutLog()
		opts.Driver, opts.Limits.MaxMessageSize, opts.Limits.ControlRate = d, fuzzLimit, 1<<20
		opts.Compression = wsmanager.Compression{Enabled: true, Threshold: 1 << 20}
		m := wsmanager.MustNew(wsmanager.Callbacks{
			OnMessage: func(c *wsmanager.Conn, m wsmanager.Message) error { return c.Send(m) },
			OnClose:   func(_ *wsmanager.Conn, err error) { s.ended <- err },
		}, opts)
		srv := httptest.NewServer(m)
		s.addr = srv.Listener.Addr().String()
		f.Cleanup(func() {
			_ = m.Shutdown(f.Context()) // no connection is open
			srv.Close()
		})
		servers = append(servers, s)
	}
	return servers
}

// FuzzDrivers sends arbitrary bytes in arbitrary pieces over a real socket. With both drivers
// the peer must read the responses to the events that FrameEvents finds in the same bytes in
// memory, then EOF and not a reset. OnClose must receive the same error.
func FuzzDrivers(f *testing.F) {
	seedStreams(f)
	servers := fuzzServers(f)
	f.Fuzz(func(t *testing.T, stream []byte, piece uint8, _, deflate bool) {
		if len(stream) > maxFuzzStream {
			return
		}
		events, _ := wsmanager.FrameEvents(stream, 0, true, deflate, fuzzLimit)
		want, end := expectedAnswers(events)
		for _, s := range servers {
			got, err := s.exchange(t, stream, int(piece), deflate)
			require.ErrorIs(t, err, io.EOF, "%v: after %q", s.driver, got)
			require.Equal(t, want, got, "%v", s.driver)
			require.Equal(t, end, endOf(<-s.ended), "%v", s.driver)
		}
	})
}

// expectedAnswers returns the frames that the peer reads in response to these events, and how
// the connection ends.
func expectedAnswers(events []string) (want []string, end string) {
	end = "1006 by the peer" // the stream ends without a close frame
	for _, e := range events {
		kind, rest, _ := strings.Cut(e, " ")
		switch kind {
		case "compressed":
			want = append(want, rest) // the echo is not compressed
		case "text", "binary":
			want = append(want, e)
		case "ping":
			want = append(want, "pong "+rest)
		case "fail":
			want, end = append(want, "close "+rest+` ""`), rest+" here"
		case "close":
			want = append(want, e)
			if code, _, _ := strings.Cut(rest, " "); code == "1000" || code == "1001" || code == "1005" {
				end = "orderly"
			} else {
				end = code + " by the peer"
			}
		}
	}
	return want, end
}

func endOf(err error) string {
	var ce *wsmanager.CloseError
	switch {
	case err == nil:
		return "orderly"
	case !errors.As(err, &ce):
		return err.Error()
	case ce.Remote:
		return fmt.Sprintf("%d by the peer", ce.Code)
	}
	return fmt.Sprintf("%d here", ce.Code)
}

const fuzzHandshake = "GET / HTTP/1.1\r\nHost: example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + wstest.Key + "\r\n"

// exchange sends the stream in pieces and then nothing more. For pieces of 0 bytes it sends the
// stream together with the handshake. It returns all frames that it receives and the error
// that ends them.
func (s fuzzServer) exchange(t *testing.T, stream []byte, piece int, deflate bool) (got []string, err error) {
	t.Helper()
	conn, err := net.Dial("tcp", s.addr)
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.(*net.TCPConn).SetLinger(0)) // no TIME_WAIT: the fuzzer opens thousands of connections per second
	require.NoError(t, conn.SetDeadline(time.Now().Add(wstest.Patience)))
	hello := fuzzHandshake
	if deflate {
		hello += "Sec-WebSocket-Extensions: permessage-deflate\r\n"
	}
	hello += "\r\n"
	if piece == 0 {
		hello, stream = hello+string(stream), nil
	}
	_, err = io.WriteString(conn, hello)
	require.NoError(t, err)
	br := bufio.NewReader(conn)
	res, err := http.ReadResponse(br, nil)
	require.NoError(t, err)
	require.Equal(t, 101, res.StatusCode)
	require.NoError(t, writeChopped(conn, string(stream), piece))
	require.NoError(t, conn.(*net.TCPConn).CloseWrite())
	for {
		w, err := (peer{masks: true}).read(br)
		if err != nil {
			return got, err
		}
		got = append(got, describe(w))
	}
}

// describe formats a frame in the notation of FrameEvents.
func describe(w wire) string {
	switch w.first {
	case final | aText:
		return fmt.Sprintf("text %q", w.payload)
	case final | aBinary:
		return fmt.Sprintf("binary %q", w.payload)
	case final | aPong:
		return fmt.Sprintf("pong %q", w.payload)
	case final | aClose:
		if w.payload == "" {
			return `close 1005 ""`
		}
		return fmt.Sprintf("close %d %q", int(w.payload[0])<<8|int(w.payload[1]), w.payload[2:])
	}
	return fmt.Sprintf("%#x %q", w.first, w.payload)
}
