package main

import (
	"io"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

func TestMain(m *testing.M) { wstest.Main(m) }

func TestEverybodyHearsEverybody(t *testing.T) {
	srv := httptest.NewServer(newApp(newChat()).MustBuild())
	t.Cleanup(srv.Close)
	ann := wstest.Dial(t, srv.URL+"/ws", nil)
	bob := wstest.Dial(t, srv.URL+"/ws", nil)
	ann.SendText("is this thing on?")
	ann.ExpectText("is this thing on?")
	bob.ExpectText("is this thing on?")

	for target, status := range map[string]int{"/": 200, "/index.html": 200, "/ws": 426, "/nothing": 404} {
		res, err := srv.Client().Get(srv.URL + target)
		require.NoError(t, err)
		body, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		require.Equal(t, status, res.StatusCode, target)
		if status == 200 {
			require.Contains(t, string(body), "new WebSocket")
		}
	}

	req := wstest.Request(t, srv.URL+"/ws")
	req.Header.Set("Origin", "https://evil.example")
	require.Equal(t, 403, wstest.Handshake(t, req, nil).Response.StatusCode)
}
