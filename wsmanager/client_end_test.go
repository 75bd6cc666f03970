package wsmanager_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
)

// A connection that Close has ended is not a failure, however quickly it ends: Retry is not
// called, and no attempt is counted.
func TestClientCloseIsNotAFailure(t *testing.T) {
	for range 300 {
		net := newMemory()
		opts := net.options()
		opts.Reconnect.MaxAttempts = 1
		opts.Timeouts.Close = 10 * time.Millisecond
		opts.Reconnect.Retry = func(f wsmanager.Failure) bool { t.Errorf("Retry was called with %v", f); return false }
		cl, err := wsmanager.NewClient("ws://example.com/", wsmanager.Callbacks{}, opts)
		require.NoError(t, err)
		done := make(chan error, 1)
		go func() { done <- cl.Run(context.Background()) }()
		conn := net.accept(t)
		go func() {
			_, _ = conn.Read(make([]byte, 1)) // the first byte of the close frame
			conn.Reset()
		}()
		require.Eventually(t, func() bool { _, ok := cl.Conn(); return ok }, time.Minute, time.Microsecond)
		require.NoError(t, cl.Close(wsmanager.StatusNormalClosure, ""))
		require.NoError(t, receive(t, done))
	}
}

// The duration of a connection starts after the handshake, not with the attempt: a server
// with a slow handshake that hangs up at once does not count as stable.
func TestClientSlowHandshakesAreNotStable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newMemory()
		opts := network.options()
		opts.Timeouts.Handshake = time.Hour
		opts.Reconnect.MaxAttempts = 3
		cl, err := wsmanager.NewClient("ws://example.com/", wsmanager.Callbacks{}, opts)
		require.NoError(t, err)
		done := make(chan error, 1)
		go func() { done <- cl.Run(t.Context()) }()
		began := time.Now()
		for range 3 {
			conn := receive(t, network.conns)
			time.Sleep(time.Minute)
			network.conns <- conn
			conn = network.accept(t)
			synctest.Wait()
			conn.Reset()
		}
		var gaveUp *wsmanager.RetriesExhaustedError
		require.ErrorAs(t, <-done, &gaveUp)
		require.Equal(t, 3, gaveUp.Attempts)
		require.Less(t, time.Since(began), 10*time.Minute)
	})
}

// A panic in a function of the application propagates through Run. After that the Client
// accepts no messages.
func TestClientPanicInOnRetry(t *testing.T) {
	opts := clientOptions(dialOptionsWithoutLog(), wsmanager.Reconnect{})
	opts.Network.Dial = func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("down") }
	opts.Reconnect.OnRetry = func(wsmanager.RetryEvent) { panic("oh no") }
	cl, err := wsmanager.NewClient("ws://example.com/", wsmanager.Callbacks{}, opts)
	require.NoError(t, err)
	require.PanicsWithValue(t, "oh no", func() { _ = cl.Run(t.Context()) })
	require.ErrorIs(t, cl.Send(wsmanager.Text("x")), wsmanager.ErrClosed)
}

// If the context ends in OnRetry or Retry, or they call Close, Run returns without another
// attempt.
func TestClientEndsInOnRetry(t *testing.T) {
	for name, how := range map[string]func(*wsmanager.Client, context.CancelFunc){
		"Close":   func(cl *wsmanager.Client, _ context.CancelFunc) { _ = cl.Close(wsmanager.StatusNormalClosure, "") },
		"context": func(_ *wsmanager.Client, cancel context.CancelFunc) { cancel() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				attempts := 0
				opts := clientOptions(dialOptionsWithoutLog(), wsmanager.Reconnect{MinDelay: time.Hour})
				opts.Network.Dial = func(context.Context, string, string) (net.Conn, error) {
					attempts++
					return nil, errors.New("down")
				}
				var cl *wsmanager.Client
				opts.Reconnect.OnRetry = func(wsmanager.RetryEvent) { how(cl, cancel) }
				cl, err := wsmanager.NewClient("ws://example.com/", wsmanager.Callbacks{}, opts)
				require.NoError(t, err)
				began := time.Now()
				err = cl.Run(ctx)
				if name == "Close" {
					require.NoError(t, err)
				} else {
					require.ErrorIs(t, err, context.Canceled)
				}
				require.Equal(t, 1, attempts)
				require.Zero(t, time.Since(began))
			})
		})
	}
}

// The delays grow if a server accepts and hangs up at once.
func TestClientHotLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newMemory()
		opts := network.options()
		var retries atomic.Int64
		opts.Reconnect.OnRetry = func(wsmanager.RetryEvent) { retries.Add(1) }
		cl, _ := startClient(t, wsmanager.Callbacks{}, opts)
		go func() {
			for conn := range network.conns {
				_, err := ws.Upgrade(conn)
				if err == nil {
					err = ws.WriteFrame(conn, ws.NewCloseFrame(ws.NewCloseFrameBody(ws.StatusGoingAway, "")))
				}
				if err != nil {
					t.Error(err)
				}
				_, _ = io.Copy(io.Discard, conn)
				_ = conn.Close()
			}
		}()
		time.Sleep(time.Hour)
		require.Greater(t, retries.Load(), int64(120))
		require.Less(t, retries.Load(), int64(600), "about one in 15 s")
		require.NoError(t, cl.Close(wsmanager.StatusNormalClosure, ""))
		synctest.Wait()
		close(network.conns)
	})
}

// Secrets in a URL do not appear in error texts, even if the URL is invalid or the server
// redirects.
func TestDialErrorsKeepSecrets(t *testing.T) {
	for _, u := range []string{
		"ws://user:top/secret@example.com/", // the slash in the password is not escaped
		"ws://user:se cret@example.com/",
		"wss://admin:secret",
		"ws://example.com:secret/",
		"ws://example.com/%zz?secret",
		"ws://[secret/",
		"ws://example.com/?q=\x01secret",
	} {
		_, err := wsmanager.NewDialer(u, wsmanager.Callbacks{}, dialOptionsWithoutLog())
		require.ErrorContains(t, err, "can't be parsed", u)
		require.NotContains(t, err.Error(), "secret")
		require.NotContains(t, err.Error(), "top")
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u := url.URL{Scheme: "https", User: url.UserPassword("me", "secret"), Host: r.Host, Path: r.URL.Path + "/", RawQuery: r.URL.RawQuery, Fragment: "secret"}
		w.Header().Set("Location", u.String())
		w.WriteHeader(http.StatusMovedPermanently)
	}))
	defer srv.Close()
	_, err := wsmanager.Dial(t.Context(), srv.URL+"/ws?token=secret", wsmanager.Callbacks{}, dialOptionsWithoutLog())
	require.ErrorContains(t, err, fmt.Sprintf("(to \"https://%s/ws/\", which is not followed)", srv.Listener.Addr()))
	require.NotContains(t, err.Error(), "secret")
}

// The event loop does not support TLS. The error is returned before any connection is made.
func TestDialEventLoopOverTLS(t *testing.T) {
	opts := dialOptions(eventLoopOptions(t))
	_, err := wsmanager.NewDialer("wss://example.com/", wsmanager.Callbacks{}, opts)
	require.ErrorContains(t, err, "the event loop can't serve TLS")
	_, err = wsmanager.NewDialer("ws://example.com/", wsmanager.Callbacks{}, opts)
	require.NoError(t, err)
}
