package browsertest

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/examples/internal/exampletest"
	"github.com/speakingtube/speakingtube/wsmanager"
)

// A browser answers Conn.Ping by itself, sends big messages, for which it chooses the
// fragments, and its page reads 1008 when Accept.Expires has come.
func TestBrowserAsPeer(t *testing.T) {
	b := browser(t)
	page := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer page.Close()
	own := openTab(t, b, page.URL+"/")
	big := strings.Repeat("\u20ac", 1_000_000)
	digest := fmt.Sprintf("text %d %x", len(big), sha256.Sum256([]byte(big)))
	for _, driver := range []wsmanager.Driver{wsmanager.DriverAuto, wsmanager.DriverGoroutine} {
		t.Run(driver.String(), func(t *testing.T) {
			s := exampletest.ServePeers(t, driver)
			for _, tt := range []struct{ path, send, want string }{
				{"/messages", `"ping"`, "pinged"},
				{"/pieces", `"\u20ac".repeat(1_000_000)`, digest},
			} {
				require.Equal(t, tt.want, eval[string](t, own, fmt.Sprintf(`new Promise(done => {
					const ws = new WebSocket(%q)
					ws.onopen = () => ws.send(%s)
					ws.onclose = e => done("closed with " + e.code)
					ws.onmessage = e => { ws.onclose = () => done(e.data); ws.close(1000) }
				})`, s.URL+tt.path, tt.send)))
				require.NoError(t, s.Ended(t))
			}
			require.Equal(t, "1008 expired", eval[string](t, own, fmt.Sprintf(`new Promise(done => {
				const ws = new WebSocket(%q)
				ws.onclose = e => done(e.code + " " + e.reason)
			})`, s.URL+"/expires")))
			require.ErrorIs(t, s.Ended(t), wsmanager.ErrExpired)
		})
	}
}
