package main

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// TestMain fails if a goroutine is left over when the tests have ended.
func TestMain(m *testing.M) { wstest.Main(m) }

var quiet = slog.New(slog.DiscardHandler)

func TestRooms(t *testing.T) {
	chat := newChat(quiet)
	srv := httptest.NewServer(newApp(chat, quiet).MustBuild())
	t.Cleanup(srv.Close)

	ann := wstest.Dial(t, srv.URL+"/ws?name=Ann&room=tea", nil)
	ann.ExpectText("Ann is here")
	bob := wstest.Dial(t, srv.URL+"/ws?name=Bob&room=tea", nil)
	ann.ExpectText("Bob is here")
	eve := wstest.Dial(t, srv.URL+"/ws?name=Eve&room=coffee", nil)
	eve.ExpectText("Eve is here")

	bob.SendText("milk?")
	ann.ExpectText("Bob: milk?")
	bob.Kill() // like a pulled cable
	ann.ExpectText("Bob has left")

	eve.SendText("anybody?")
	eve.ExpectText("Eve: anybody?") // and no message from the other room before it
}

func TestNobodyWithoutAName(t *testing.T) {
	c := wstest.HandshakeHandler(t, newApp(newChat(quiet), quiet).MustBuild(), wstest.Request(t, "/ws"), nil, wstest.Memory{})
	require.Equal(t, http.StatusBadRequest, c.Response.StatusCode)
	body, err := io.ReadAll(c.Response.Body)
	require.NoError(t, err)
	require.Contains(t, string(body), "?name=Ann")
}

// A client that does not answer pings is gone after two minutes at most.
func TestGoneWithoutAWord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app := newApp(newChat(quiet), quiet).MustBuild()
		patient := wstest.Memory{Patience: time.Hour}
		ann := wstest.DialHandler(t, app, "/ws?name=Ann", nil, patient)
		ann.ExpectText("Ann is here")
		wstest.DialHandler(t, app, "/ws?name=Bob", nil, patient) // never reads or answers
		ann.ExpectText("Bob is here")
		start := time.Now()
		ann.ExpectText("Bob has left") // Ann's client answers pings while it waits
		require.Less(t, time.Since(start), 2*time.Minute)
	})
}

func TestDrain(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, ln, quiet) }()

	ann := wstest.Dial(t, "http://"+ln.Addr().String()+"/ws?name=Ann", nil)
	stop()
	ann.ExpectClose(1001)
	require.NoError(t, <-ended)
}
