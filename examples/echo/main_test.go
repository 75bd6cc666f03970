package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

func TestMain(m *testing.M) { wstest.Main(m) }

// output is what the program prints.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// program is the program itself, running.
type program struct {
	url  string
	out  *output
	stop context.CancelFunc
	done chan error // run's result
}

// start runs the program on a free port until the test ends.
func start(t *testing.T, args ...string) *program {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	p := &program{out: &output{}, stop: stop, done: make(chan error, 1)}
	go func() { p.done <- run(ctx, append(args, "-addr", "127.0.0.1:0"), p.out) }()
	serving := regexp.MustCompile(`serving (http://\S+)`)
	require.Eventually(t, func() bool { return serving.MatchString(p.out.String()) }, wstest.Patience, time.Millisecond)
	p.url = serving.FindStringSubmatch(p.out.String())[1]
	t.Cleanup(func() {
		stop()
		http.DefaultClient.CloseIdleConnections()
		p.end(t)
	})
	return p
}

// end waits until the program has ended, as it should.
func (p *program) end(t *testing.T) {
	t.Helper()
	select {
	case err := <-p.done:
		p.done <- err
		require.NoError(t, err)
	case <-time.After(wstest.Patience):
		t.Fatal("the program did not end")
	}
}

func TestEcho(t *testing.T) {
	for _, driver := range drivers {
		t.Run(driver.String(), func(t *testing.T) {
			p := start(t, "-driver", driver.String())
			c := wstest.Dial(t, p.url+"/echo", nil)
			c.SendText("hello")
			c.ExpectText("hello")
			c.SendBinary([]byte{1, 2})
			f, err := c.ReadFrame()
			require.NoError(t, err)
			require.Equal(t, ws.OpBinary, f.Header.OpCode)
			require.Equal(t, []byte{1, 2}, f.Payload)
			c.SendClose(1000, "")
			c.ExpectClose(1000)
			require.Equal(t, 1, strings.Count(p.out.String(), "\n"), "nothing is printed but the address:\n%s", p.out)
		})
	}
}

func TestCompress(t *testing.T) {
	offer := http.Header{"Sec-WebSocket-Extensions": {"permessage-deflate"}}
	for _, compress := range []bool{true, false} {
		p := start(t, fmt.Sprintf("-compress=%v", compress))
		for _, path := range []string{"/echo", "/broadcast"} {
			c := wstest.Dial(t, p.url+path, offer)
			c.SendText(strings.Repeat("again ", 1000))
			f, err := c.ReadFrame()
			require.NoError(t, err)
			require.Equal(t, compress, f.Header.Rsv1())
			require.Equal(t, compress, len(f.Payload) < 100)
		}
	}
}

// As big as the suites send them, and not a byte more.
func TestMessageLimit(t *testing.T) {
	p := start(t)
	c := wstest.Dial(t, p.url+"/echo", nil)
	big := strings.Repeat("x", 16<<20)
	go func() {
		if _, err := c.Conn().Write(wstest.Frame(ws.OpText, true, []byte(big))); err != nil {
			t.Error(err)
		}
	}()
	require.Len(t, c.Text(), len(big))
	_, _ = c.Conn().Write(wstest.Frame(ws.OpText, true, []byte(big+"x"))) // it may be cut off in the middle
	c.ExpectClose(1009)
}

// A client that writes far more than it reads is held up, not cut off.
func TestBackpressure(t *testing.T) {
	p := start(t)
	c := wstest.Dial(t, p.url+"/echo", nil)
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
	time.Sleep(300 * time.Millisecond) // for the server to run full: nothing tells from outside when it has
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
		clients = append(clients, wstest.Dial(t, p.url+"/broadcast", nil))
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
	blocked := wstest.Dial(t, p.url+"/block", nil)
	blocked.SendText("never answered")

	sleeper := wstest.Dial(t, p.url+"/sleep?ms=20", nil)
	began := time.Now()
	sleeper.SendText("x")
	sleeper.ExpectText("x")
	require.GreaterOrEqual(t, time.Since(began), 20*time.Millisecond)
	require.Equal(t, 400, wstest.Handshake(t, wstest.Request(t, p.url+"/sleep?ms=soon"), nil).Response.StatusCode)

	status, body := get(t, p.url+"/mem")
	require.Equal(t, 200, status)
	var mem map[string]uint64
	require.NoError(t, json.Unmarshal([]byte(body), &mem))
	require.EqualValues(t, 2, mem["connections"])
	require.Positive(t, mem["goroutines"])
	require.Positive(t, mem["heap_alloc"])

	status, body = get(t, p.url+"/stats")
	require.Equal(t, 200, status)
	var stats map[string]wsmanager.Stats
	require.NoError(t, json.Unmarshal([]byte(body), &stats))
	require.EqualValues(t, 1, stats["/sleep"].MessagesOut)
	require.EqualValues(t, 1, stats["/sleep"].Refused.Rejected)
	require.Equal(t, 1, stats["/block"].Connections)

	// Callbacks that don't return keep the program from nothing.
	p.stop()
	sleeper.ExpectClose(1001)
	p.end(t)
}

func TestNoDebug(t *testing.T) {
	p := start(t)
	for _, path := range []string{"/mem", "/stats", "/sleep?ms=1", "/block", "/"} {
		status, _ := get(t, p.url+path)
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
	require.ErrorContains(t, run(t.Context(), []string{"-compress", "-level", "10"}, io.Discard), "Level is 10")
	require.ErrorContains(t, run(t.Context(), []string{"-driver", "steam"}, io.Discard), `-driver is "steam"`)
}
