package handshake

import (
	"crypto/tls"
	"net/http"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParseOrigin(t *testing.T) {
	for s, want := range map[string]string{
		"http://example.com":           "http://example.com:80",
		"https://Example.COM":          "https://example.com:443",
		"HTTPS://example.com:8443":     "https://example.com:8443",
		"https://[2001:DB8:0:0::1]":    "https://[2001:db8::1]:443",
		"http://[::1]:8080":            "http://[::1]:8080",
		"http://[::FFFF:127.0.0.1]":    "http://[::ffff:7f00:1]:80", // browsers write no dots
		"http://xn--bcher-kva.example": "http://xn--bcher-kva.example:80",
		"https://example.com.":         "https://example.com.:443",
		"https://my_host.example.com":  "https://my_host.example.com:443",

		// Apps and extensions: no default port, and a host that is not normalised.
		"capacitor://localhost": "capacitor://localhost",
		"Tauri://localhost":     "tauri://localhost",
		"ionic://localhost":     "ionic://localhost",
		"app://.":               "app://.",
		"app://localhost:3000":  "app://localhost:3000",
		"app://":                "app://",
		"app://[::1]":           "app://[::1]",
		"chrome-extension://abcdefghijklmnopabcdefghijklmnop":           "chrome-extension://abcdefghijklmnopabcdefghijklmnop",
		"moz-extension://2c127fa4-62c7-7e4f-90e5-472b45eecfdc":          "moz-extension://2c127fa4-62c7-7e4f-90e5-472b45eecfdc",
		"safari-web-extension://E3B0C442-98FC-1C14-9AFB-F4C8996FB924":   "safari-web-extension://E3B0C442-98FC-1C14-9AFB-F4C8996FB924",
		"vscode-webview://1nbs5gkgqjkm1dvbdivsgdhi8ha8vcf8dnn1ag5jqtkt": "vscode-webview://1nbs5gkgqjkm1dvbdivsgdhi8ha8vcf8dnn1ag5jqtkt",
		"com.example.app+x-1://main":                                    "com.example.app+x-1://main",
	} {
		o, err := ParseOrigin(s)
		require.NoError(t, err, s)
		require.Equal(t, want, o.String())
		again, err := ParseOrigin(o.String())
		require.NoError(t, err)
		require.Equal(t, o, again)
	}
	for s, want := range map[string]string{
		"":                            "must begin with",
		"null":                        "only DangerouslyAllowAny accepts it",
		"file://":                     "only DangerouslyAllowAny accepts it",
		"FILE://localhost":            "only DangerouslyAllowAny accepts it",
		"example.com":                 "must begin with",
		"//example.com":               "must begin with",
		"localhost:8080":              "must begin with",
		"app:localhost":               "must begin with",
		"app:/localhost":              "must begin with",
		"data:text/html,x":            "must begin with",
		"blob:https://example.com/x":  "must begin with",
		"about:blank":                 "must begin with",
		"1app://localhost":            "is not a URL",
		"a_pp://localhost":            "is not a URL",
		"ws://example.com":            "has the scheme of a WebSocket",
		"WSS://example.com":           "has the scheme of a WebSocket",
		"*":                           "must begin with",
		"https://*.example.com":       "has a wildcard",
		"app://::1":                   "has an invalid host",
		"app://a:b:1":                 "has an invalid host",
		"https://a<b.example.com":     "has an invalid host",
		"app://localhost/":            "must be scheme, host and port only",
		"app://me@localhost":          "must be scheme, host and port only",
		"app://localhost:":            "has an invalid port",
		"app://localhost:0":           "has an invalid port",
		"app://loc%61lhost":           "is not a URL",
		"app://l\u00f6calhost":        "has a host that no browser sends",
		"%":                           "is not a URL",
		"https://":                    "has no host",
		"https://example.com/":        "must be scheme, host and port only",
		"https://example.com?":        "must be scheme, host and port only",
		"https://me@example.com":      "must be scheme, host and port only",
		"https://example.com:0":       "has an invalid port",
		"https://example.com:0443":    "has an invalid port",
		"https://example.com:70000":   "has an invalid port",
		"https://b\u00fccher.example": "has a host that no browser sends",
		"https://[fe80::1%25eth0]":    "has a host that no browser sends",
	} {
		_, err := ParseOrigin(s)
		require.ErrorContains(t, err, want, "%q", s)
	}
}

func TestCheckOrigin(t *testing.T) {
	listed := ServerConfig{AllowedOrigins: originsOf(t, "https://app.example.com")}
	asking := ServerConfig{AllowOrigin: func(_ *http.Request, u *url.URL) bool { return u.Scheme != "https" || u.Host == "asked.example" }, SecureOriginsOnly: true}
	secure := ServerConfig{SecureOriginsOnly: true}
	for _, tt := range []struct {
		name    string
		cfg     ServerConfig
		host    string
		overTLS bool
		origins []string
		want    string // "" if it may connect
	}{
		{"no origin", ServerConfig{}, "example.com", false, nil, ""},
		{"same host", ServerConfig{}, "EXAMPLE.com", false, []string{"http://example.com"}, ""},
		{"same host behind TLS", ServerConfig{}, "example.com", false, []string{"https://example.com"}, ""},
		{"same host and port", ServerConfig{}, "[::1]:8080", false, []string{"http://[::1]:8080"}, ""},
		{"an IPv4 address in IPv6", ServerConfig{}, "[::ffff:7f00:1]:8080", false, []string{"http://[::ffff:7f00:1]:8080"}, ""},
		{"an IPv6 address in another form", ServerConfig{}, "[0::1]", false, []string{"http://[::1]"}, ""},
		{"another port", ServerConfig{}, "example.com:8080", false, []string{"http://example.com"}, "neither this host"},
		{"another host", ServerConfig{}, "example.com", false, []string{"http://example.com.evil.example"}, "neither this host"},
		{"opaque", ServerConfig{}, "example.com", false, []string{"null"}, "the origin is the origin of pages without one"},
		{"two", ServerConfig{}, "example.com", false, []string{"http://example.com", "http://example.com"}, "more than one"},
		{"listed", listed, "example.com", false, []string{"https://app.example.com"}, ""},
		{"listed, without TLS", listed, "example.com", false, []string{"http://app.example.com"}, "neither this host"},
		{"asked", asking, "example.com", false, []string{"https://asked.example"}, ""},
		{"asked about an app", asking, "example.com", false, []string{"app://example.com"}, ""},
		{"asked about another port", asking, "example.com", false, []string{"https://asked.example:8443"}, "AllowOrigin refuses it"},
		{"not asked about null", asking, "example.com", false, []string{"null"}, "only DangerouslyAllowAny"},
		{"not asked about a file", asking, "example.com", false, []string{"file://"}, "only DangerouslyAllowAny"},
		{"not asked about a plain page of this host", asking, "example.com", false, []string{"http://example.com"}, "without TLS"},
		{"an app with the name of this host", ServerConfig{}, "example.com", false, []string{"app://example.com"}, "neither this host"},
		{"an app with the name and port of this host", ServerConfig{}, "example.com:80", false, []string{"app://example.com:80"}, "neither this host"},
		{"any", ServerConfig{AnyOrigin: true}, "example.com", false, []string{"null"}, ""},
		{"plain page, TLS server", ServerConfig{}, "example.com", true, []string{"http://example.com"}, "without TLS"},
		{"plain page, secure only", secure, "example.com", false, []string{"http://example.com"}, "without TLS"},
		{"secure page, secure only", secure, "example.com", false, []string{"https://example.com"}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := request()
			r.Host = tt.host
			r.Header["Origin"] = tt.origins
			if tt.overTLS {
				r.TLS = &tls.ConnectionState{}
			}
			err := tt.cfg.checkOrigin(r)
			if tt.want == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, tt.want)
			}
		})
	}
}

// originsOf returns the set of the origins.
func originsOf(t testing.TB, texts ...string) (s Origins) {
	t.Helper()
	for _, text := range texts {
		require.NoError(t, s.Add(text))
	}
	return s
}

// AllowOrigin gets a URL that is written as browsers write origins.
func TestAllowOriginGetsTheURL(t *testing.T) {
	for origin, want := range map[string]string{
		"https://Example.COM":         "https://example.com",
		"https://example.com:443":     "https://example.com",
		"http://example.com:443":      "http://example.com:443",
		"http://[::1]:80":             "http://[::1]",
		"http://[0:0::1]:8080":        "http://[::1]:8080",
		"Capacitor://Localhost":       "capacitor://Localhost",
		"app://localhost:80":          "app://localhost:80",
		"app://":                      "app:",
		"chrome-extension://abcdefgh": "chrome-extension://abcdefgh",
	} {
		var got []string
		cfg := ServerConfig{AllowOrigin: func(r *http.Request, u *url.URL) bool {
			require.Equal(t, "/ws", r.URL.Path)
			require.Empty(t, u.Path+u.RawQuery+u.Fragment+u.Opaque)
			got = append(got, u.String())
			return true
		}}
		r := request()
		r.Host = "other.example"
		r.Header.Set("Origin", origin)
		require.NoError(t, cfg.checkOrigin(r))
		require.Equal(t, []string{want}, got)
	}
}
