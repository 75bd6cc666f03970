package middleware_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/middleware"
	"github.com/speakingtube/speakingtube/pipeline"
)

func TestForwardedAddressHeader(t *testing.T) {
	for _, tt := range []struct {
		name   string
		peer   string
		values []string
		remote string
	}{
		{"an address", "10.0.0.1:1", []string{"203.0.113.7"}, "203.0.113.7:0"},
		{"IPv6", "10.0.0.1:1", []string{" 2001:db8::1 "}, "[2001:db8::1]:0"},
		{"IPv4 in IPv6", "10.0.0.1:1", []string{"::ffff:203.0.113.7"}, "203.0.113.7:0"},
		{"with a port", "10.0.0.1:1", []string{"203.0.113.7:4711"}, "203.0.113.7:4711"},
		{"another peer", "10.0.0.2:1", []string{"203.0.113.7"}, "10.0.0.2:1"},
		{"a list", "10.0.0.1:1", []string{"203.0.113.7, 203.0.113.8"}, "10.0.0.1:1"},
		{"two lines", "10.0.0.1:1", []string{"203.0.113.7", "203.0.113.8"}, "10.0.0.1:1"},
		{"no address", "10.0.0.1:1", []string{"unknown"}, "10.0.0.1:1"},
		{"an empty line", "10.0.0.1:1", []string{""}, "10.0.0.1:1"},
		{"a zone", "10.0.0.1:1", []string{"fe80::1%eth0"}, "10.0.0.1:1"},
		{"no header", "10.0.0.1:1", nil, "10.0.0.1:1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, headers := range [][]string{nil, {"X-Forwarded-Proto", "X-Forwarded-Host"}} {
				h := middleware.Forwarded(middleware.ForwardedOptions{Trusted: []string{"10.0.0.1"}, AddressHeader: "cf-connecting-ip", Headers: headers})(
					http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
						require.Equal(t, tt.remote, r.RemoteAddr)
						require.Equal(t, tt.peer, middleware.PeerAddr(r))
						require.Empty(t, r.Header["Cf-Connecting-Ip"], "no component below can use a value that was not trusted")
						require.Equal(t, headers != nil && tt.peer == "10.0.0.1:1", middleware.Scheme(r) == "https")
					}))
				r := httptest.NewRequest(http.MethodGet, "/", nil)
				r.RemoteAddr = tt.peer
				r.Header.Set("X-Forwarded-Proto", "https")
				if tt.values != nil {
					r.Header["Cf-Connecting-Ip"] = tt.values
				}
				h.ServeHTTP(httptest.NewRecorder(), r)
			}
		})
	}
	for _, tt := range []struct {
		opts middleware.ForwardedOptions
		want string
	}{
		{middleware.ForwardedOptions{AddressHeader: "a b"}, `AddressHeader is "a b"`},
		{middleware.ForwardedOptions{AddressHeader: "x-forwarded-for"}, "name it in Headers"},
		{middleware.ForwardedOptions{AddressHeader: "X-Real-IP", Headers: []string{"X-Forwarded-For"}}, "may disagree"},
		{middleware.ForwardedOptions{AddressHeader: "X-Real-IP", Headers: []string{"Forwarded"}}, "may disagree"},
	} {
		tt.opts.Trusted = []string{"10.0.0.1"}
		_, err := pipeline.New().Use(middleware.Forwarded(tt.opts)).Build()
		require.ErrorContains(t, err, tt.want)
	}
}
