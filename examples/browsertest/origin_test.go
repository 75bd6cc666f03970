package browsertest

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
)

// A page of another site, in a real browser with the visitor's cookie for our site, can't
// open a WebSocket to our server. Our own page can.
func TestForeignPageWithTheVisitorsCookie(t *testing.T) {
	accepted := make(chan string, 10) // cookies
	m := wsmanager.MustNew(wsmanager.Callbacks{
		OnAccept: func(r *http.Request) (wsmanager.Accept, error) {
			accepted <- r.Header.Get("Cookie")
			return wsmanager.Accept{}, nil
		},
	}, wsmanager.Options{Logger: slog.New(slog.DiscardHandler)})
	mux := http.NewServeMux()
	mux.Handle("/ws", m)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "session", Value: "secret", Path: "/"})
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, "<title>ours</title>")
	})
	ours := httptest.NewServer(mux)
	defer ours.Close()
	defer func() { _ = m.Shutdown(t.Context()) }() // the end of the tab closes the remaining connections
	foreign := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, "<title>foreign</title>")
	}))
	defer foreign.Close()

	b := browser(t)
	connect := func(from string) string {
		return fmt.Sprintf(`new Promise(done => {
			const connect = () => {
				const ws = new WebSocket(%q)
				ws.onopen = () => { ws.close(); done("open") }
				ws.onerror = () => done("refused")
			}
			%s
		})`, "ws"+strings.TrimPrefix(ours.URL, "http")+"/ws", from)
	}
	own := openTab(t, b, ours.URL+"/")
	require.Equal(t, "open", eval[string](t, own, connect("connect()")))
	require.Equal(t, "session=secret", <-accepted)

	// Cookies ignore ports, so the request of the other page has our cookie.
	other := openTab(t, b, foreign.URL+"/")
	require.Equal(t, "refused", eval[string](t, other, connect("connect()")))
	require.EqualValues(t, 1, m.Stats().Refused.Origin)

	// A sandboxed frame has the origin "null".
	require.Equal(t, "refused", eval[string](t, own, connect(`
		const frame = document.createElement("iframe")
		frame.sandbox = "allow-scripts"
		addEventListener("message", e => done(e.data))
		frame.srcdoc = "<script>const done = m => parent.postMessage(m, '*');(" + connect + ")()<\/script>"
		document.body.append(frame)
	`)))
	require.EqualValues(t, 2, m.Stats().Refused.Origin)
	require.Empty(t, accepted, "OnAccept was never asked")
}
