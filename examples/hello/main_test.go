package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

func TestMain(m *testing.M) { wstest.Main(m) }

func TestAnswers(t *testing.T) {
	srv := httptest.NewServer(app().MustBuild())
	defer srv.Close()
	for _, tt := range []struct{ target, want string }{
		{"/", "===>>>>>> Hello World! <<<<<<==="},
		{"/anything", "===>>>>>> Hello World! <<<<<<==="},
		{"/map1", "===>>>>>> Map Test 1 <<<<<<==="},
		{"/map1/x", "===>>>>>> Map Test 1 <<<<<<==="},
		{"/map1/nested", "===>>>>>> Map Test 1 nested <<<<<<==="},
		{"/map2", "===>>>>>> Map Test 2 <<<<<<==="},
		{"/map3", "===>>>>>> Hello World! <<<<<<==="},
		{"/?branch=x", "===>>>>>> MapBranch Test <<<<<<==="},
		{"/map1?branch=x", "===>>>>>> Map Test 1 <<<<<<==="},
	} {
		t.Run(tt.target, func(t *testing.T) {
			res, err := srv.Client().Get(srv.URL + tt.target)
			require.NoError(t, err)
			defer res.Body.Close()
			body, err := io.ReadAll(res.Body)
			require.NoError(t, err)
			require.Equal(t, 200, res.StatusCode)
			require.Equal(t, tt.want, string(body))
		})
	}
}

// The program serves until its context ends, and then ends without an error.
func TestRun(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	out, in := io.Pipe()
	done := make(chan error, 1)
	go func() { done <- run(ctx, []string{"-addr", "127.0.0.1:0"}, in) }()
	buf := make([]byte, 100)
	n, err := out.Read(buf)
	require.NoError(t, err)
	url, ok := strings.CutPrefix(string(bytes.TrimSpace(buf[:n])), "serving ")
	require.True(t, ok)
	res, err := http.Get(url)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	http.DefaultClient.CloseIdleConnections()
	stop()
	select {
	case err := <-done:
		require.NoError(t, err)
	case <-time.After(wstest.Patience):
		t.Fatal("it did not end")
	}
}

func TestBadFlag(t *testing.T) {
	require.Error(t, run(t.Context(), []string{"-port", "1"}, io.Discard))
}
