package wsmanager_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"

	"github.com/speakingtube/speakingtube/wsmanager"
)

// An echo, and a client that says hello to it.
func ExampleDial() {
	echo := wsmanager.MustNew(wsmanager.Callbacks{
		OnMessage: func(c *wsmanager.Conn, m wsmanager.Message) error { return c.Send(m) },
	}, wsmanager.Options{Logger: slog.New(slog.DiscardHandler)})
	srv := httptest.NewServer(echo)
	defer srv.Close()
	defer echo.Shutdown(context.Background())

	ended := make(chan error)
	_, err := wsmanager.Dial(context.Background(), srv.URL, wsmanager.Callbacks{
		OnConnect: func(c *wsmanager.Conn) error { return c.Send(wsmanager.Text("hello")) },
		OnMessage: func(c *wsmanager.Conn, m wsmanager.Message) error {
			fmt.Printf("%s\n", m.Payload)
			return c.Close(wsmanager.StatusNormalClosure, "")
		},
		OnClose: func(_ *wsmanager.Conn, err error) { ended <- err },
	}, wsmanager.DialOptions{Options: wsmanager.Options{Logger: slog.New(slog.DiscardHandler)}})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("ended with", <-ended)
	// Output:
	// hello
	// ended with <nil>
}

// A server that refuses says why.
func ExampleRefusedError() {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "who are you?", http.StatusUnauthorized)
	}))
	defer srv.Close()
	_, err := wsmanager.Dial(context.Background(), srv.URL, wsmanager.Callbacks{}, wsmanager.DialOptions{})
	var refused *wsmanager.RefusedError
	if errors.As(err, &refused) {
		fmt.Println(refused.StatusCode, refused)
	}
	// Output:
	// 401 the server refused with 401 Unauthorized: "who are you?"
}

// A client that says who it is on every connection, before what waits goes out.
func ExampleClient() {
	heard := make(chan string)
	server := wsmanager.MustNew(wsmanager.Callbacks{
		OnMessage: func(c *wsmanager.Conn, m wsmanager.Message) error {
			heard <- string(m.Payload)
			if string(m.Payload) == "one" {
				return c.Close(wsmanager.StatusServiceRestart, "")
			}
			return nil
		},
	}, wsmanager.Options{Logger: slog.New(slog.DiscardHandler)})
	srv := httptest.NewServer(server)
	defer srv.Close()
	defer server.Shutdown(context.Background())

	var opts wsmanager.ClientOptions
	opts.Logger = slog.New(slog.DiscardHandler)
	again := make(chan struct{}, 1)
	opts.OnRetry = func(r wsmanager.Retrying) {
		fmt.Println("attempt", r.Attempt, "because:", r.Err)
		again <- struct{}{}
	}
	client, err := wsmanager.NewClient(srv.URL, wsmanager.Callbacks{
		OnConnect: func(c *wsmanager.Conn) error { return c.Send(wsmanager.Text("I am Ada")) },
	}, opts)
	if err != nil {
		fmt.Println(err)
		return
	}
	done := make(chan error)
	go func() { done <- client.Run(context.Background()) }()

	_ = client.Send(wsmanager.Text("one")) // fails only when too much waits
	fmt.Println(<-heard)
	fmt.Println(<-heard)
	<-again
	_ = client.Send(wsmanager.Text("two")) // there is no connection now
	fmt.Println(<-heard)
	fmt.Println(<-heard)
	_ = client.Close(wsmanager.StatusNormalClosure, "")
	fmt.Println(<-done)
	// Output:
	// I am Ada
	// one
	// attempt 1 because: wsmanager: closed by the peer with 1012
	// I am Ada
	// two
	// <nil>
}
