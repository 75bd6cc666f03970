package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/examples/internal/exampletest"
	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

func TestMain(m *testing.M) { wstest.Main(m) }

// start runs the program on a free port until the test ends.
func start(t *testing.T, args ...string) *exampletest.Program {
	t.Helper()
	return exampletest.Start(t, run, append(args, "-addr", "127.0.0.1:0")...)
}

func TestEcho(t *testing.T) {
	for _, driver := range drivers {
		t.Run(driver.String(), func(t *testing.T) {
			p := start(t, "-driver", driver.String())
			c := wstest.Dial(t, p.URL+"/echo", nil)
			c.SendText("hello")
			c.ExpectText("hello")
			c.SendBinary([]byte{1, 2})
			f, err := c.ReadFrame()
			require.NoError(t, err)
			require.Equal(t, ws.OpBinary, f.Header.OpCode)
			require.Equal(t, []byte{1, 2}, f.Payload)
			c.SendClose(1000, "")
			c.ExpectClose(1000)
			require.Equal(t, 1, strings.Count(p.Out.String(), "\n"), "nothing is printed but the address:\n%s", p.Out)
		})
	}
}

func TestCompress(t *testing.T) {
	offer := http.Header{"Sec-WebSocket-Extensions": {"permessage-deflate"}}
	for _, compress := range []bool{true, false} {
		p := start(t, fmt.Sprintf("-compress=%v", compress))
		for _, path := range []string{"/echo", "/broadcast"} {
			c := wstest.Dial(t, p.URL+path, offer)
			c.SendText(strings.Repeat("again ", 1000))
			f, err := c.ReadFrame()
			require.NoError(t, err)
			require.Equal(t, compress, f.Header.Rsv1())
			require.Equal(t, compress, len(f.Payload) < 100)
		}
	}
}

// The biggest message of the suites is accepted, and not a byte more.
func TestMessageLimit(t *testing.T) {
	p := start(t)
	c := wstest.Dial(t, p.URL+"/echo", nil)
	big := strings.Repeat("x", 16<<20)
	go func() {
		if _, err := c.Conn().Write(wstest.Frame(ws.OpText, true, []byte(big))); err != nil {
			t.Error(err)
		}
	}()
	require.Len(t, c.Text(), len(big))
	_, _ = c.Conn().Write(wstest.Frame(ws.OpText, true, []byte(big+"x"))) // the connection may end in the middle
	c.ExpectClose(1009)
}

// A client that writes far more than it reads is slowed down, not dropped.
func TestBackpressure(t *testing.T) {
	p := start(t)
	c := wstest.Dial(t, p.URL+"/echo", nil)
	const messages, size = 1000, 100 << 10 // 100 MB, more than the outbox and both kernels hold
	frame := wstest.Frame(ws.OpBinary, true, make([]byte, size))
	go func() {
		for range messages {
			if _, err := c.Conn().Write(frame); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	time.Sleep(300 * time.Millisecond) // for the server's buffers to fill up: that is not visible from outside
	for range messages {
		f, err := c.ReadFrame()
		require.NoError(t, err)
		require.Len(t, f.Payload, size)
	}
}

func TestBroadcast(t *testing.T) {
	p := start(t)
	var clients []*wstest.Client
	for range 5 {
		clients = append(clients, wstest.Dial(t, p.URL+"/broadcast", nil))
	}
	for i := range 100 {
		clients[i%5].SendText(fmt.Sprint(i))
		for _, c := range clients {
			c.ExpectText(fmt.Sprint(i))
		}
	}
}

func TestDebug(t *testing.T) {
	p := start(t, "-debug")
	blocked := wstest.Dial(t, p.URL+"/block", nil)
	blocked.SendText("never answered")

	sleeper := wstest.Dial(t, p.URL+"/sleep?ms=20", nil)
	began := time.Now()
	sleeper.SendText("x")
	sleeper.ExpectText("x")
	require.GreaterOrEqual(t, time.Since(began), 20*time.Millisecond)
	require.Equal(t, 400, wstest.Handshake(t, wstest.Request(t, p.URL+"/sleep?ms=soon"), nil).Response.StatusCode)

	status, body := get(t, p.URL+"/mem")
	require.Equal(t, 200, status)
	var mem map[string]uint64
	require.NoError(t, json.Unmarshal([]byte(body), &mem))
	require.EqualValues(t, 2, mem["connections"])
	require.Positive(t, mem["goroutines"])
	require.Positive(t, mem["heap_alloc"])

	status, body = get(t, p.URL+"/stats")
	require.Equal(t, 200, status)
	var stats map[string]wsmanager.Stats
	require.NoError(t, json.Unmarshal([]byte(body), &stats))
	require.EqualValues(t, 1, stats["/sleep"].MessagesOut)
	require.EqualValues(t, 1, stats["/sleep"].Refused.Rejected)
	require.Equal(t, 1, stats["/block"].Connections)

	// Callbacks that don't return do not keep the program from ending.
	p.Stop()
	sleeper.ExpectClose(1001)
	p.End(t)
}

func TestNoDebug(t *testing.T) {
	p := start(t)
	for _, path := range []string{"/mem", "/stats", "/sleep?ms=1", "/block", "/"} {
		status, _ := get(t, p.URL+path)
		require.Equal(t, 404, status, path)
	}
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return res.StatusCode, string(body)
}

func TestBadFlags(t *testing.T) {
	require.Error(t, run(t.Context(), []string{"-port", "1"}, io.Discard))
	require.Error(t, run(t.Context(), []string{"-addr", "127.0.0.1:99999"}, io.Discard))
	require.ErrorContains(t, run(t.Context(), []string{"-compress", "-level", "10"}, io.Discard), "Compression.Level: 10")
	require.ErrorContains(t, run(t.Context(), []string{"-driver", "steam"}, io.Discard), `-driver is "steam"`)
}
