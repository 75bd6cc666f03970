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

// An echo server, and a client that says hello to it.
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
	}, wsmanager.DialOptions{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("ended with", <-ended)
	// Output:
	// hello
	// ended with <nil>
}

// The error of a refused handshake has the server's reason.
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
	// 401 wsmanager: the server refused with 401 Unauthorized: "who are you?"
}

// A client that identifies itself on every connection before unsent messages are sent.
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
	opts.Reconnect.OnRetry = func(r wsmanager.RetryEvent) {
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

	_ = client.Send(wsmanager.Text("one")) // fails only if too many messages are unsent
	fmt.Println(<-heard)
	fmt.Println(<-heard)
	<-again
	_ = client.Send(wsmanager.Text("two")) // no connection exists now
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

// A fleet of devices: many connections in one Manager, each with its own name and token.
func ExampleDialer() {
	server := wsmanager.MustNew(wsmanager.Callbacks{
		OnAccept: func(r *http.Request) (wsmanager.Accept, error) {
			if r.Header.Get("Authorization") == "" {
				return wsmanager.Accept{}, wsmanager.Reject(http.StatusUnauthorized, "who are you?")
			}
			return wsmanager.Accept{User: r.URL.Query().Get("device")}, nil
		},
		OnMessage: func(c *wsmanager.Conn, m wsmanager.Message) error {
			return c.Send(wsmanager.Text(c.User() + " said " + string(m.Payload)))
		},
	}, wsmanager.Options{Logger: slog.New(slog.DiscardHandler)})
	srv := httptest.NewServer(server)
	defer srv.Close()
	defer server.Shutdown(context.Background())

	var opts wsmanager.DialOptions
	opts.Logger = slog.New(slog.DiscardHandler)
	next := 0
	opts.Handshake.OnDial = func(_ context.Context, a *wsmanager.Attempt) error {
		next++
		a.URL.RawQuery = fmt.Sprint("device=number-", next)
		a.Header.Set("Authorization", fmt.Sprint("Bearer token-", next))
		a.Value = next
		return nil
	}
	heard := make(chan string)
	fleet, err := wsmanager.NewDialer(srv.URL, wsmanager.Callbacks{
		OnMessage: func(c *wsmanager.Conn, m wsmanager.Message) error {
			number, _ := wsmanager.Value[int](c)
			heard <- fmt.Sprintf("%d heard: %s", number, m.Payload)
			return nil
		},
	}, opts)
	if err != nil {
		fmt.Println(err)
		return
	}
	for range 3 {
		if _, err := fleet.Dial(context.Background()); err != nil {
			fmt.Println(err)
			return
		}
	}
	fleet.Manager().Broadcast(wsmanager.Text("hello"))
	for range 3 {
		fmt.Println(<-heard)
	}
	fmt.Println(fleet.Manager().Stats().Connections, "connections")
	_ = fleet.Manager().Shutdown(context.Background()) // waits until all connections have ended
	fmt.Println(fleet.Manager().Stats().Connections, "connections")
	// Unordered output:
	// 1 heard: number-1 said hello
	// 2 heard: number-2 said hello
	// 3 heard: number-3 said hello
	// 3 connections
	// 0 connections
}
