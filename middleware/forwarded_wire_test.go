package middleware_test

import (
	"io"
	"log/slog"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/middleware"
	"github.com/speakingtube/speakingtube/pipeline"
)

func TestForwardedOnTheWire(t *testing.T) {
	opts := middleware.ForwardedOptions{Trusted: []string{"127.0.0.1"}, Headers: allX}
	h := middleware.Forwarded(opts)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, strings.TrimSuffix(describe(r), middleware.PeerAddr(r)))
	}))
	overBothProtocols(t, h, func(t *testing.T, srv *httptest.Server) {
		_, body, err := get(t, srv, "/x", "X-Forwarded-For", client, "X-Forwarded-Proto", "https", "X-Forwarded-Host", "site.example")
		require.NoError(t, err)
		require.Equal(t, "203.0.113.7:0 https://site.example|/x via ", body)
	})
}

// AccessLog behind Forwarded logs the restored values.
func TestForwardedBeforeAccessLog(t *testing.T) {
	var above, below logs
	h := pipeline.New().Use(
		middleware.AccessLog(middleware.AccessLogOptions{Logger: above.logger()}),
		middleware.Forwarded(middleware.ForwardedOptions{Trusted: []string{"10.0.0.1"}, Headers: []string{"X-Forwarded-For"}}),
		middleware.AccessLog(middleware.AccessLogOptions{Logger: below.logger()}),
	).MustBuild()
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.RemoteAddr = proxy
	r.Header.Set("X-Forwarded-For", client)
	h.ServeHTTP(httptest.NewRecorder(), r)
	require.Equal(t, proxy, group(above.records(t)[0], "request")["remote"])
	require.Equal(t, client+":0", group(below.records(t)[0], "request")["remote"])
}

// net/http removes the files of a form only from its own request.
func TestForwardedRemovesTheFilesOfAForm(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	var files int
	h := middleware.Forwarded(middleware.ForwardedOptions{Trusted: []string{"127.0.0.1"}, Headers: []string{"X-Forwarded-For", "X-Forwarded-Prefix"}})(
		http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			_ = r.ParseMultipartForm(1)
			found, _ := os.ReadDir(dir)
			files = len(found)
		}))
	srv := httptest.NewServer(counted(h))
	defer srv.Close()
	body, form := io.Pipe()
	mw := multipart.NewWriter(form)
	go func() {
		part, err := mw.CreateFormFile("f", "f")
		if err == nil {
			_, err = part.Write(make([]byte, 11<<20))
		}
		if err == nil {
			err = mw.Close()
		}
		_ = form.CloseWithError(err)
	}()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL, body)
	require.NoError(t, err)
	req.Header.Set("Content-Type", mw.FormDataContentType())
	req.Header.Set("X-Forwarded-For", client)
	req.Header.Set("X-Forwarded-Prefix", "/p")
	res, err := srv.Client().Do(req)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	srv.Close()
	require.Positive(t, files)
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestForwardedSaysWhyAtDebug(t *testing.T) {
	var log logs
	logger := slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	opts := middleware.ForwardedOptions{Trusted: []string{"10.0.0.1"}, Headers: allX, AllowedHosts: []string{"site.example"}, Logger: logger}
	requestBehindForwarded(t, opts, proxy)
	requestBehindForwarded(t, opts, client+":1", "X-Forwarded-For", victim)
	requestBehindForwarded(t, opts, proxy, "X-Forwarded-For", client, "X-Forwarded-Host", "evil.example")
	requestBehindForwarded(t, opts, proxy, "X-Forwarded-For", client, "X-Forwarded-Host", "evil/", "X-Forwarded-Proto", "x", "X-Forwarded-Prefix", "x")
	requestBehindForwarded(t, opts, proxy, "X-Forwarded-For", "x")
	requestBehindForwarded(t, middleware.ForwardedOptions{Trusted: opts.Trusted, Headers: []string{"Forwarded"}, Logger: logger}, proxy, "Forwarded", "x")
	var reasons []any
	for _, rec := range log.records(t) {
		require.Equal(t, "DEBUG", rec["level"])
		reasons = append(reasons, rec["err"])
	}
	require.Equal(t, []any{"the peer is not a trusted proxy", "the host is not among AllowedHosts", "the scheme is neither http nor https", "the host is invalid", "the prefix is not a clean path",
		"the entry has no valid address", "the element is malformed"}, reasons)
}
