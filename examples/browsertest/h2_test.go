package browsertest

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
	_ "github.com/speakingtube/speakingtube/wsmanager/extendedconnect"
)

// Over TLS the browser opens its WebSockets as streams of the HTTP/2 connection that loaded
// the page.
func TestWebSocketsOverHTTP2InTheBrowser(t *testing.T) {
	browser := browser(t, chromedp.Flag("ignore-certificate-errors", true)) // the certificate is the test's own
	var mu sync.Mutex
	var seen []string // each request with its connection
	closed := make(chan error, 16)
	m := wsmanager.MustNew(wsmanager.Callbacks{
		OnMessage: func(c *wsmanager.Conn, m wsmanager.Message) error {
			if string(m.Payload) == "close" {
				return c.Close(4000, "bye")
			}
			return c.SendContext(context.Background(), m)
		},
		OnClose: func(_ *wsmanager.Conn, err error) { closed <- err },
	}, wsmanager.Options{
		Logger:       slog.New(slog.DiscardHandler),
		Compression:  wsmanager.Compression{Enabled: true},
		RequireHTTP2: true,
	})
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		seen = append(seen, r.Proto+" "+r.Method+" "+r.URL.Path+" from "+r.RemoteAddr)
		mu.Unlock()
		if r.URL.Path == "/ws" {
			m.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, "<title>page</title>")
	}))
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	srv.EnableHTTP2 = true
	srv.StartTLS()
	t.Cleanup(func() {
		_ = m.Shutdown(context.WithoutCancel(t.Context())) // has run before, unless the test has failed
		srv.Close()
	})
	page := openTab(t, browser, srv.URL+"/")
	eval[any](t, page, `(async () => {
		window.sockets = await Promise.all(Array.from({length: 5}, () => new Promise((resolve, reject) => {
			const ws = new WebSocket(location.origin.replace("http", "ws") + "/ws");
			ws.onopen = () => resolve(ws);
			ws.onerror = () => reject("it failed");
		})));
		return null;
	})()`)
	require.Equal(t, 5, m.All().Len())
	mu.Lock()
	require.Regexp(t, `^HTTP/2.0 GET / from 127`, seen[0])
	from := seen[0][len("HTTP/2.0 GET / from "):]
	sockets := 0
	for _, s := range seen {
		if s == "HTTP/2.0 CONNECT /ws from "+from {
			sockets++
		}
	}
	t.Logf("requests: %q", seen)
	mu.Unlock()
	require.Equal(t, 5, sockets, "all over the page's own connection: %q", seen)

	require.Equal(t, "permessage-deflate; server_no_context_takeover; client_no_context_takeover", eval[string](t, page, `sockets[0].extensions`))
	require.EqualValues(t, 5*21, eval[int64](t, page, `(async () => {
		let right = 0;
		await Promise.all(sockets.map(async (ws, i) => {
			const heard = [];
			let next = () => {};
			ws.onmessage = e => { heard.push(e.data); next(); };
			const want = Array.from({length: 20}, (_, n) => i + "-" + n).concat("é".repeat(20000));
			want.forEach(text => ws.send(text));
			while (heard.length < want.length) await new Promise(resolve => next = resolve);
			right += want.filter((text, n) => heard[n] === text).length;
		}));
		return right;
	})()`))

	// Closes of both sides are clean and quick.
	const end = `(i, how) => new Promise(resolve => { sockets[i].onclose = e => resolve(e.wasClean + " " + e.code + " " + e.reason); how(sockets[i]); })`
	require.Equal(t, "true 1000 done", eval[string](t, page, `(`+end+`)(0, ws => ws.close(1000, "done"))`))
	require.NoError(t, <-closed)
	require.Equal(t, "true 4000 bye", eval[string](t, page, `(`+end+`)(1, ws => ws.send("close"))`))
	require.ErrorContains(t, <-closed, "closed here with 4000")
	require.Equal(t, "true 1009 ", eval[string](t, page, `(`+end+`)(2, ws => ws.send("x".repeat(70000)))`))
	require.ErrorContains(t, <-closed, "closed here with 1009")

	// The shutdown of the server is clean too.
	eval[any](t, page, `(window.ends = [3, 4].map(i => (`+end+`)(i, () => {})), null)`)
	require.NoError(t, m.Shutdown(context.WithoutCancel(t.Context())))
	require.Equal(t, "true 1001 ,true 1001 ", eval[string](t, page, `Promise.all(ends).then(String)`))
}
