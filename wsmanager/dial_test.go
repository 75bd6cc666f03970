package wsmanager_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// dialOptionsWithoutLog returns options of a client without a log.
func dialOptionsWithoutLog() wsmanager.DialOptions { return dialOptions(optionsWithoutLog()) }

// dialOptions returns options of a client with the common fields of o.
func dialOptions(o wsmanager.Options) wsmanager.DialOptions {
	return wsmanager.DialOptions{
		Logger: o.Logger, BaseContext: o.BaseContext, Driver: o.Driver, SlowConsumer: o.SlowConsumer,
		Limits: o.Limits, Timeouts: o.Timeouts, Outbox: o.Outbox, Compression: o.Compression,
	}
}

// clientOptions returns options of a Client with the common fields of o.
func clientOptions(o wsmanager.DialOptions, r wsmanager.Reconnect) wsmanager.ClientOptions {
	return wsmanager.ClientOptions{
		Logger: o.Logger, BaseContext: o.BaseContext, Driver: o.Driver, Handshake: o.Handshake, Network: o.Network, Value: o.Value, Reconnect: r,
		Limits: o.Limits, Timeouts: o.Timeouts, Outbox: o.Outbox, Compression: o.Compression,
	}
}

// connect dials a client. Its connection ends before the test does.
func connect(t *testing.T, url string, cb wsmanager.Callbacks, opts wsmanager.DialOptions) *wsmanager.Conn {
	t.Helper()
	c, err := dialAs(t.Context(), t, url, cb, opts)
	require.NoError(t, err)
	t.Cleanup(func() { shutdown(t, c.Manager()) })
	return c
}

// The lifetime of a connection on the client's side.
func TestDial(t *testing.T) { onSocketDrivers(t, testDial) }

func testDial(t *testing.T) {
	server, client := newJournal(), newJournal()
	cb := recordingCallbacks(server)
	cb.OnAccept = func(r *http.Request) (wsmanager.Accept, error) {
		server.note("accept %s %s %s", r.URL, r.Host, r.Header.Get("X-Extra"))
		return wsmanager.Accept{Subprotocol: "b", Header: http.Header{"X-Answer": {"42"}}}, nil
	}
	_, url := serve(t, cb, optionsWithoutLog(), nil)
	opts := dialOptionsWithoutLog()
	opts.Handshake.Header = http.Header{"x-extra": {"yes"}, "Host": {"example.com"}}
	opts.Handshake.Subprotocols = []string{"a", "b"}
	opts.Value = 7
	opts.Handshake.OnResponse = func(h http.Header) error {
		client.note("response %s", h.Get("X-Answer"))
		return nil
	}
	c := connect(t, url+"/path?q=1", wsmanager.Callbacks{
		OnConnect: func(c *wsmanager.Conn) error {
			client.note("connect")
			return c.Send(wsmanager.Text("hello"))
		},
		OnMessage: func(c *wsmanager.Conn, m wsmanager.Message) error {
			client.note("%v %q", m.Type, m.Payload)
			if string(m.Payload) == "hello" {
				return c.SendPrepared(wsmanager.Prepare(wsmanager.Binary([]byte("bytes"))))
			}
			return c.Close(wsmanager.StatusNormalClosure, "bye")
		},
		OnClose: func(_ *wsmanager.Conn, err error) { client.note("close: %v", err) },
	}, opts)
	require.Equal(t, "b", c.Subprotocol())
	require.Nil(t, c.TLS())
	require.Equal(t, strings.TrimPrefix(url, "http://"), c.RemoteAddr().String())
	v, ok := wsmanager.Value[int](c)
	require.True(t, ok)
	require.Equal(t, 7, v)
	require.Equal(t, []string{"response 42", "connect", `text "hello"`, `binary "bytes"`, "close: <nil>"}, client.await(t, 5))
	require.Equal(t, []string{
		"accept /path?q=1 example.com yes", "connect", `text "hello"`, `binary "bytes"`, "close: <nil>",
	}, server.await(t, 5))
	<-c.Context().Done()
	require.ErrorIs(t, c.Send(wsmanager.Text("late")), wsmanager.ErrClosed)
	require.NoError(t, c.Manager().Shutdown(t.Context()))
	require.Zero(t, c.Manager().All().Len())
}

// Messages with every form of the frame header's length arrive complete and in order, in
// both directions.
func TestDialSizes(t *testing.T) { onSocketDrivers(t, testDialSizes) }

func testDialSizes(t *testing.T) {
	for _, scheme := range []string{"ws", "wss"} {
		t.Run(scheme, func(t *testing.T) {
			url, cfg := echoServer(t, scheme == "wss")
			got := make(chan string, 10)
			opts := dialOptionsWithoutLog()
			opts.Network.TLS = cfg
			c := connect(t, url, wsmanager.Callbacks{
				OnMessage: func(_ *wsmanager.Conn, m wsmanager.Message) error { got <- string(m.Payload); return nil },
			}, opts)
			require.Equal(t, scheme == "wss", c.TLS() != nil)
			for _, size := range []int{0, 1, 125, 126, 1000, 65535, 65536} {
				text := strings.Repeat("ab", size/2) + strings.Repeat("c", size%2)
				require.NoError(t, c.Send(wsmanager.Text(text)))
				require.NoError(t, c.SendContext(t.Context(), wsmanager.Text(text)))
				require.NoError(t, c.SendPrepared(wsmanager.Prepare(wsmanager.Text(text))))
				require.NoError(t, c.SendPreparedContext(t.Context(), wsmanager.Prepare(wsmanager.Text(text))))
				require.Equal(t, wsmanager.Sent{Queued: 1}, c.Manager().Broadcast(wsmanager.Text(text)))
				for range 5 {
					require.Equal(t, text, receive(t, got))
				}
			}
		})
	}
}

// echoServer starts an echo server and returns the TLS configuration for its clients.
func echoServer(t *testing.T, overTLS bool) (string, *tls.Config) {
	t.Helper()
	m := wsmanager.MustNew(wsmanager.Callbacks{
		OnMessage: func(c *wsmanager.Conn, m wsmanager.Message) error { return c.SendContext(c.Context(), m) },
	}, onDriver(t, optionsWithoutLog()))
	srv := httptest.NewUnstartedServer(m)
	if overTLS {
		srv.EnableHTTP2 = true // a client must not negotiate HTTP/2
		srv.StartTLS()
	} else {
		srv.Start()
	}
	t.Cleanup(func() {
		shutdown(t, m)
		srv.Close()
	})
	if !overTLS {
		return srv.URL, nil
	}
	return strings.Replace(srv.URL, "https:", "wss:", 1), &tls.Config{RootCAs: srv.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs}
}

func receive[T any](t *testing.T, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(wstest.Patience):
		t.Fatal("no value arrived")
		panic("unreachable")
	}
}

// Connections that share a prepared message mask copies of it and leave it unchanged.
func TestDialSharesPrepared(t *testing.T) { onSocketDrivers(t, testDialSharesPrepared) }

func testDialSharesPrepared(t *testing.T) {
	url, _ := echoServer(t, false)
	const clients, each = 8, 50
	p := wsmanager.Prepare(wsmanager.Text("shared by all"))
	got := make(chan string, clients*each)
	for range clients {
		c := connect(t, url, wsmanager.Callbacks{
			OnMessage: func(_ *wsmanager.Conn, m wsmanager.Message) error { got <- string(m.Payload); return nil },
		}, dialOptionsWithoutLog())
		go func() {
			for range each {
				if err := c.SendPreparedContext(c.Context(), p); err != nil {
					t.Error(err)
				}
			}
		}()
	}
	for range clients * each {
		require.Equal(t, "shared by all", receive(t, got))
	}
}

// Invalid arguments are all reported at once, before any connection is made.
func TestDialMistakes(t *testing.T) {
	opts := dialOptionsWithoutLog()
	opts.Timeouts.Write = -1
	opts.Handshake.Header = http.Header{
		"Connection": {"close"}, "sec-websocket-key": {"x"}, "Bad Name": {"x"}, "X-Split": {"a\r\nb"}, "Content-Length": {"1"},
	}
	opts.Handshake.Subprotocols = []string{"a", "a", "with space", ""}
	cb := wsmanager.Callbacks{OnAccept: func(*http.Request) (wsmanager.Accept, error) { return wsmanager.Accept{}, nil }}
	_, err := wsmanager.Dial(t.Context(), "ftp://user:secret@example.com", cb, opts)
	for _, want := range []string{
		`scheme "ftp"`, "Callbacks.OnAccept", "wsmanager: DialOptions.Timeouts.Write: -1ns is negative",
		`wsmanager: DialOptions.Handshake.Header: the header "Connection" belongs`,
		`"sec-websocket-key" belongs`, `"Bad Name" has an invalid name`, `"X-Split" has a control`, `"Content-Length" describes a body`,
		`DialOptions.Handshake.Subprotocols: the sub-protocol "a" is offered twice`, `"with space" is not a token`, `"" is not a token`,
	} {
		require.ErrorContains(t, err, want)
	}
	require.NotContains(t, err.Error(), "secret")

	for url, want := range map[string]string{
		"":                            "has the scheme",
		"ws://":                       "names no host",
		"ws://:80/":                   "names no host",
		"ws://example.com/#f":         "has a fragment",
		"ws://bücher.example/":        "not ASCII",
		"ws://user:secret@a b/":       "can't be parsed",
		"ws://example.com:port/?q=se": "can't be parsed",
		"/path":                       "has the scheme",
	} {
		_, err := wsmanager.Dial(t.Context(), url, wsmanager.Callbacks{}, dialOptionsWithoutLog())
		require.ErrorContains(t, err, want, url)
		require.NotContains(t, err.Error(), "secret")
	}

	opts = dialOptionsWithoutLog()
	opts.Outbox.Bytes = opts.Limits.MaxMessageSize + 70_000
	opts.Limits.MaxMessageSize = 70_000 - 10
	_, err = wsmanager.Dial(t.Context(), "ws://example.com", wsmanager.Callbacks{}, opts)
	require.ErrorContains(t, err, "DialOptions.Outbox.Bytes: 70000 is too small for a message of Limits.MaxMessageSize (69990)")
}

// A message of the maximum size fits the outbox including its mask. A bigger one is
// refused.
func TestDialBiggestMessage(t *testing.T) { onSocketDrivers(t, testDialBiggestMessage) }

func testDialBiggestMessage(t *testing.T) {
	url, _ := echoServer(t, false)
	opts := dialOptionsWithoutLog()
	opts.Limits.MaxMessageSize = 1000
	opts.Outbox.Bytes = 1008
	c := connect(t, url, wsmanager.Callbacks{}, opts)
	require.NoError(t, c.Send(wsmanager.Binary(make([]byte, 1000))))
	require.ErrorIs(t, c.Send(wsmanager.Binary(make([]byte, 1001))), wsmanager.ErrMessageTooBig)
	require.ErrorIs(t, c.SendPrepared(wsmanager.Prepare(wsmanager.Binary(make([]byte, 1001)))), wsmanager.ErrMessageTooBig)
}

// The error of a refused handshake gives the server's response.
func TestDialRefused(t *testing.T) { onSocketDrivers(t, testDialRefused) }

func testDialRefused(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/unauthorized", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("WWW-Authenticate", "Bearer")
		http.Error(w, "who are you?", http.StatusUnauthorized)
	})
	mux.HandleFunc("/redirect", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/elsewhere", http.StatusFound)
	})
	mux.HandleFunc("/flood", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprint(w, strings.Repeat("x", 1<<20))
	})
	mux.HandleFunc("/ok", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "welcome") })
	mux.HandleFunc("/auth", func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		http.Error(w, user+":"+password, http.StatusForbidden)
	})
	srv := httptest.NewServer(mux)
	defer srv.Close()
	refused := func(path string) *wsmanager.RefusedError {
		t.Helper()
		_, err := dialAs(t.Context(), t, srv.URL+path, wsmanager.Callbacks{}, dialOptionsWithoutLog())
		var re *wsmanager.RefusedError
		require.ErrorAs(t, err, &re)
		require.False(t, re.Proxy)
		return re
	}
	e := refused("/unauthorized")
	require.Equal(t, 401, e.StatusCode)
	require.Equal(t, "Bearer", e.Header.Get("WWW-Authenticate"))
	require.Equal(t, "who are you?\n", string(e.Body))
	require.Equal(t, `wsmanager: the server refused with 401 Unauthorized: "who are you?"`, e.Error())
	e = refused("/redirect")
	require.Equal(t, 302, e.StatusCode)
	require.ErrorContains(t, e, `(to "/elsewhere", which is not followed)`)
	require.Len(t, refused("/flood").Body, 4<<10)
	require.Equal(t, 200, refused("/ok").StatusCode)

	_, err := dialAs(t.Context(), t, strings.Replace(srv.URL, "://", "://me:secret@", 1)+"/auth?token=secret2", wsmanager.Callbacks{}, dialOptionsWithoutLog())
	var re *wsmanager.RefusedError
	require.ErrorAs(t, err, &re)
	require.Equal(t, "me:secret\n", string(re.Body), "the body is the server's own text")
	require.NotContains(t, strings.Replace(err.Error(), "me:secret", "", 1), "secret", "the rest of the error text")
}

// The context of Dial limits Dial only, not the connection.
func TestDialContext(t *testing.T) { onSocketDrivers(t, testDialContext) }

func testDialContext(t *testing.T) {
	url, _ := echoServer(t, false)
	ctx, cancel := context.WithCancelCause(context.Background())
	got := make(chan string, 1)
	c, err := dialAs(ctx, t, url, wsmanager.Callbacks{
		OnMessage: func(_ *wsmanager.Conn, m wsmanager.Message) error { got <- string(m.Payload); return nil },
	}, dialOptionsWithoutLog())
	require.NoError(t, err)
	t.Cleanup(func() { shutdown(t, c.Manager()) })
	cause := fmt.Errorf("no more")
	cancel(cause)
	require.NoError(t, c.Send(wsmanager.Text("still here")))
	require.Equal(t, "still here", receive(t, got))

	_, err = dialAs(ctx, t, url, wsmanager.Callbacks{}, dialOptionsWithoutLog())
	require.ErrorIs(t, err, cause)
}
