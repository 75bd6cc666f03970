package wsmanager_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
)

// answerWith answers the handshake of the next connection.
func answerWith(t *testing.T, network *memory, answer string) {
	t.Helper()
	conn := receive(t, network.conns)
	_, err := http.ReadRequest(bufio.NewReader(conn))
	require.NoError(t, err)
	_, _ = io.WriteString(conn, answer) // the client may have closed it
	require.NoError(t, conn.Close())
}

// Answers that a proxy gives during a redeploy end a Client that was never connected. After
// the first connection they are temporary.
func TestClientThroughRedeploy(t *testing.T) {
	const body = "Content-Length: 5\r\n\r\nhello"
	for _, tt := range []struct {
		name, answer  string
		before, after bool // whether the Client tries again
	}{
		{"200 of a captive portal", "HTTP/1.1 200 OK\r\n" + body, false, true},
		{"204", "HTTP/1.1 204 No Content\r\n\r\n", false, true},
		{"301", "HTTP/1.1 301 Moved Permanently\r\nLocation: /elsewhere\r\n" + body, false, true},
		{"302 of a captive portal", "HTTP/1.1 302 Found\r\nLocation: https://login.example/\r\n" + body, false, true},
		{"307", "HTTP/1.1 307 Temporary Redirect\r\nLocation: /elsewhere\r\n" + body, false, true},
		{"400", "HTTP/1.1 400 Bad Request\r\n" + body, false, true},
		{"401", "HTTP/1.1 401 Unauthorized\r\n" + body, false, false},
		{"403", "HTTP/1.1 403 Forbidden\r\n" + body, false, true},
		{"404", "HTTP/1.1 404 Not Found\r\n" + body, false, true},
		{"405", "HTTP/1.1 405 Method Not Allowed\r\n" + body, false, true},
		{"407", "HTTP/1.1 407 Proxy Authentication Required\r\n" + body, false, false},
		{"410", "HTTP/1.1 410 Gone\r\n" + body, false, false},
		{"421", "HTTP/1.1 421 Misdirected Request\r\n" + body, false, true},
		{"426", "HTTP/1.1 426 Upgrade Required\r\n" + body, false, true},
		{"429", "HTTP/1.1 429 Too Many Requests\r\n" + body, true, true},
		{"501", "HTTP/1.1 501 Not Implemented\r\n" + body, false, true},
		{"502", "HTTP/1.1 502 Bad Gateway\r\n" + body, true, true},
		{"no HTTP", "220 smtp.example.com ESMTP\r\n", false, true},
		{"101 that is none", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n", false, true},
	} {
		for _, connected := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, connected before: %v", tt.name, connected), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					network := newMemory()
					opts := network.options()
					opts.Reconnect.MaxDowntime = time.Hour
					cl, done := startClient(t, wsmanager.Callbacks{}, opts)
					if connected {
						conn := network.accept(t)
						time.Sleep(time.Minute) // stable, in the time of the bubble
						closeAndAwaitAnswer(t, conn, ws.StatusGoingAway)
					}
					retries := tt.before
					if connected {
						retries = tt.after
					}
					if retries {
						for range 5 {
							answerWith(t, network, tt.answer)
						}
						conn := network.accept(t)
						synctest.Wait()
						_, ok := cl.Conn()
						require.True(t, ok)
						conn.Reset()
						return
					}
					answerWith(t, network, tt.answer)
					var gaveUp *wsmanager.RetriesExhaustedError
					require.ErrorAs(t, <-done, &gaveUp)
				})
			})
		}
	}
}

// A server that was removed ends the Client after MaxDowntime.
func TestClientGivesUpAfterMaxDowntime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newMemory()
		opts := network.options()
		opts.Reconnect.MaxDowntime = time.Hour
		_, done := startClient(t, wsmanager.Callbacks{}, opts)
		closeAndAwaitAnswer(t, network.accept(t), ws.StatusGoingAway)
		began := time.Now()
		go func() {
			for conn := range network.conns {
				if _, err := http.ReadRequest(bufio.NewReader(conn)); err != nil {
					t.Error(err)
				}
				_, _ = io.WriteString(conn, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
				_ = conn.Close()
			}
		}()
		var gaveUp *wsmanager.RetriesExhaustedError
		require.ErrorAs(t, <-done, &gaveUp)
		var refused *wsmanager.RefusedError
		require.ErrorAs(t, gaveUp, &refused)
		require.Equal(t, 404, refused.StatusCode)
		require.Greater(t, gaveUp.Attempts, 100)
		require.InDelta(t, time.Hour, time.Since(began), float64(time.Minute))
		close(network.conns)
	})
}

// Retry gets each failure, and whether the Client was connected before.
func TestClientRetryKnowsWhetherItWasConnected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newMemory()
		opts := network.options()
		var failures []wsmanager.Failure
		opts.Reconnect.Retry = func(f wsmanager.Failure) bool {
			failures = append(failures, f)
			return len(failures) < 5
		}
		_, done := startClient(t, wsmanager.Callbacks{}, opts)
		const busy = "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"
		answerWith(t, network, busy)
		answerWith(t, network, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
		conn := network.accept(t)
		time.Sleep(time.Minute) // stable, in the time of the bubble
		closeAndAwaitAnswer(t, conn, 1012)
		answerWith(t, network, busy)
		answerWith(t, network, busy)
		require.Error(t, <-done)
		var got []string
		for _, f := range failures {
			var refused *wsmanager.RefusedError
			var ended *wsmanager.CloseError
			switch {
			case errors.As(f.Err, &refused):
				got = append(got, fmt.Sprint(f.Attempt, f.Connected, refused.StatusCode))
			case errors.As(f.Err, &ended):
				got = append(got, fmt.Sprint(f.Attempt, f.Connected, int(ended.Code)))
			}
		}
		require.Equal(t, []string{"1 false 503", "2 false 404", "1 true 1012", "2 true 503", "3 true 503"}, got)
	})
}

// Causes that do not change with the time are permanent also after the first connection.
func TestFailureTemporary(t *testing.T) {
	refused := func(status int) error { return fmt.Errorf("dialling: %w", &wsmanager.RefusedError{StatusCode: status}) }
	untrusted := &tls.CertificateVerificationError{Err: errors.New("unknown authority")}
	for _, err := range []error{refused(200), refused(302), refused(403), refused(404), refused(503), wsmanager.ErrHandshake, untrusted, io.EOF} {
		require.True(t, wsmanager.Failure{Err: err, Connected: true}.Temporary(), "%v", err)
		require.Equal(t, wsmanager.Retryable(err), wsmanager.Failure{Err: err}.Temporary(), "%v", err)
	}
	for _, err := range []error{
		refused(401), refused(407), refused(410), wsmanager.ErrShutdown, context.Canceled,
		&wsmanager.CloseError{Code: 1008, Remote: true}, &wsmanager.CloseError{Code: 1002, Remote: true, Err: wsmanager.ErrHandshake},
		&wsmanager.CloseError{Code: 3003, Remote: true}, &wsmanager.CloseError{Code: 1001, Err: wsmanager.ErrShutdown},
	} {
		require.False(t, wsmanager.Failure{Err: err, Connected: true}.Temporary(), "%v", err)
		require.False(t, wsmanager.Failure{Err: err}.Temporary(), "%v", err)
	}
}
