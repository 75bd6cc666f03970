package wsmanager_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"github.com/speakingtube/speakingtube/wsmanager"
)

// dial connects to the server of an example. read returns the next text.
func dial(srv *httptest.Server, path string) (read func() string, end func()) {
	client, early, _, err := ws.Dial(context.Background(), "ws"+srv.URL[len("http"):]+path)
	if err != nil {
		panic(err)
	}
	in := struct {
		io.Reader
		io.Writer
	}{client, client}
	if early != nil { // frames that arrived with the handshake response
		in.Reader = early
	}
	read = func() string {
		text, err := wsutil.ReadServerText(in)
		if err != nil {
			return err.Error()
		}
		return string(text)
	}
	return read, func() { client.Close() }
}

// Clients subscribe to topics. A message to a topic reaches its subscribers. A topic exists
// as long as it has subscribers.
func ExampleConn_Join() {
	news := wsmanager.MustNew(wsmanager.Callbacks{
		OnAccept: func(r *http.Request) (wsmanager.Accept, error) {
			return wsmanager.Accept{Groups: []string{"headlines"}}, nil // joined before OnConnect
		},
		OnConnect: func(c *wsmanager.Conn) error {
			if err := c.Join("weather"); err != nil {
				return err
			}
			return c.Send(wsmanager.Text("subscribed"))
		},
	}, wsmanager.Options{Logger: optionsWithoutLog().Logger})
	srv := httptest.NewServer(news)
	defer srv.Close()
	read, end := dial(srv, "/")
	defer end()
	fmt.Println(read())

	fmt.Println(news.Group("weather").Send(wsmanager.Text("rain")).Queued)
	fmt.Println(news.Group("sports").Send(wsmanager.Text("1:0")).Queued)
	fmt.Println(read())
	for c := range news.Group("headlines").Local() {
		fmt.Println(c.Groups())
	}
	// Output:
	// subscribed
	// 1
	// 0
	// rain
	// [headlines weather]
}

// A user may have several connections: a phone, and two tabs.
func ExampleManager_Users() {
	m := wsmanager.MustNew(wsmanager.Callbacks{
		OnAccept: func(r *http.Request) (wsmanager.Accept, error) {
			return wsmanager.Accept{User: r.URL.Query().Get("user")}, nil // a real server takes the user from a session
		},
	}, wsmanager.Options{Logger: optionsWithoutLog().Logger})
	srv := httptest.NewServer(m)
	defer srv.Close()
	for range 2 {
		_, end := dial(srv, "/?user=ann")
		defer end()
	}
	fmt.Println(m.Users("ann").Send(wsmanager.Text("you have mail")).Queued)
	fmt.Println(m.Users("ann").Len(), m.Users("bob").Len())
	// Output:
	// 2
	// 2 0
}

// The sender does not receive its own message.
func ExampleAudience_Except() {
	room := wsmanager.MustNew(wsmanager.Callbacks{
		OnMessage: func(c *wsmanager.Conn, m wsmanager.Message) error {
			c.Manager().All().Except(c.ID()).Send(m)
			return nil
		},
	}, wsmanager.Options{Logger: optionsWithoutLog().Logger})
	srv := httptest.NewServer(room)
	defer srv.Close()
	read, end := dial(srv, "/")
	defer end()

	other, _, _, err := ws.Dial(context.Background(), "ws"+srv.URL[len("http"):])
	if err != nil {
		fmt.Println(err)
		return
	}
	defer other.Close()
	_ = wsutil.WriteClientText(other, []byte("hello, others"))
	fmt.Println(read())
	// Output: hello, others
}
