package middleware_test

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/middleware"
	"github.com/speakingtube/speakingtube/pipeline"
)

func TestSecurityHeaders(t *testing.T) {
	year := 365 * 24 * time.Hour
	for _, tt := range []struct {
		name   string
		opts   middleware.SecurityHeadersOptions
		target string
		want   map[string]string
	}{
		{"the default", middleware.SecurityHeadersOptions{}, "https://example.com/", map[string]string{
			"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "strict-origin-when-cross-origin",
		}},
		{"all", middleware.SecurityHeadersOptions{
			HSTS: year, HSTSIncludeSubDomains: true, HSTSPreload: true, FrameOptions: "SAMEORIGIN", ReferrerPolicy: "no-referrer", ContentSecurityPolicy: "default-src 'self'",
		}, "https://example.com/", map[string]string{
			"X-Content-Type-Options": "nosniff", "X-Frame-Options": "SAMEORIGIN", "Referrer-Policy": "no-referrer", "Content-Security-Policy": "default-src 'self'",
			"Strict-Transport-Security": "max-age=31536000; includeSubDomains; preload",
		}},
		{"little", middleware.SecurityHeadersOptions{FrameOptions: "-", ReferrerPolicy: "-"}, "https://example.com/", map[string]string{"X-Content-Type-Options": "nosniff"}},
		{"without https", middleware.SecurityHeadersOptions{HSTS: year, FrameOptions: "-", ReferrerPolicy: "-"}, "http://example.com/", map[string]string{"X-Content-Type-Options": "nosniff"}},
		{"localhost", middleware.SecurityHeadersOptions{HSTS: year, FrameOptions: "-", ReferrerPolicy: "-"}, "https://LOCALHOST:5001/", map[string]string{"X-Content-Type-Options": "nosniff"}},
		{"127.0.0.1", middleware.SecurityHeadersOptions{HSTS: year, FrameOptions: "-", ReferrerPolicy: "-"}, "https://127.0.0.1/", map[string]string{"X-Content-Type-Options": "nosniff"}},
		{"::1", middleware.SecurityHeadersOptions{HSTS: year, FrameOptions: "-", ReferrerPolicy: "-"}, "https://[::1]:443/", map[string]string{"X-Content-Type-Options": "nosniff"}},
		{"another address", middleware.SecurityHeadersOptions{HSTS: time.Minute + time.Millisecond, FrameOptions: "-", ReferrerPolicy: "-"}, "https://127.0.0.2/", map[string]string{
			"X-Content-Type-Options": "nosniff", "Strict-Transport-Security": "max-age=60",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := middleware.SecurityHeaders(tt.opts)(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotModified) }))
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, tt.target, nil))
			got := map[string]string{}
			for name := range w.Result().Header {
				got[name] = w.Result().Header.Get(name)
			}
			require.Equal(t, tt.want, got)
		})
	}
}

// The headers are on errors, once, and the handler's own stay, also those of an upstream
// server.
func TestSecurityHeadersOfHandlers(t *testing.T) {
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Frame-Options", "SAMEORIGIN")
		_, _ = io.WriteString(w, "proxied")
	}))
	defer upstream.Close()
	to, err := url.Parse(upstream.URL)
	require.NoError(t, err)
	h := pipeline.New().
		Use(middleware.Recover(middleware.RecoverOptions{Logger: slog.New(slog.DiscardHandler)}), middleware.SecurityHeaders(middleware.SecurityHeadersOptions{})).
		Mount("/proxy", httputil.NewSingleHostReverseProxy(to)).
		Map("/panic", func(b *pipeline.Builder) { b.RunFunc(func(http.ResponseWriter, *http.Request) { panic("oops") }) }).
		MustBuild()
	overBothProtocols(t, h, func(t *testing.T, srv *httptest.Server) {
		for path, frame := range map[string]string{"/proxy": "SAMEORIGIN", "/panic": "DENY", "/missing": "DENY"} {
			res, _, err := get(t, srv, path)
			require.NoError(t, err)
			require.Equal(t, []string{frame}, res.Header["X-Frame-Options"], path)
			require.Equal(t, []string{"nosniff"}, res.Header["X-Content-Type-Options"], path)
		}
	})
}

// Requests share the values: one that adds to a header does not change those of others.
func TestSecurityHeadersAreNotShared(t *testing.T) {
	h := middleware.SecurityHeaders(middleware.SecurityHeadersOptions{ContentSecurityPolicy: "default-src 'self'"})(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusOK)
		w.Header().Add("Content-Security-Policy", "script-src 'none'")
	}))
	for range 2 {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
		require.Equal(t, []string{"default-src 'self'"}, w.Result().Header["Content-Security-Policy"])
	}
}

func TestSecurityHeadersOptions(t *testing.T) {
	for _, tt := range []struct {
		opts middleware.SecurityHeadersOptions
		want string
	}{
		{middleware.SecurityHeadersOptions{FrameOptions: "ALLOW-FROM https://x"}, "FrameOptions is"},
		{middleware.SecurityHeadersOptions{ContentSecurityPolicy: "default-src\n'self'"}, "ContentSecurityPolicy is"},
		{middleware.SecurityHeadersOptions{ReferrerPolicy: "ö"}, "ReferrerPolicy is"},
		{middleware.SecurityHeadersOptions{HSTS: -1}, "HSTS is -1ns"},
		{middleware.SecurityHeadersOptions{HSTSIncludeSubDomains: true}, "have no effect without HSTS"},
		{middleware.SecurityHeadersOptions{HSTS: time.Hour, HSTSPreload: true}, "HSTSPreload needs"},
	} {
		_, err := pipeline.New().Use(middleware.SecurityHeaders(tt.opts)).Build()
		require.ErrorContains(t, err, tt.want)
	}
}
