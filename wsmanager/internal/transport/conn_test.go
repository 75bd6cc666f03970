package transport

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// Close does not wait for a peer that does not read. crypto/tls would, to send its alert.
func TestClosingOverTLSWaitsForNobody(t *testing.T) {
	srv := httptest.NewUnstartedServer(http.NotFoundHandler())
	srv.StartTLS() // for its certificate
	config := srv.TLS.Clone()
	srv.Close()
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		server := tls.Server(ours, config)
		client := tls.Client(theirs, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // both ends are ours
		shaken := make(chan error, 1)
		go func() {
			shaken <- client.Handshake()
			_, _ = client.Read(make([]byte, 1)) // takes the session tickets, then the message
		}()
		require.NoError(t, server.Handshake())
		require.NoError(t, <-shaken)
		_, err := server.Write([]byte("x"))
		require.NoError(t, err)
		synctest.Wait() // the client has stopped reading
		start := time.Now()
		_ = New(server, nil).Close()
		require.Zero(t, time.Since(start))
		_, err = theirs.Read(make([]byte, 1))
		require.ErrorIs(t, err, io.EOF)
	})
}
