package handshake

import (
	"net/http"
	"net/url"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParseURL(t *testing.T) {
	u, err := ParseURL("wss://me:secret@example.com/ws?token=x")
	require.NoError(t, err)
	require.Equal(t, "example.com", u.Host)
	for _, s := range []string{"ws://user:secret@a b/", "ws://example.com:secret/", "ws://me:%zzsecret@example.com"} {
		_, err := ParseURL(s)
		require.ErrorContains(t, err, "can't be parsed", s)
		require.NotContains(t, err.Error(), "secret", s)
	}
}

func TestNewTarget(t *testing.T) {
	for _, tt := range []struct {
		name   string
		url    string
		header http.Header
		want   []string // beginnings of the mistakes
	}{
		{"all is well", "wss://example.com/a?b", http.Header{"X-A": {"1"}}, nil},
		{"no scheme", "/path", nil, []string{`the URL has the scheme ""`}},
		{"no host", "ws://:80/", nil, []string{"the URL names no host"}},
		{"not ASCII", "ws://b\u00fccher.example/", nil, []string{"the URL has a host that is not ASCII"}},
		{"a fragment", "ws://example.com/#f", nil, []string{"the URL has a fragment"}},
		{"headers", "ftp://example.com", http.Header{
			"Bad Name": {"x"}, "Connection": {"x"}, "Content-Length": {"1"}, "X-Split": {"a\r\nb"}, "sec-websocket-key": {"x"},
		}, []string{
			`the URL has the scheme "ftp"`, `the header "Bad Name" has an invalid name`, `the header "Connection" belongs to the handshake`,
			`the header "Content-Length" describes a body`, `the header "X-Split" has a control character`, `the header "sec-websocket-key" belongs to the handshake`,
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			u, err := url.Parse(tt.url)
			require.NoError(t, err)
			target, errs, urlErr := NewTarget(u, tt.header)
			if urlErr != nil {
				errs = slices.Insert(errs, 0, urlErr)
			}
			require.Len(t, errs, len(tt.want))
			for i, want := range tt.want {
				require.ErrorContains(t, errs[i], want)
			}
			require.Equal(t, len(errs) == 0, target != nil)
		})
	}
	u, err := url.Parse("ws://example.com/a b?c d")
	require.NoError(t, err)
	target, _, err := NewTarget(u, nil)
	require.NoError(t, err)
	require.Equal(t, "/a%20b?c%20d", target.url.RequestURI())
	require.Equal(t, "c d", u.RawQuery, "the argument is not changed")

	target, errs, err := NewTarget(nil, http.Header{"Upgrade": {"x"}})
	require.NoError(t, err)
	require.Nil(t, target)
	require.Len(t, errs, 1)
}

func TestTarget(t *testing.T) {
	u := &url.URL{Scheme: "https", User: url.UserPassword("me", "secret"), Host: "example.com:8443", Path: "/a b", RawQuery: "token=secret"}
	header := http.Header{"host": {"other.example"}, "x-a": {"1", "2"}}
	target, errs, err := NewTarget(u, header)
	require.NoError(t, err)
	require.Empty(t, errs)
	require.True(t, target.IsTLS())
	require.Equal(t, "wss://example.com:8443/a%20b", target.RedactedURL())
	require.Equal(t, "other.example", target.host)
	require.Equal(t, http.Header{"Authorization": {"Basic bWU6c2VjcmV0"}, "X-A": {"1", "2"}}, target.header)
	require.Equal(t, "https", u.Scheme, "the caller's URL is not changed")
	require.NotNil(t, u.User)

	target, errs, err = NewTarget(u, http.Header{"Authorization": {"Bearer x"}})
	require.NoError(t, err)
	require.Empty(t, errs)
	require.Equal(t, "Bearer x", target.header.Get("Authorization"))
	require.Nil(t, target.url.User)
}

func TestCheckSubprotocols(t *testing.T) {
	require.Empty(t, CheckSubprotocols([]string{"a", "b"}))
	errs := CheckSubprotocols([]string{"a", "a", "with space", ""})
	require.Len(t, errs, 3)
	for i, want := range []string{`"a" is offered twice`, `"with space" is not a token`, `"" is not a token`} {
		require.ErrorContains(t, errs[i], want)
	}
}

func TestAddress(t *testing.T) {
	for s, want := range map[string]string{
		"ws://example.com/": "example.com:80", "wss://example.com/": "example.com:443",
		"http://proxy": "proxy:80", "https://proxy": "proxy:443", "ws://[::1]:8080": "[::1]:8080",
		"socks5://proxy": "proxy:1080", "socks5h://proxy:1081": "proxy:1081", "socks://[::1]": "[::1]:1080",
	} {
		u, err := url.Parse(s)
		require.NoError(t, err)
		require.Equal(t, want, address(u))
	}
}

func TestRefusedErrorKeepsSecrets(t *testing.T) {
	for location, want := range map[string]string{
		"https://me:secret@example.com/login?token=secret#secret": "https://example.com/login",
		"/login?next=secret": "/login",
		"http://%zzsecret":   "…",
	} {
		err := &RefusedError{StatusCode: 302, Header: http.Header{"Location": {location}}}
		require.ErrorContains(t, err, "the server refused with 302 Found (to \""+want+"\", which is not followed)")
		require.NotContains(t, err.Error(), "secret")
	}
	require.EqualError(t, &RefusedError{StatusCode: 407, Proxy: true}, "the proxy refused with 407 Proxy Authentication Required")
	named := &RefusedError{StatusCode: 407, Proxy: true, Detail: RefusedDetail{ProxyHost: "proxy.example:3128"}}
	require.EqualError(t, named, "the proxy proxy.example:3128 refused with 407 Proxy Authentication Required")
}

// The zone of an address is not sent to the server.
func TestHostWithoutZone(t *testing.T) {
	for s, want := range map[string]string{
		"ws://[fe80::1%25en0]:8080/": "[fe80::1]:8080", "ws://[fe80::1%25en0]/": "[fe80::1]", "ws://[fe80::1]/": "[fe80::1]", "ws://example.com:81": "example.com:81",
	} {
		u, err := url.Parse(s)
		require.NoError(t, err)
		require.Equal(t, want, withoutZone(u))
	}
}
