package middleware_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/branch"
	"github.com/speakingtube/speakingtube/middleware"
	"github.com/speakingtube/speakingtube/pipeline"
)

func noContent(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }

// The rows are those of ASP.NET Core's host filter, which only differs without a host.
func TestAllowedHosts(t *testing.T) {
	h := pipeline.New().
		Use(middleware.Recover(middleware.RecoverOptions{Logger: slog.New(slog.DiscardHandler)})).
		Use(middleware.AllowedHosts("good.example", "*.wild.example", "[::1]", "127.0.0.1", "xn--bcher-kva.example")).
		RunFunc(noContent).MustBuild()
	for host, allowed := range map[string]bool{
		"good.example": true, "GOOD.example": true, "good.example:8080": true, "good.example.": false, "bad.example": false,
		"a.wild.example": true, "a.b.wild.example": true, "A.WILD.example:1": true, "wild.example": false, ".wild.example": false, "notwild.example": false,
		"[::1]": true, "[::1]:80": true, "[::2]": false, "127.0.0.1": true, "127.0.0.1:80": true, "127.0.0.2": false, "localhost": false,
		"xn--bcher-kva.example": true, "good.example:": true, "": false, "good.example@bad.example": false, "good.example/x": false,
		"good.example:@bad.example": false, "good.example:80@bad.example": false, "good.example:bad": false, "good.example:99999": false, "[good.example]": false,
		"bad.example/.wild.example": false, `bad.example\.wild.example`: false, "bad.example@a.wild.example": false, "bad.example,a.wild.example": false, "::1": false, "[::1]:": true,
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Host = host
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		require.Equal(t, map[bool]int{true: http.StatusNoContent, false: http.StatusBadRequest}[allowed], w.Code, "host %q", host)
	}
	r := httptest.NewRequest(http.MethodOptions, "*", nil)
	r.Host = "bad.example"
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	require.Equal(t, http.StatusBadRequest, w.Code)

	_, err := pipeline.New().Use(middleware.AllowedHosts()).Build()
	require.ErrorContains(t, err, "there are no hosts")
	_, err = pipeline.New().Use(middleware.AllowedHosts("*", "a.example:80", "bücher.example", "*.*.example", "a b")).Build()
	for _, want := range []string{`the host "*" allows every host`, `"a.example:80" is not a host`, `"bücher.example" is not a host`, `"*.*.example" is not a host`, `"a b" is not a host`} {
		require.ErrorContains(t, err, want)
	}
}

func TestHTTPSRedirect(t *testing.T) {
	trust := middleware.Forwarded(middleware.ForwardedOptions{DangerouslyTrustEverybody: true, Headers: []string{"X-Forwarded-Proto", "X-Forwarded-Prefix"}})
	build := func(opts middleware.HTTPSRedirectOptions) http.Handler {
		return pipeline.New().
			Use(middleware.Recover(middleware.RecoverOptions{Logger: slog.New(slog.DiscardHandler)}), trust, branch.UsePathBase("/base"), middleware.HTTPSRedirect(opts)).
			RunFunc(noContent).MustBuild()
	}
	standard, other := build(middleware.HTTPSRedirectOptions{}), build(middleware.HTTPSRedirectOptions{Port: 5001, Status: http.StatusPermanentRedirect})
	for _, tt := range []struct {
		name, method, target, host string
		header                     []string
		status                     int
		location, otherLocation    string
	}{
		{"the root", "GET", "/", "good.example", nil, 307, "https://good.example/", "https://good.example:5001/"},
		{"path and query", "GET", "/a%20b/%C3%BC?x=1&y=%20z", "good.example", nil, 307, "https://good.example/a%20b/%C3%BC?x=1&y=%20z", "https://good.example:5001/a%20b/%C3%BC?x=1&y=%20z"},
		{"a port", "GET", "/", "good.example:8080", nil, 307, "https://good.example/", "https://good.example:5001/"},
		{"IPv6", "GET", "/", "[::1]:8080", nil, 307, "https://[::1]/", "https://[::1]:5001/"},
		{"IPv6 without a port", "GET", "/", "[::1]", nil, 307, "https://[::1]/", "https://[::1]:5001/"},
		{"below the base", "GET", "/base/x?y", "good.example", nil, 307, "https://good.example/base/x?y", "https://good.example:5001/base/x?y"},
		{"the base itself", "GET", "/base", "good.example", nil, 307, "https://good.example/base", "https://good.example:5001/base"},
		{"a prefix that a proxy removed", "GET", "/x", "good.example", []string{"X-Forwarded-Prefix", "/app"}, 307, "https://good.example/app/x", "https://good.example:5001/app/x"},
		{"POST", "POST", "/x", "good.example", nil, 307, "https://good.example/x", "https://good.example:5001/x"},
		{"HEAD", "HEAD", "/", "good.example", nil, 307, "https://good.example/", "https://good.example:5001/"},
		{"https at a proxy", "GET", "/", "good.example", []string{"X-Forwarded-Proto", "https"}, 204, "", ""},
		{"http at a proxy", "GET", "https://good.example/", "good.example", []string{"X-Forwarded-Proto", "http"}, 307, "https://good.example/", "https://good.example:5001/"},
		{"https", "GET", "https://good.example/", "good.example", nil, 204, "", ""},
		{"no host", "GET", "/", "", nil, 400, "", ""},
		{"no valid host", "GET", "/", "good.example/..", nil, 400, "", ""},
		{"user information", "GET", "/", "good.example:1@bad.example", nil, 400, "", ""},
		{"OPTIONS *", "OPTIONS", "*", "good.example", nil, 204, "", ""},
		{"an empty query", "GET", "/x?", "good.example", nil, 307, "https://good.example/x?", "https://good.example:5001/x?"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for i, h := range []http.Handler{standard, other} {
				r := httptest.NewRequest(tt.method, tt.target, nil)
				r.Host = tt.host
				for j := 0; j < len(tt.header); j += 2 {
					r.Header.Set(tt.header[j], tt.header[j+1])
				}
				w := httptest.NewRecorder()
				h.ServeHTTP(w, r)
				status, location := tt.status, tt.location
				if i == 1 {
					location = tt.otherLocation
					if status == http.StatusTemporaryRedirect {
						status = http.StatusPermanentRedirect
					}
				}
				require.Equal(t, status, w.Code)
				require.Equal(t, location, w.Header().Get("Location"))
			}
		})
	}
	// In another chain the path may be one that browsers take for a host.
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Host, r.URL.Path = "good.example", "//evil.example/x"
	middleware.HTTPSRedirect(middleware.HTTPSRedirectOptions{})(http.NotFoundHandler()).ServeHTTP(w, r)
	require.Equal(t, "https://good.example/evil.example/x", w.Header().Get("Location"))

	_, err := pipeline.New().Use(middleware.HTTPSRedirect(middleware.HTTPSRedirectOptions{Port: 70000, Status: 200})).Build()
	require.ErrorContains(t, err, "Port is 70000")
	require.ErrorContains(t, err, "Status is 200")
}
