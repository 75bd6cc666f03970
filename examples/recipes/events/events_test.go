package events_test

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/examples/recipes/events"
	"github.com/speakingtube/speakingtube/middleware"
	"github.com/speakingtube/speakingtube/pipeline"
)

// An open stream does not hold up a drain, and its client gets a complete answer.
func TestStream(t *testing.T) {
	texts := make(chan string, 2)
	ended := make(chan struct{}, 1)
	h := pipeline.New().Use(
		middleware.Recover(middleware.RecoverOptions{Logger: slog.New(slog.DiscardHandler)}),
		middleware.Timeout(time.Minute),
	).RunFunc(func(w http.ResponseWriter, r *http.Request) {
		events.Stream(w, r, texts, time.Hour)
		ended <- struct{}{}
	}).MustBuild()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	done := make(chan error, 1)
	go func() { done <- pipeline.ServeListener(ctx, ln, &http.Server{Handler: h}) }()

	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	open := func() (*http.Response, *bufio.Reader) {
		res, err := client.Get("http://" + ln.Addr().String())
		require.NoError(t, err)
		require.Equal(t, "text/event-stream", res.Header.Get("Content-Type"))
		return res, bufio.NewReader(res.Body)
	}
	expect := func(body *bufio.Reader, want string) {
		t.Helper()
		got := make([]byte, len(want))
		_, err := io.ReadFull(body, got)
		require.NoError(t, err)
		require.Equal(t, want, string(got))
	}

	res, body := open()
	expect(body, "retry: 1000\n\n")
	texts <- "one"
	texts <- "two\r\nlines\rand\na third"
	expect(body, "data: one\n\ndata: two\ndata: lines\ndata: and\ndata: a third\n\n")
	require.NoError(t, res.Body.Close())
	<-ended // the client has left

	res, body = open()
	defer res.Body.Close()
	expect(body, "retry: 1000\n\n")
	stop()
	rest, err := io.ReadAll(body)
	require.NoError(t, err)
	require.Empty(t, rest)
	require.NoError(t, <-done)
}
