package wsmanager_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/gobwas/ws"

	"github.com/speakingtube/speakingtube/wsmanager"
)

// Clients that offer compression get it. Do not put a secret into a compressed message
// together with data that others can choose.
func ExampleCompression() {
	feed := wsmanager.MustNew(wsmanager.Callbacks{}, wsmanager.Options{
		Compression: wsmanager.Compression{Enabled: true},
		Logger:      optionsWithoutLog().Logger,
	})
	srv := httptest.NewServer(feed)
	defer srv.Close()

	// A browser sends this header itself.
	req, err := http.NewRequest(http.MethodGet, srv.URL, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	for name, value := range map[string]string{
		"Connection": "Upgrade", "Upgrade": "websocket",
		"Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
		"Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits",
	} {
		req.Header.Set(name, value)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer res.Body.Close()
	fmt.Println(res.Header.Get("Sec-WebSocket-Extensions"))

	prices := wsmanager.Text(strings.Repeat(`{"symbol":"GOPH","price":12.5}`, 50))
	token := wsmanager.Text(strings.Repeat("token ", 250))
	token.NoCompression = true
	for _, m := range []wsmanager.Message{prices, token} {
		feed.Broadcast(m)
		f, err := ws.ReadFrame(res.Body) //nolint:staticcheck // the server's frames are small
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%d bytes, less than 100 on the wire: %v\n", len(m.Payload), len(f.Payload) < 100)
	}
	// Output:
	// permessage-deflate; server_no_context_takeover; client_no_context_takeover
	// 1500 bytes, less than 100 on the wire: true
	// 1500 bytes, less than 100 on the wire: false
}
