package handshake

import (
	"crypto/tls"
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
		"http://xn--bcher-kva.example": "http://xn--bcher-kva.example:80",
	} {
		o, err := ParseOrigin(s)
		require.NoError(t, err, s)
		require.Equal(t, want, o.String())
		again, err := ParseOrigin(o.String())
		require.NoError(t, err)
		require.Equal(t, o, again)
	}
	for s, want := range map[string]string{
		"":                            `must begin with "http://" or "https://"`,
		"null":                        `must begin with "http://" or "https://"`,
		"example.com":                 `must begin with "http://" or "https://"`,
		"ws://example.com":            `must begin with "http://" or "https://"`,
		"*":                           "is not an origin",
		"https://*.example.com":       "has a wildcard",
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
	listed := ServerConfig{AllowedOrigins: []string{"https://app.example.com:443"}}
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
		{"another port", ServerConfig{}, "example.com:8080", false, []string{"http://example.com"}, "neither this host"},
		{"another host", ServerConfig{}, "example.com", false, []string{"http://example.com.evil.example"}, "neither this host"},
		{"opaque", ServerConfig{}, "example.com", false, []string{"null"}, "the origin must begin with"},
		{"two", ServerConfig{}, "example.com", false, []string{"http://example.com", "http://example.com"}, "more than one"},
		{"listed", listed, "example.com", false, []string{"https://app.example.com"}, ""},
		{"listed, without TLS", listed, "example.com", false, []string{"http://app.example.com"}, "neither this host"},
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
