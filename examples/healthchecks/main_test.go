package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

func TestMain(m *testing.M) { wstest.Main(m) }

// start runs the program on free ports until stop is called or the test ends.
func start(t *testing.T) (public, admin string, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	out, in := io.Pipe()
	done := make(chan error, 1)
	go func() { done <- run(ctx, []string{"-addr", "127.0.0.1:0", "-admin-addr", "127.0.0.1:0"}, in) }()
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	m := regexp.MustCompile(`serving (http://\S+), its health on (http://\S+)/health`).FindStringSubmatch(line)
	require.NotNil(t, m, line)
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		http.DefaultClient.CloseIdleConnections()
		cancel()
		select {
		case err := <-done:
			require.NoError(t, err)
		case <-time.After(wstest.Patience):
			t.Fatal("the program did not end")
		}
	}
	t.Cleanup(stop)
	return m[1], m[2], stop
}

func get(t *testing.T, url string) (int, string, http.Header) {
	t.Helper()
	res, err := http.Get(url)
	require.NoError(t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return res.StatusCode, string(body), res.Header
}

func TestAnswers(t *testing.T) {
	public, admin, _ := start(t)
	for _, tt := range []struct {
		url  string
		code int
		body string
	}{
		{public, 200, "Hello World!\n"},
		{public + "/live", 200, "Healthy"},
		{public + "/LIVE/", 200, "Healthy"},
		{public + "/ready", 200, "Healthy"},
		{public + "/health", 404, "404 page not found\n"},
		{public + "/live/x", 404, "404 page not found\n"},
		{admin + "/ready", 200, "Healthy"},
	} {
		code, body, _ := get(t, tt.url)
		require.Equal(t, tt.code, code, tt.url)
		require.Equal(t, tt.body, body, tt.url)
	}
	code, body, header := get(t, admin+"/health")
	require.Equal(t, 200, code)
	require.Equal(t, "application/json", header.Get("Content-Type"))
	require.Equal(t, "no-store, no-cache", header.Get("Cache-Control"))
	var report struct {
		Status string
		Checks map[string]struct {
			Status string
			Data   map[string]int
		}
	}
	require.NoError(t, json.Unmarshal([]byte(body), &report))
	require.Equal(t, "Healthy", report.Status)
	require.Equal(t, "Healthy", report.Checks["drain"].Status)
	require.Positive(t, report.Checks["goroutines"].Data["count"])
}

// Both ports end together, without an error.
func TestRunEnds(t *testing.T) {
	public, admin, stop := start(t)
	stop()
	for _, url := range []string{public, admin} {
		_, err := net.Dial("tcp", url[len("http://"):])
		require.Error(t, err)
	}
}

// Between the signal and the end the service is alive, but not ready.
func TestDraining(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d drain
		h := app(1, &d).MustBuild()
		status := func(path string) int {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
			return w.Code
		}
		ctx, signal := context.WithCancel(t.Context())
		serving, end := d.before(ctx, 10*time.Second)
		defer end()
		require.Equal(t, 200, status("/ready"))
		signal()
		synctest.Wait()
		require.Equal(t, 503, status("/ready"))
		require.Equal(t, 200, status("/live"))
		require.Equal(t, 200, status("/"))
		time.Sleep(10*time.Second - time.Nanosecond)
		require.NoError(t, serving.Err())
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		require.Error(t, serving.Err())
	})
}

// If one of the servers stops, so does the other, and the reason is returned.
func TestOneStopsBoth(t *testing.T) {
	listen := func() net.Listener {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		return ln
	}
	public, admin := listen(), listen()
	require.NoError(t, admin.Close())
	var d drain
	err := serveBoth(t.Context(), app(1, &d).MustBuild(), public, admin)
	require.ErrorIs(t, err, net.ErrClosed)
	require.ErrorContains(t, err, "the server stopped")
	_, err = net.Dial("tcp", public.Addr().String())
	require.Error(t, err)
}

func TestBadArguments(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	require.Error(t, run(t.Context(), []string{"-port", "1"}, io.Discard))
	require.Error(t, run(t.Context(), []string{"-addr", taken.Addr().String()}, io.Discard))
	require.Error(t, run(t.Context(), []string{"-addr", "127.0.0.1:0", "-admin-addr", taken.Addr().String()}, io.Discard))
}
