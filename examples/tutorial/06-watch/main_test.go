package main

import (
	"io"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/examples/internal/exampletest"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

func TestMain(m *testing.M) { wstest.Main(m) }

func TestWhatIsWatched(t *testing.T) {
	var logged exampletest.Output
	log := slog.New(slog.NewTextHandler(&logged, nil))
	chat := newChat(slog.New(slog.DiscardHandler))
	srv := httptest.NewServer(newApp(chat, log).MustBuild())
	t.Cleanup(srv.Close)

	ann := wstest.Dial(t, srv.URL+"/ws?name=Ann", nil)
	require.Regexp(t, `^\d+ms$`, ann.Response.Header.Get("X-Response-Time"), "also on a 101")
	ann.ExpectText("Ann is here")
	for target, want := range map[string]struct {
		body   string
		status int
	}{
		"/health": {"Healthy", 200},
		"/who":    {"[Ann]\n", 200},
		"/oops":   {`{"type":"about:blank","title":"Internal Server Error","status":500}` + "\n", 500},
	} {
		res, err := srv.Client().Get(srv.URL + target)
		require.NoError(t, err)
		body, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		require.Equal(t, want.status, res.StatusCode)
		require.Equal(t, want.body, string(body))
		require.Len(t, res.Header.Get("X-Request-Id"), 32)
		require.Regexp(t, `^\d+ms$`, res.Header.Get("X-Response-Time"))
	}
	ann.SendText("still here")
	ann.ExpectText("Ann: still here")

	for _, want := range []string{"request.url=/who", "response.status=101", "index out of range"} {
		require.Eventually(t, func() bool { return strings.Contains(logged.String(), want) }, wstest.Patience, time.Millisecond)
	}
	require.NotContains(t, logged.String(), "request.url=/health")
}
