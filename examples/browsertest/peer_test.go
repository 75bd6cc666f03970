package browsertest

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/examples/internal/exampletest"
	"github.com/speakingtube/speakingtube/wsmanager"
)

// A browser answers Conn.Ping by itself, and its page reads 1008 when Accept.Expires has come. A
// page can't choose the fragments of a message.
func TestBrowserAsPeer(t *testing.T) {
	b := browser(t)
	page := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer page.Close()
	own := openTab(t, b, page.URL+"/")
	for _, driver := range []wsmanager.Driver{wsmanager.DriverAuto, wsmanager.DriverGoroutine} {
		t.Run(driver.String(), func(t *testing.T) {
			s := exampletest.ServePeers(t, driver)
			require.Equal(t, "pinged", eval[string](t, own, fmt.Sprintf(`new Promise(done => {
				const ws = new WebSocket(%q)
				ws.onopen = () => ws.send("ping")
				ws.onmessage = e => { ws.close(1000); ws.onclose = () => done(e.data) }
				ws.onclose = e => done("closed with " + e.code)
			})`, s.URL)))
			require.NoError(t, s.Ended(t))

			require.Equal(t, "1008 expired", eval[string](t, own, fmt.Sprintf(`new Promise(done => {
				const ws = new WebSocket(%q)
				ws.onclose = e => done(e.code + " " + e.reason)
			})`, s.URL+"/?expires")))
			require.ErrorIs(t, s.Ended(t), wsmanager.ErrExpired)
		})
	}
}
