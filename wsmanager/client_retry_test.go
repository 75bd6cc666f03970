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

// After a normal close by the server Run returns nil. Other close codes decide whether the
// Client reconnects or Run returns an error.
func TestClientFollowsCloseCodes(t *testing.T) {
	for code, want := range map[ws.StatusCode]string{
		1000: "ended", 1001: "again", 1002: "gave up", 1008: "gave up", 1011: "again", 1012: "again", 1013: "again",
		3000: "gave up", 4001: "again",
	} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				net := newMemory()
				opts := net.options()
				retries := 0
				opts.Reconnect.OnRetry = func(wsmanager.RetryEvent) { retries++ }
				_, done := startClient(t, wsmanager.Callbacks{}, opts)
				closeAndAwaitAnswer(t, net.accept(t), code)
				synctest.Wait()
				require.Equal(t, want == "again", retries == 1)
				if want == "again" {
					return
				}
				err := <-done
				require.Equal(t, want == "ended", err == nil, "%v", err)
				if want == "gave up" {
					var ce *wsmanager.CloseError
					require.ErrorAs(t, err, &ce)
					require.EqualValues(t, code, ce.Code)
				}
			})
		})
	}
}

func TestRetryable(t *testing.T) {
	refused := func(status int) error { return fmt.Errorf("dialling: %w", &wsmanager.RefusedError{StatusCode: status}) }
	for _, yes := range []error{
		errors.New("reset"), io.ErrUnexpectedEOF, refused(408), refused(425), refused(429), refused(500), refused(502), refused(503),
		&wsmanager.CloseError{Code: 1000}, &wsmanager.CloseError{Code: 1011, Err: wsmanager.ErrPanic},
		&wsmanager.CloseError{Code: 1006, Remote: true}, context.DeadlineExceeded,
		// Errors that a callback returned do not decide: CloseError only wraps them.
		&wsmanager.CloseError{Code: 1011, Err: context.Canceled}, &wsmanager.CloseError{Code: 1011, Err: refused(404)},
		&wsmanager.CloseError{Code: 1011, Err: wsmanager.ErrHandshake},
		&wsmanager.CloseError{Code: 1008, Reason: "expired", Remote: true},
	} {
		require.True(t, wsmanager.Retryable(yes), "%v", yes)
	}
	for _, no := range []error{
		refused(200), refused(301), refused(400), refused(401), refused(403), refused(404), refused(407), refused(501),
		wsmanager.ErrHandshake, wsmanager.ErrShutdown, &tls.CertificateVerificationError{Err: errors.New("unknown")}, context.Canceled,
		&wsmanager.CloseError{Code: 1008, Remote: true}, &wsmanager.CloseError{Code: 1008, Reason: "no", Remote: true}, &wsmanager.CloseError{Code: 1001, Err: wsmanager.ErrShutdown},
	} {
		require.False(t, wsmanager.Retryable(no), "%v", no)
	}
}

// A Retry-After header of the server is respected, up to MaxDelay.
func TestClientRetryAfter(t *testing.T) {
	for after, want := range map[string]time.Duration{
		"20": 20 * time.Second, "3600": 30 * time.Second,
		"3000000000": 30 * time.Second, "30000000000000000000": 30 * time.Second, // values above 32 and 64 bits
	} {
		synctest.Test(t, func(t *testing.T) {
			net := newMemory()
			opts := net.options()
			delays := make(chan time.Duration, 1)
			opts.Reconnect.OnRetry = func(r wsmanager.RetryEvent) { delays <- r.Delay }
			_, _ = startClient(t, wsmanager.Callbacks{}, opts)
			conn := receive(t, net.conns)
			_, err := http.ReadRequest(bufio.NewReader(conn))
			require.NoError(t, err)
			fmt.Fprintf(conn, "HTTP/1.1 503 Busy\r\nRetry-After: %s\r\nContent-Length: 0\r\n\r\n", after)
			require.Equal(t, want, <-delays)
		})
	}
}
