package wsmanager_test

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

func TestOrigins(t *testing.T) { onEachDriver(t, testOrigins) }

func testOrigins(t *testing.T) {
	allowed := optionsWithoutLog()
	allowed.Origins.Allowed = []string{"https://app.example.com", "http://dev.example.com:3000"}
	anyone := optionsWithoutLog()
	anyone.Origins.DangerouslyAllowAny = true
	apps := optionsWithoutLog()
	apps.Origins.Allowed = []string{
		"capacitor://localhost", "tauri://localhost", "ionic://localhost", "app://obsidian.md", "com.example.app://main:3000",
		"chrome-extension://abcdefghijklmnopabcdefghijklmnop", "moz-extension://2c127fa4-62c7-7e4f-90e5-472b45eecfdc", "vscode-webview://1nbs5gkgqjkm",
	}
	wildcard := optionsWithoutLog()
	wildcard.Origins.Allowed = []string{"https://*.example.com", "http://*.dev.example.com:3000", "https://*.amazonaws.com"}
	asking := optionsWithoutLog()
	asking.Origins.AllowOrigin = func(r *http.Request, origin *url.URL) bool {
		return r.Host == "example.com" && origin.String() == "https://tenant.example"
	}
	asking.Origins.SecureOnly = true
	for _, tt := range []struct {
		name    string
		opts    wsmanager.Options
		host    string
		origins []string
		want    int
	}{
		{"none: not a browser", optionsWithoutLog(), "example.com", nil, 101},
		{"same host", optionsWithoutLog(), "example.com", []string{"http://example.com"}, 101},
		{"same host behind TLS", optionsWithoutLog(), "example.com", []string{"https://example.com"}, 101},
		{"same host, another letter case", optionsWithoutLog(), "EXAMPLE.com", []string{"http://example.COM"}, 101},
		{"same host and port", optionsWithoutLog(), "example.com:8080", []string{"http://example.com:8080"}, 101},
		{"default port written out", optionsWithoutLog(), "example.com:443", []string{"https://example.com"}, 101},
		{"default port written out by the page", optionsWithoutLog(), "example.com", []string{"http://example.com:80"}, 101},
		{"IPv6", optionsWithoutLog(), "[::1]:8080", []string{"http://[::1]:8080"}, 101},
		{"IPv6 without port", optionsWithoutLog(), "[::1]", []string{"http://[::1]"}, 101},
		{"another port", optionsWithoutLog(), "example.com:8080", []string{"http://example.com:8081"}, 403},
		{"another port, the default", optionsWithoutLog(), "example.com:8080", []string{"http://example.com"}, 403},
		{"another host", optionsWithoutLog(), "example.com", []string{"http://evil.example"}, 403},
		{"a subdomain", optionsWithoutLog(), "example.com", []string{"http://www.example.com"}, 403},
		{"a lookalike", optionsWithoutLog(), "example.com", []string{"http://example.com.evil.example"}, 403},
		{"user info", optionsWithoutLog(), "example.com", []string{"http://example.com@evil.example"}, 403},
		{"null", optionsWithoutLog(), "example.com", []string{"null"}, 403},
		{"empty", optionsWithoutLog(), "example.com", []string{""}, 403},
		{"two", optionsWithoutLog(), "example.com", []string{"http://example.com", "http://evil.example"}, 403},
		{"another scheme", optionsWithoutLog(), "example.com", []string{"file://example.com"}, 403},
		{"with a path", optionsWithoutLog(), "example.com", []string{"http://example.com/x"}, 403},
		{"listed", allowed, "example.com", []string{"https://app.example.com"}, 101},
		{"listed, port written out", allowed, "example.com", []string{"https://app.example.com:443"}, 101},
		{"listed with port", allowed, "example.com", []string{"http://dev.example.com:3000"}, 101},
		{"listed with another scheme", allowed, "example.com", []string{"http://app.example.com"}, 403},
		{"same host with a list of allowed origins", allowed, "example.com", []string{"http://example.com"}, 101},
		{"not listed", allowed, "example.com", []string{"https://evil.example"}, 403},
		{"anyone", anyone, "example.com", []string{"https://evil.example"}, 101},
		{"anyone, null", anyone, "example.com", []string{"null"}, 101},
		{"anyone, a file", anyone, "example.com", []string{"file://"}, 101},

		{"Capacitor", apps, "example.com", []string{"capacitor://localhost"}, 101},
		{"Tauri", apps, "example.com", []string{"tauri://localhost"}, 101},
		{"Ionic", apps, "example.com", []string{"ionic://localhost"}, 101},
		{"Electron", apps, "example.com", []string{"app://obsidian.md"}, 101},
		{"an app with a scheme of its own and a port", apps, "example.com", []string{"com.example.app://main:3000"}, 101},
		{"an extension of Chrome", apps, "example.com", []string{"chrome-extension://abcdefghijklmnopabcdefghijklmnop"}, 101},
		{"an extension of Firefox", apps, "example.com", []string{"moz-extension://2c127fa4-62c7-7e4f-90e5-472b45eecfdc"}, 101},
		{"a WebView of Visual Studio Code", apps, "example.com", []string{"vscode-webview://1nbs5gkgqjkm"}, 101},
		{"another extension", apps, "example.com", []string{"chrome-extension://abcdefghijklmnopabcdefghijklmnoo"}, 403},
		{"the id in another browser", apps, "example.com", []string{"moz-extension://abcdefghijklmnopabcdefghijklmnop"}, 403},
		{"a site with the name of an app", apps, "example.com", []string{"https://localhost"}, 403},
		{"an app with a port", apps, "example.com", []string{"capacitor://localhost:8080"}, 403},
		{"an app without a host", apps, "example.com", []string{"capacitor://"}, 403},
		{"an app with a path", apps, "example.com", []string{"capacitor://localhost/"}, 403},
		{"an app that is not listed", optionsWithoutLog(), "example.com", []string{"capacitor://localhost"}, 403},
		{"an app with the name of the host", optionsWithoutLog(), "localhost", []string{"capacitor://localhost"}, 403},
		{"a file, with apps", apps, "example.com", []string{"file://"}, 403},
		{"null, with apps", apps, "example.com", []string{"null"}, 403},

		{"a subdomain", wildcard, "other.example", []string{"https://a.example.com"}, 101},
		{"a subdomain of a subdomain", wildcard, "other.example", []string{"https://a.b.EXAMPLE.com"}, 101},
		{"a subdomain with a port", wildcard, "other.example", []string{"http://a.dev.example.com:3000"}, 101},
		{"the domain itself", wildcard, "other.example", []string{"https://example.com"}, 403},
		{"a part of a label", wildcard, "other.example", []string{"https://evilexample.com"}, 403},
		{"an empty label", wildcard, "other.example", []string{"https://.example.com"}, 403},
		{"two empty labels", wildcard, "other.example", []string{"https://a..example.com"}, 403},
		{"a dot at the end", wildcard, "other.example", []string{"https://a.example.com."}, 403},
		{"a subdomain without TLS", wildcard, "other.example", []string{"http://a.example.com"}, 403},
		{"a subdomain on another port", wildcard, "other.example", []string{"https://a.example.com:8443"}, 403},
		{"the domain in front", wildcard, "other.example", []string{"https://a.example.com.evil.example"}, 403},
		{"a wildcard", wildcard, "other.example", []string{"https://*.example.com"}, 403},
		{"a subdomain that is not ASCII", wildcard, "other.example", []string{"https://b\u00fccher.example.com"}, 403},
		{"a subdomain as punycode", wildcard, "other.example", []string{"https://xn--bcher-kva.example.com"}, 101},
		{"a public suffix between", wildcard, "other.example", []string{"https://evil.s3.amazonaws.com"}, 403},

		{"AllowOrigin agrees", asking, "example.com", []string{"https://TENANT.example:443"}, 101},
		{"AllowOrigin refuses", asking, "example.com", []string{"https://evil.example"}, 403},
		{"AllowOrigin refuses an app", asking, "example.com", []string{"tauri://localhost"}, 403},
		{"AllowOrigin is asked with the request", asking, "other.example", []string{"https://tenant.example"}, 403},
		{"this host, with AllowOrigin", asking, "example.com", []string{"https://example.com"}, 101},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, target := serve(t, wsmanager.Callbacks{}, tt.opts, nil)
			req := wstest.Request(t, target)
			req.Host = tt.host
			if tt.origins != nil {
				req.Header["Origin"] = tt.origins
			}
			require.Equal(t, tt.want, handshakeOver(t, req, nil).Response.StatusCode)
		})
	}
}

// New copies the options and leaves the caller's slice unchanged.
func TestAllowedOriginsAreCopied(t *testing.T) { onEachDriver(t, testAllowedOriginsAreCopied) }

func testAllowedOriginsAreCopied(t *testing.T) {
	opts := optionsWithoutLog()
	opts.Origins.Allowed = []string{"https://app.example.com"}
	_, url := serve(t, wsmanager.Callbacks{}, opts, nil)
	require.Equal(t, []string{"https://app.example.com"}, opts.Origins.Allowed)
	opts.Origins.Allowed[0] = "https://evil.example"
	for origin, want := range map[string]int{"https://app.example.com": 101, "https://evil.example": 403} {
		req := wstest.Request(t, url)
		req.Header.Set("Origin", origin)
		require.Equal(t, want, handshakeOver(t, req, nil).Response.StatusCode)
	}
}

func TestOriginsThatWouldNeverMatch(t *testing.T) {
	_, err := wsmanager.New(wsmanager.Callbacks{}, wsmanager.Options{Origins: wsmanager.Origins{Allowed: []string{"https://*.com", "*", "null", "https://ok.example"}}})
	require.ErrorContains(t, err, `"https://*.com" stands for the names below "com"`)
	require.ErrorContains(t, err, "is not an origin: list the origins, or set DangerouslyAllowAny")
	require.ErrorContains(t, err, `"null" is the origin of pages without one`)
	require.NotContains(t, err.Error(), "ok.example")
}

// AllowOrigin is not asked about an origin that is decided without it.
func TestAllowOriginIsAskedAboutTheRest(t *testing.T) {
	onEachDriver(t, testAllowOriginIsAskedAboutTheRest)
}

func testAllowOriginIsAskedAboutTheRest(t *testing.T) {
	j := newJournal()
	opts := optionsWithoutLog()
	opts.Origins.Allowed = []string{"https://listed.example"}
	opts.Origins.SecureOnly = true
	opts.Origins.AllowOrigin = func(_ *http.Request, origin *url.URL) bool { j.note("%s", origin); return true }
	_, target := serve(t, wsmanager.Callbacks{}, opts, nil)
	for _, tt := range []struct {
		origin string
		want   int
		asked  bool
	}{
		{"", 403, false}, {"null", 403, false}, {"file://", 403, false}, {"nonsense", 403, false}, {"https://a.example/", 403, false}, {"https://*.example", 403, false},
		{"https://listed.example", 101, false}, {"https://example.com", 101, false}, {"http://example.com", 403, false},
		{"http://example.com:8080", 101, true}, {"https://rest.example:8443", 101, true}, {"tauri://localhost", 101, true},
	} {
		req := wstest.Request(t, target)
		req.Host = "example.com"
		req.Header.Set("Origin", tt.origin)
		before := len(j.all())
		require.Equal(t, tt.want, handshakeOver(t, req, nil).Response.StatusCode, tt.origin)
		if asked := j.all()[before:]; tt.asked {
			require.Equal(t, []string{tt.origin}, asked)
		} else {
			require.Empty(t, asked)
		}
	}
}

// A panic of AllowOrigin refuses the handshake as one of OnAccept does: it goes on to the
// components around, and OnAccept is not called.
func TestAllowOriginPanics(t *testing.T) { onEachDriver(t, testAllowOriginPanics) }

func testAllowOriginPanics(t *testing.T) {
	j := newJournal()
	opts := optionsWithoutLog()
	opts.Origins.AllowOrigin = func(*http.Request, *url.URL) bool { panic("at the disco") }
	m, target := serve(t, wsmanager.Callbacks{OnAccept: func(*http.Request) (wsmanager.Accept, error) {
		j.note("accept")
		return wsmanager.Accept{}, nil
	}}, opts, func(m *wsmanager.Manager) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			defer func() {
				if v := recover(); v != nil {
					j.note("%v", v)
					http.Error(w, "Oops.", http.StatusInternalServerError)
				}
			}()
			m.ServeHTTP(w, r)
		})
	})
	req := wstest.Request(t, target)
	req.Header.Set("Origin", "https://rest.example")
	res := handshakeOver(t, req, nil).Response
	require.Equal(t, 500, res.StatusCode)
	require.Equal(t, []string{"at the disco"}, j.all())
	require.Equal(t, wsmanager.Refused{Failed: 1}, m.Stats().Refused)
	require.NoError(t, m.Shutdown(t.Context()), "no slot is taken")
	if driverOf(t) != onH2 {
		require.True(t, res.Close, "the connection is closed")
	}
}
