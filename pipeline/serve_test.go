package pipeline_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/pipeline"
)

// serving runs ServeListener on a free port; the channel gets its result.
func serving(t *testing.T, srv *http.Server, drain ...func(context.Context) error) (url string, stop context.CancelFunc, done chan error) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done = make(chan error, 1)
	go func() { done <- pipeline.ServeListener(ctx, ln, srv, drain...) }()
	t.Cleanup(cancel)
	return "http://" + ln.Addr().String(), cancel, done
}

func wait(t *testing.T, done chan error) error {
	t.Helper()
	select {
	case err := <-done:
		return err
	case <-time.After(20 * time.Second):
		t.Fatal("it did not end")
		return nil
	}
}

func TestServeEndsInOrder(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(entered)
		<-release
		_, _ = io.WriteString(w, "served to the end")
	})
	drained := make(chan error, 1)
	url, stop, done := serving(t, &http.Server{Handler: h}, func(ctx context.Context) error {
		if _, ok := ctx.Deadline(); !ok {
			drained <- errors.New("a drain has a deadline")
		}
		drained <- ctx.Err()
		return nil
	})
	got := make(chan string, 1)
	go func() {
		res, err := http.Get(url)
		if err != nil {
			got <- err.Error()
			return
		}
		defer res.Body.Close()
		b, _ := io.ReadAll(res.Body)
		got <- string(b)
	}()
	<-entered
	stop()
	require.NoError(t, <-drained) // during the running request, not after it
	select {
	case err := <-done:
		t.Fatal("it did not wait for the request: ", err)
	default:
	}
	close(release)
	require.NoError(t, wait(t, done))
	require.Equal(t, "served to the end", <-got)
	http.DefaultClient.CloseIdleConnections()
}

func TestServeFillsInLimits(t *testing.T) {
	srv := &http.Server{Handler: text("x"), IdleTimeout: time.Hour}
	_, stop, done := serving(t, srv)
	stop()
	require.NoError(t, wait(t, done))
	require.Equal(t, 5*time.Second, srv.ReadHeaderTimeout)
	require.Equal(t, 64<<10, srv.MaxHeaderBytes)
	require.Equal(t, time.Hour, srv.IdleTimeout, "a field that is set stays")
}

func TestServeReportsFailedDrains(t *testing.T) {
	bad := errors.New("the sockets did not end")
	_, stop, done := serving(t, &http.Server{Handler: text("x")}, func(context.Context) error { return bad })
	stop()
	require.ErrorIs(t, wait(t, done), bad)
}

// If the server stops by itself, the drains still run.
func TestServeDrainsWhenTheServerFails(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, ln.Close())
	drained := false
	err = pipeline.ServeListener(t.Context(), ln, &http.Server{}, func(context.Context) error { drained = true; return nil })
	require.ErrorIs(t, err, net.ErrClosed)
	require.True(t, drained)
}

func TestServeEndsWithShutdownFromElsewhere(t *testing.T) {
	srv := &http.Server{Handler: text("x")}
	url, _, done := serving(t, srv)
	res, err := http.Get(url)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.NoError(t, srv.Shutdown(t.Context()))
	require.NoError(t, wait(t, done))
	http.DefaultClient.CloseIdleConnections()
}

func TestServeListens(t *testing.T) {
	require.Error(t, pipeline.Serve(t.Context(), &http.Server{Addr: "127.0.0.1:99999"}))
	require.ErrorContains(t, pipeline.Serve(t.Context(), &http.Server{Addr: "127.0.0.1:0"}, nil), "drain number 1 is nil")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, pipeline.Serve(ctx, &http.Server{Addr: "127.0.0.1:0"}), "the context had ended before: a clean end")
}

func TestServeTLS(t *testing.T) {
	certs := httptest.NewUnstartedServer(nil)
	certs.StartTLS()
	defer certs.Close()
	srv := &http.Server{Handler: text("over TLS"), TLSConfig: &tls.Config{Certificates: certs.TLS.Certificates}}
	url, stop, done := serving(t, srv)
	client := certs.Client()
	client.Transport.(*http.Transport).TLSClientConfig.ServerName = "example.com"
	res, err := client.Get("https" + url[len("http"):])
	require.NoError(t, err)
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, "over TLS", string(body))
	client.CloseIdleConnections()
	stop()
	require.NoError(t, wait(t, done))
}
