package wsmanager_test

import (
	"net"
	"net/http/httptest"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// A server behind a proxy on the same machine may listen on a Unix socket.
func TestOverAUnixSocket(t *testing.T) { onSocketDrivers(t, testOverAUnixSocket) }

func testOverAUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	ln, err := net.Listen("unix", path)
	require.NoError(t, err)
	j := newJournal()
	m := wsmanager.MustNew(recordingCallbacks(j), onDriver(t, optionsWithoutLog()))
	srv := httptest.NewUnstartedServer(m)
	_ = srv.Listener.Close() // the TCP listener is unused
	srv.Listener = ln
	srv.Start()
	defer srv.Close()
	defer shutdown(t, m)
	conn, err := net.Dial("unix", path)
	require.NoError(t, err)
	c := wstest.HandshakeOn(t, conn, wstest.Request(t, "/"), nil)
	require.Equal(t, 101, c.Response.StatusCode)
	c.SendText("hello")
	c.ExpectText("hello")
	big := repeat("x", 60<<10)
	for range 20 {
		c.SendText(big)
		c.ExpectText(big)
	}
	c.SendClose(1000, "")
	c.ExpectClose(1000)
	require.Equal(t, "close: <nil>", j.await(t, 23)[22])
}
