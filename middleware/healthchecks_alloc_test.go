//go:build !race

package middleware_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/middleware"
)

func TestAllocations(t *testing.T) {
	end := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	health := middleware.HealthChecks(middleware.HealthChecksOptions{Path: "/health", Port: 9000})(end)
	forwarded := middleware.Forwarded(middleware.ForwardedOptions{Trusted: []string{"192.0.2.0/24"}, Headers: []string{"X-Forwarded-For", "X-Forwarded-Proto"}})(end)
	for _, tt := range []struct {
		name, target string
		h            http.Handler
		want         float64
	}{
		{"HealthChecks, another path", "/x/y", health, 0},
		{"HealthChecks, below its path", "/health/y", health, 0},
		{"HealthChecks, another port", "/health", health, 0},
		{"Forwarded, none of the headers", "/", forwarded, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, tt.target, nil)
			w := httptest.NewRecorder()
			require.Equal(t, tt.want, testing.AllocsPerRun(100, func() { tt.h.ServeHTTP(w, r) }))
		})
	}
}
