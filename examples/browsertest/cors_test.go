package browsertest

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/jub0bs/cors"
	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/hub"
)

// servePage serves a page of an origin of its own, with the official client.
func servePage(t *testing.T) *httptest.Server {
	t.Helper()
	script, err := os.ReadFile(filepath.Join("..", "hub", "web", "signalr", "signalr.min.js"))
	require.NoError(t, err)
	mux := http.NewServeMux()
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, "<title>page</title><script src=signalr.js></script>")
	})
	mux.HandleFunc("/signalr.js", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/javascript")
		_, _ = w.Write(script)
	})
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	return srv
}

// A page of an allowed origin uses a hub of another one with the official client: the
// negotiation needs CORS, the WebSocket Options.WebSocket.Origins. Both have the visitor's
// cookie. A page of another origin can neither negotiate nor connect.
func TestHubOfAnotherOrigin(t *testing.T) {
	allowed, foreign := servePage(t), servePage(t)
	h, err := hub.New(hub.Methods{
		"WhoAmI": func(ctx *hub.Context) string { return ctx.User() },
	}, hub.Options{
		Logger: slog.New(slog.DiscardHandler),
		Authenticate: func(r *http.Request, token string) (hub.Identity, error) {
			if cookie, err := r.Cookie("user"); err == nil && token == "" {
				token = cookie.Value
			}
			return hub.Identity{User: token}, nil
		},
		WebSocket: wsmanager.Options{Origins: wsmanager.Origins{Allowed: []string{allowed.URL}}},
	})
	require.NoError(t, err)
	crossOrigin, err := cors.NewMiddleware(cors.Config{
		Origins: []string{allowed.URL}, Credentialed: true, Methods: []string{http.MethodPost},
		RequestHeaders: []string{"Authorization", "X-Requested-With", "X-SignalR-User-Agent"},
	})
	require.NoError(t, err)
	mux := http.NewServeMux()
	mux.Handle("/hub", h)
	mux.Handle("/hub/", crossOrigin.Wrap(h))
	mux.HandleFunc("/login", func(w http.ResponseWriter, _ *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "user", Value: "ann", Path: "/", HttpOnly: true})
		w.Header().Set("Content-Type", "text/html")
	})
	srv := httptest.NewServer(mux)
	defer srv.Close()
	defer func() { _ = h.Shutdown(t.Context()) }() // the end of the tabs closes the remaining connections

	b := browser(t)
	openTab(t, b, srv.URL+"/login")
	connect := func(options string) string {
		return fmt.Sprintf(`(async () => {
			const c = new signalR.HubConnectionBuilder().withUrl(%q, %s).configureLogging(signalR.LogLevel.None).build()
			try {
				await c.start()
				return "user " + await c.invoke("WhoAmI")
			} catch (err) {
				return err.message
			} finally {
				await c.stop()
			}
		})()`, srv.URL+"/hub", options)
	}
	const direct = `{ skipNegotiation: true, transport: signalR.HttpTransportType.WebSockets }`
	for _, tt := range []struct{ name, options, want string }{
		{"cookie", `{}`, "user ann"},
		{"cookie, without negotiation", direct, "user ann"},
		{"token", `{ accessTokenFactory: () => "zoe" }`, "user zoe"},
		// The WebSocket has the cookie in any case: it would belong to another user than the negotiation.
		{"negotiation without credentials", `{ withCredentials: false }`, "WebSockets failed: Error: WebSocket failed to connect"},
	} {
		t.Run("allowed/"+tt.name, func(t *testing.T) {
			require.Contains(t, eval[string](t, openTab(t, b, allowed.URL+"/"), connect(tt.options)), tt.want)
		})
	}
	before := h.Stats()
	require.Zero(t, before.WebSockets.Refused.Origin)
	for _, tt := range []struct {
		name, options, want string
		refused             uint64 // WebSockets
	}{
		{"cookie", `{}`, "Failed to complete negotiation with the server", 0},
		{"token", `{ accessTokenFactory: () => "zoe" }`, "Failed to complete negotiation with the server", 0},
		{"without credentials", `{ withCredentials: false }`, "Failed to complete negotiation with the server", 0},
		{"without negotiation", direct, "WebSocket failed to connect", 1},
	} {
		t.Run("foreign/"+tt.name, func(t *testing.T) {
			require.Contains(t, eval[string](t, openTab(t, b, foreign.URL+"/"), connect(tt.options)), tt.want)
			stats := h.Stats()
			require.Equal(t, before.Negotiations, stats.Negotiations, "the preflight has failed, so nothing was negotiated")
			require.Equal(t, before.Handshakes, stats.Handshakes)
			require.Equal(t, tt.refused, stats.WebSockets.Refused.Origin)
		})
	}
	require.Eventually(t, func() bool { return h.Len() == 0 }, patience, time.Millisecond)
}
