package handshake

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestProxyFromEnvironment(t *testing.T) {
	for _, tt := range []struct {
		name        string
		environment map[string]string
		url, want   string // want is the proxy
	}{
		{"none", nil, "http://example.com", ""},
		{"of http", map[string]string{"HTTP_PROXY": "http://p:1", "HTTPS_PROXY": "http://q:1"}, "http://example.com", "http://p:1"},
		{"of https", map[string]string{"HTTP_PROXY": "http://p:1", "HTTPS_PROXY": "http://q:1"}, "https://example.com", "http://q:1"},
		{"SOCKS5", map[string]string{"HTTPS_PROXY": "socks5h://me:secret@p:1"}, "https://example.com", "socks5h://me:secret@p:1"},
		{"without a scheme", map[string]string{"ALL_PROXY": "p:1"}, "https://example.com", "http://p:1"},
		{"of all", map[string]string{"ALL_PROXY": "socks5://p:1"}, "http://example.com", "socks5://p:1"},
		{"of all, in lower case", map[string]string{"all_proxy": "socks5://p:1"}, "https://example.com", "socks5://p:1"},
		{"own before all", map[string]string{"ALL_PROXY": "socks5://p:1", "HTTPS_PROXY": "http://q:1"}, "https://example.com", "http://q:1"},
		{"all for the other", map[string]string{"ALL_PROXY": "socks5://p:1", "HTTPS_PROXY": "http://q:1"}, "http://example.com", "socks5://p:1"},
		{"exception", map[string]string{"ALL_PROXY": "socks5://p:1", "NO_PROXY": ".example.com"}, "http://a.example.com", ""},
		{"no exception", map[string]string{"ALL_PROXY": "socks5://p:1", "NO_PROXY": ".example.com"}, "http://example.com", "socks5://p:1"},
		{"no proxy at all", map[string]string{"ALL_PROXY": "socks5://p:1", "no_proxy": "*"}, "http://example.com", ""},
		{"loopback", map[string]string{"ALL_PROXY": "socks5://p:1"}, "http://127.0.0.1:8080", ""},
		{"CGI", map[string]string{"ALL_PROXY": "socks5://p:1", "REQUEST_METHOD": "GET"}, "http://example.com", "socks5://p:1"},
		{"CGI, from a header", map[string]string{"HTTP_PROXY": "http://p:1", "REQUEST_METHOD": "GET"}, "http://example.com", "error"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, name := range []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy", "REQUEST_METHOD"} {
				t.Setenv(name, "")
			}
			for name, value := range tt.environment {
				t.Setenv(name, value)
			}
			u, err := url.Parse(tt.url)
			require.NoError(t, err)
			got, err := proxyFromEnvironment(&http.Request{URL: u})
			switch {
			case tt.want == "error":
				require.Error(t, err)
			case tt.want == "":
				require.NoError(t, err)
				require.Nil(t, got)
			default:
				require.NoError(t, err)
				require.Equal(t, tt.want, got.String())
			}
		})
	}
}
