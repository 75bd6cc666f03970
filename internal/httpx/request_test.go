package httpx_test

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/internal/httpx"
)

func TestRequestPath(t *testing.T) {
	seen := &url.URL{Path: "/inside a branch"}
	for target, want := range map[string]string{
		"/api/x%2fy":                     "/api/x%2fy",
		"/api?token=secret":              "/api",
		"//api":                          "//api",
		"http://me:pw@example.com/api?x": "/inside%20a%20branch",
		"*":                              "/inside%20a%20branch",
		"example.com:443":                "/inside%20a%20branch",
		"":                               "/inside%20a%20branch",
	} {
		require.Equal(t, want, httpx.RequestPath(&http.Request{RequestURI: target, URL: seen}), "%q", target)
	}
}
