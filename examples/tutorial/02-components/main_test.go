package main

import (
	"bytes"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestComponents(t *testing.T) {
	var logged bytes.Buffer
	log.SetOutput(&logged)
	t.Cleanup(func() { log.SetOutput(os.Stderr) })

	srv := httptest.NewServer(newApp().MustBuild())
	for _, tt := range []struct {
		agent, body string
		status      int
	}{
		{"curl/8", "hello\n", 200},
		{"crawlbot", "people only\n", 403},
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL+"/"+tt.agent, nil)
		require.NoError(t, err)
		req.Header.Set("User-Agent", tt.agent)
		res, err := srv.Client().Do(req)
		require.NoError(t, err)
		body, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		require.Equal(t, tt.status, res.StatusCode)
		require.Equal(t, tt.body, string(body))
	}
	srv.Close() // waits for the handlers, so that all requests are logged
	require.Regexp(t, `GET /curl/8 took \d.*\n.*GET /crawlbot took \d`, logged.String(), "the stopwatch is outside of the component that refuses")
}
