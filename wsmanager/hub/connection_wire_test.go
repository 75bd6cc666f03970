package hub_test

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/hub"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// scriptedServer is a server that answers the handshake of each connection together with the records in answer. It sends the
// messages that it receives to got.
func scriptedServer(t *testing.T, answer string, got chan<- string) string {
	t.Helper()
	m := wsmanager.MustNew(wsmanager.Callbacks{
		OnMessage: func(c *wsmanager.Conn, m wsmanager.Message) error {
			if strings.HasPrefix(string(m.Payload), `{"protocol"`) {
				return c.Send(wsmanager.Text(answer))
			}
			if got != nil {
				got <- string(m.Payload)
			}
			return nil
		},
	}, wsmanager.Options{Logger: optionsWithoutLog().Logger, Driver: driverOf(t)})
	srv := httptest.NewServer(m)
	t.Cleanup(func() {
		_ = m.Shutdown(testContext(t))
		srv.Close()
	})
	return srv.URL
}

// The records of a client in each kind of call.
func TestConnectionRecords(t *testing.T) { onEachDriver(t, testConnectionRecords) }

func testConnectionRecords(t *testing.T) {
	got := make(chan string, 10)
	url := scriptedServer(t, "{}\x1e"+`{"type":1,"invocationId":"s1","target":"CLIENTADD","arguments":[5,6]}`+"\x1e", got)
	c := client(t, url, hub.DialOptions{SkipNegotiation: true, Handlers: hub.Methods{"clientAdd": func(a, b int) int { return a + b }}})
	require.Equal(t, "{\"type\":6}\x1e", awaitValue(t, got))
	require.Equal(t, "{\"type\":3,\"invocationId\":\"s1\",\"result\":11}\x1e", awaitValue(t, got))
	ctx, cancel := context.WithCancel(testContext(t))
	waiting := make(chan error, 1)
	go func() { waiting <- c.Call(ctx, "Wait", "x", nil) }()
	require.Equal(t, "{\"type\":1,\"invocationId\":\"1\",\"target\":\"Wait\",\"arguments\":[\"x\",null]}\x1e", awaitValue(t, got))
	cancel()
	require.ErrorIs(t, awaitValue(t, waiting), context.Canceled)
	require.Equal(t, "{\"type\":5,\"invocationId\":\"1\"}\x1e", awaitValue(t, got))
	require.NoError(t, c.Send(testContext(t), "Up", func(yield func(int) bool) { yield(7) }))
	require.Equal(t, "{\"type\":1,\"target\":\"Up\",\"arguments\":[],\"streamIds\":[\"2\"]}\x1e", awaitValue(t, got))
	require.Equal(t, "{\"type\":2,\"invocationId\":\"2\",\"item\":7}\x1e", awaitValue(t, got))
	require.Equal(t, "{\"type\":3,\"invocationId\":\"2\"}\x1e", awaitValue(t, got))
	c.Close()
	require.Equal(t, "{\"type\":7}\x1e", awaitValue(t, got))
	awaitValue(t, c.Done())
}

// The client does not reconnect to a server that breaks the protocol.
func TestConnectionEndsOnMalformedMessages(t *testing.T) {
	onEachDriver(t, testConnectionEndsOnMalformedMessages)
}

func testConnectionEndsOnMalformedMessages(t *testing.T) {
	for name, record := range map[string]string{
		"not a message":        "nonsense",
		"a missing member":     `{"type":1}`,
		"an oversized message": strings.Repeat("x", 2000),
	} {
		t.Run(name, func(t *testing.T) {
			url := scriptedServer(t, "{}\x1e"+record+"\x1e", nil)
			c := client(t, url, hub.DialOptions{SkipNegotiation: true, MaxReceiveSize: 1000, OnReconnecting: func(error) { t.Error("unexpected reconnect") }})
			awaitValue(t, c.Done())
			require.ErrorContains(t, c.Err(), "hub: invalid message of the server: ")
		})
	}
	for name, answer := range map[string]string{
		"unsupported":                   `{"error":"unsupported"}`,
		"before its answer":             `{"type":6}`,
		"the answer to the handshake: ": "nonsense",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := hub.Dial(testContext(t), scriptedServer(t, answer+"\x1e", nil), hub.DialOptions{SkipNegotiation: true, Logger: optionsWithoutLog().Logger})
			require.ErrorContains(t, err, name)
		})
	}
}

// Messages without a call are ignored. An item for a call that is not a stream fails the call.
func TestConnectionIgnoresUnknownMessages(t *testing.T) {
	onEachDriver(t, testConnectionIgnoresUnknownMessages)
}

func testConnectionIgnoresUnknownMessages(t *testing.T) {
	url := scriptedServer(t, "{}\x1e"+strings.Join([]string{
		`{"type":3,"invocationId":"99","result":1}`, `{"type":2,"invocationId":"99","item":1}`, `{"type":5,"invocationId":"9"}`,
		`{"type":10}`, `{"type":8,"sequenceId":1}`, `{"type":9,"sequenceId":1}`, `{"type":1,"target":"unknown","arguments":[]}`, `{"type":6}`,
		`{"type":1,"target":"go","arguments":[]}`,
	}, "\x1e")+"\x1e", nil)
	called := make(chan struct{})
	client(t, url, hub.DialOptions{SkipNegotiation: true, Handlers: hub.Methods{"go": func() { close(called) }}})
	awaitValue(t, called)
}

// inMemory runs a test in fake time, with a server that the given options connect to.
func inMemory(t *testing.T, h http.Handler, test func(t *testing.T, opts hub.DialOptions)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ln := wstest.Listen(64 << 10)
		srv := &http.Server{Handler: h, ErrorLog: log.New(io.Discard, "", 0)}
		served := make(chan struct{})
		go func() {
			defer close(served)
			_ = srv.Serve(ln) // until the server is closed
		}()
		test(t, hub.DialOptions{
			Logger:          optionsWithoutLog().Logger,
			SkipNegotiation: true,
			WebSocket: wsmanager.DialOptions{Network: wsmanager.Network{Dial: func(context.Context, string, string) (net.Conn, error) {
				c, err := ln.Dial()
				if err != nil {
					return nil, err
				}
				return c, nil
			}}},
		})
		require.NoError(t, srv.Close())
		<-served
	})
}

// The client sends a ping 15 s after its last message, and gives up 30 s after the server's last message.
func TestConnectionKeepAlive(t *testing.T) {
	var m *wsmanager.Manager
	var got chan string
	start := func() {
		got = make(chan string, 100)
		m = wsmanager.MustNew(wsmanager.Callbacks{OnMessage: func(c *wsmanager.Conn, msg wsmanager.Message) error {
			if strings.HasPrefix(string(msg.Payload), `{"protocol"`) {
				return c.Send(wsmanager.Text("{}\x1e"))
			}
			got <- string(msg.Payload)
			return nil
		}}, wsmanager.Options{Logger: optionsWithoutLog().Logger, Driver: wsmanager.DriverGoroutine})
	}
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { m.ServeHTTP(w, r) })
	inMemory(t, h, func(t *testing.T, opts hub.DialOptions) {
		start()
		opts.ReconnectDelays = []time.Duration{}
		c, err := hub.Dial(t.Context(), "http://example.com/hub", opts)
		require.NoError(t, err)
		begin := time.Now()
		for i := range 4 {
			require.Equal(t, "{\"type\":6}\x1e", <-got)
			require.Equal(t, time.Duration(i)*15*time.Second, time.Since(begin))
			m.Broadcast(wsmanager.Text("{\"type\":6}\x1e")) // the last message of the server
		}
		time.Sleep(5 * time.Second)
		require.NoError(t, c.Send(t.Context(), "X"))
		require.Contains(t, <-got, "X")
		require.Equal(t, "{\"type\":6}\x1e", <-got)
		require.Equal(t, 65*time.Second, time.Since(begin), "15 s after the last message")
		<-c.Done()
		require.ErrorIs(t, c.Err(), hub.ErrServerTimeout)
		require.Equal(t, 75*time.Second, time.Since(begin).Round(time.Second))
		require.NoError(t, m.Shutdown(t.Context()))
	})
}

// An idle connection stays open, because both sides send pings.
func TestIdleConnectionStaysOpen(t *testing.T) {
	var h *hub.Hub
	inMemory(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.ServeHTTP(w, r) }), func(t *testing.T, opts hub.DialOptions) {
		o := optionsWithoutLog()
		o.WebSocket.Driver = wsmanager.DriverGoroutine
		h = hub.MustNew(testMethods(nil), o)
		opts.OnReconnecting = func(err error) { t.Error(err) }
		c, err := hub.Dial(t.Context(), "http://example.com/hub", opts)
		require.NoError(t, err)
		time.Sleep(time.Hour)
		require.NoError(t, c.Call(t.Context(), "Void"))
		c.Close()
		<-c.Done()
		require.NoError(t, h.Shutdown(t.Context()))
	})
}

// The default delays are those of Microsoft's clients.
func TestConnectionDelays(t *testing.T) {
	dead := false
	var h *hub.Hub
	inMemory(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.ServeHTTP(w, r) }), func(t *testing.T, opts hub.DialOptions) {
		o := optionsWithoutLog()
		o.WebSocket.Driver = wsmanager.DriverGoroutine
		h = hub.MustNew(testMethods(nil), o)
		var attempts []time.Duration
		var begin time.Time
		dial := opts.WebSocket.Network.Dial
		var line net.Conn
		opts.WebSocket.Network.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
			if dead {
				attempts = append(attempts, time.Since(begin))
				return nil, errors.New("dead")
			}
			var err error
			line, err = dial(ctx, network, addr)
			return line, err
		}
		c, err := hub.Dial(t.Context(), "http://example.com/hub", opts)
		require.NoError(t, err)
		synctest.Wait()
		dead, begin = true, time.Now()
		line.(*wstest.PipeConn).Reset()
		<-c.Done()
		require.Equal(t, []time.Duration{0, 2 * time.Second, 12 * time.Second, 42 * time.Second}, attempts)
		require.Error(t, c.Err())
		require.NoError(t, h.Shutdown(t.Context()))
	})
}

// The client gives up a server that accepts the connection and does not answer.
func TestConnectionHandshakeTimeout(t *testing.T) {
	var m *wsmanager.Manager
	inMemory(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			<-r.Context().Done()
			return
		}
		m.ServeHTTP(w, r)
	}), func(t *testing.T, opts hub.DialOptions) {
		m = wsmanager.MustNew(wsmanager.Callbacks{}, wsmanager.Options{Logger: optionsWithoutLog().Logger, Driver: wsmanager.DriverGoroutine})
		for _, skip := range []bool{false, true} {
			opts.SkipNegotiation = skip
			begin := time.Now()
			_, err := hub.Dial(t.Context(), "http://example.com/hub", opts)
			require.ErrorIs(t, err, hub.ErrHandshakeTimeout)
			require.Equal(t, 15*time.Second, time.Since(begin))
		}
		require.NoError(t, m.Shutdown(t.Context()))
	})
}
