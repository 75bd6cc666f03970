package httpx_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/internal/httpx"
)

func TestRouteBelow(t *testing.T) {
	for _, tt := range []struct{ base, pattern, want string }{
		{"", "GET /x", "GET /x"},
		{"/api", "GET /x/{id}", "GET /api/x/{id}"},
		{"/API/V1", "/X", "/api/v1/X"},
		{"/api", "GET example.com/x", "GET example.com/api/x"},
		{"/api", "not a path", "not a path"},
	} {
		require.Equal(t, tt.want, httpx.RouteBelow(tt.base, tt.pattern))
	}
}
