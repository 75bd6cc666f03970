package hub_test

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/hub"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// All options of origins apply to the sockets of a hub, stateful ones included.
func TestOrigins(t *testing.T) { onEachDriver(t, testOrigins) }

func testOrigins(t *testing.T) {
	_, target := serve(t, nil, hub.Options{StatefulReconnect: true, WebSocket: wsmanager.Options{Origins: wsmanager.Origins{
		Allowed:     []string{"capacitor://localhost", "https://*.example.com"},
		AllowOrigin: func(_ *http.Request, origin *url.URL) bool { return origin.Host == "tenant.example" },
	}}})
	for origin, want := range map[string]int{
		"capacitor://localhost": 101, "https://a.example.com": 101, "https://tenant.example": 101,
		"tauri://localhost": 403, "https://example.com": 403, "https://evil.example": 403, "null": 403, "file://": 403,
	} {
		stateful := negotiate(t, target, "negotiateVersion=1&useStatefulReconnect=true")
		for _, query := range []string{"", "?id=" + stateful.ConnectionToken} {
			req := wstest.Request(t, target+query)
			req.Header.Set("Origin", origin)
			require.Equal(t, want, wstest.Handshake(t, req, nil).Response.StatusCode, origin+query)
		}
	}
}
