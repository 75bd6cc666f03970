package wsmanager_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"github.com/speakingtube/speakingtube/wsmanager"
)

// A room in which every client receives the messages of all.
func Example() {
	room := wsmanager.MustNew(wsmanager.Callbacks{
		OnMessage: func(c *wsmanager.Conn, m wsmanager.Message) error {
			c.Manager().Broadcast(wsmanager.Text("someone said " + string(m.Payload)))
			return nil
		},
	}, wsmanager.Options{Logger: optionsWithoutLog().Logger})
	srv := httptest.NewServer(room) // or mux.Handle("/ws", room)
	defer srv.Close()

	client, _, _, err := ws.Dial(context.Background(), "ws"+srv.URL[len("http"):])
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	_ = wsutil.WriteClientText(client, []byte("hello"))
	text, err := wsutil.ReadServerText(client)
	fmt.Println(string(text), err)

	// http.Server.Shutdown does not know WebSocket connections: shut down the Manager as
	// well.
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	_ = room.Shutdown(ctx) // this client does not answer, so its connection is cut
	fmt.Println("left:", room.All().Len())
	// Output:
	// someone said hello <nil>
	// left: 0
}

// Authenticate before the upgrade, and store data about the connection. The client gets the
// text of Reject only; the text of any other error is logged.
func ExampleCallbacks_onAccept() {
	type member struct{ name string }
	private := wsmanager.MustNew(wsmanager.Callbacks{
		OnAccept: func(r *http.Request) (wsmanager.Accept, error) {
			cookie, err := r.Cookie("name")
			if err != nil {
				return wsmanager.Accept{}, wsmanager.Reject(http.StatusUnauthorized, "Log in first.")
			}
			return wsmanager.Accept{Value: member{cookie.Value}}, nil
		},
		OnMessage: func(c *wsmanager.Conn, m wsmanager.Message) error {
			who, _ := wsmanager.Value[member](c)
			return c.Send(wsmanager.Text(who.name + " said " + string(m.Payload)))
		},
	}, wsmanager.Options{Logger: optionsWithoutLog().Logger})

	r := httptest.NewRequest(http.MethodGet, "/private", nil)
	r.Header.Set("Connection", "Upgrade")
	r.Header.Set("Upgrade", "websocket")
	r.Header.Set("Sec-WebSocket-Version", "13")
	r.Header.Set("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
	w := httptest.NewRecorder()
	private.ServeHTTP(w, r)
	fmt.Print(w.Code, " ", w.Body)
	// Output: 401 Log in first.
}

// New reports all mistakes in the options at once.
func ExampleNew() {
	_, err := wsmanager.New(wsmanager.Callbacks{}, wsmanager.Options{
		Timeouts: wsmanager.Timeouts{Idle: 10 * time.Second},
		Origins:  wsmanager.Origins{Allowed: []string{"app.example.com"}},
	})
	fmt.Println(err)
	// Output:
	// wsmanager: Options.Timeouts.Idle: 10s is not above Timeouts.PingInterval (50s) and the 10 % by which it varies, so a peer that only answers pings would be closed; set a longer Idle or a shorter PingInterval
	// wsmanager: Options.Origins.Allowed: "app.example.com" must begin with "https://", "http://" or the scheme of an app and "://"
}
