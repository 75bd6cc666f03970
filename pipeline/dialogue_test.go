package pipeline_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// dialogue is a connection of a test, which speaks HTTP/1 by hand.
type dialogue struct {
	net.Conn
	*bufio.Reader
}

func (d dialogue) Read(p []byte) (int, error) { return d.Reader.Read(p) }

// open connects and sends.
func open(t *testing.T, addr, request string) dialogue {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(60*time.Second)))
	_, err = io.WriteString(conn, request)
	require.NoError(t, err)
	return dialogue{conn, bufio.NewReader(conn)}
}

// answer reads the next answer.
func (d dialogue) answer(t *testing.T) (*http.Response, string) {
	t.Helper()
	res, err := http.ReadResponse(d.Reader, nil)
	require.NoError(t, err)
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return res, string(body)
}

// requireEnd waits until the server has closed the connection.
func (d dialogue) requireEnd(t *testing.T) {
	t.Helper()
	rest, err := io.ReadAll(d)
	require.NotErrorIs(t, err, os.ErrDeadlineExceeded, "the connection stays open")
	require.Empty(t, string(rest))
}
