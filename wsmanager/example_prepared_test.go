package wsmanager_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/speakingtube/speakingtube/wsmanager"
)

// A message that is sent to many clients at different times is encoded once.
func ExamplePrepareJSON() {
	rules, err := wsmanager.PrepareJSON(map[string]string{"rule": "be kind"})
	if err != nil {
		fmt.Println(err)
		return
	}
	m := wsmanager.MustNew(wsmanager.Callbacks{
		OnConnect: func(c *wsmanager.Conn) error { return c.SendPrepared(rules) },
	}, wsmanager.Options{Logger: optionsWithoutLog().Logger})
	srv := httptest.NewServer(m)
	defer srv.Close()
	for range 2 {
		read, end := dial(srv, "/")
		defer end()
		fmt.Println(read())
	}
	// Output:
	// {"rule":"be kind"}
	// {"rule":"be kind"}
}

// Connections with different encodings in one Manager. Each encoding is made once, when the
// first connection needs it.
func ExamplePrepareFunc() {
	const asJSON, asText = wsmanager.Variant(0), wsmanager.Variant(1)
	m := wsmanager.MustNew(wsmanager.Callbacks{
		OnAccept: func(r *http.Request) (wsmanager.Accept, error) {
			if r.URL.Path == "/text" {
				return wsmanager.Accept{Variant: asText}, nil
			}
			return wsmanager.Accept{Variant: asJSON}, nil
		},
	}, wsmanager.Options{Logger: optionsWithoutLog().Logger})
	srv := httptest.NewServer(m)
	defer srv.Close()
	readJSON, end1 := dial(srv, "/json")
	defer end1()
	readText, end2 := dial(srv, "/text")
	defer end2()

	price := 12.5
	m.All().SendPrepared(wsmanager.PrepareFunc(func(v wsmanager.Variant) (wsmanager.Message, error) {
		if v == asText {
			return wsmanager.Text(fmt.Sprint("price ", price)), nil
		}
		text, err := json.Marshal(map[string]float64{"price": price})
		return wsmanager.Message{Type: wsmanager.TextMessage, Payload: text}, err
	}))
	fmt.Println(readJSON())
	fmt.Println(readText())
	// Output:
	// {"price":12.5}
	// price 12.5
}

// The client's first message selects the protocol. Until then no broadcast reaches the
// connection, because its encoding is unknown.
func ExampleConn_Ready() {
	sent := make(chan wsmanager.Sent, 2)
	m := wsmanager.MustNew(wsmanager.Callbacks{
		OnAccept: func(*http.Request) (wsmanager.Accept, error) { return wsmanager.Accept{Deferred: true}, nil },
		OnConnect: func(c *wsmanager.Conn) error {
			sent <- c.Manager().Broadcast(wsmanager.Text("news"))
			if err := c.Ready(0); err != nil { // a real server calls it in OnMessage
				return err
			}
			sent <- c.Manager().Broadcast(wsmanager.Text("news"))
			return nil
		},
	}, wsmanager.Options{Logger: optionsWithoutLog().Logger})
	srv := httptest.NewServer(m)
	defer srv.Close()
	read, end := dial(srv, "/")
	defer end()
	fmt.Println("before:", (<-sent).Queued)
	fmt.Println("after:", (<-sent).Queued)
	fmt.Println(read())
	// Output:
	// before: 0
	// after: 1
	// news
}
