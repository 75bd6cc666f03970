package pipeline_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/speakingtube/speakingtube/pipeline"
)

// serveEvents sends server-sent events until the client leaves or the server drains. The
// client connects again by itself, to another process.
func serveEvents(w http.ResponseWriter, r *http.Request, events <-chan string) error {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	alive := time.NewTicker(15 * time.Second)
	defer alive.Stop()
	for out := "retry: 1000\n\n"; ; { // milliseconds until the client connects again
		if _, err := io.WriteString(w, out); err != nil {
			return err
		}
		if err := http.NewResponseController(w).Flush(); err != nil {
			return err
		}
		select {
		case e := <-events:
			out = "data: " + e + "\n\n"
		case <-alive.C:
			out = ": alive\n\n" // for proxies that close idle connections
		case <-pipeline.Draining(r.Context()):
			return nil
		case <-r.Context().Done():
			return r.Context().Err()
		}
	}
}

// A stream of server-sent events ends when the server drains.
func ExampleDraining() {
	events := make(chan string, 1)
	events <- "hello"
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = serveEvents(w, r, events) // the client has left
	})}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, terminate := context.WithCancel(context.Background()) // signal.NotifyContext in a program
	defer terminate()
	done := make(chan error, 1)
	go func() { done <- pipeline.ServeListener(ctx, ln, srv) }()

	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Get("http://" + ln.Addr().String())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer res.Body.Close()
	begin := make([]byte, len("retry: 1000\n\ndata: hello\n\n"))
	_, _ = io.ReadFull(res.Body, begin)
	fmt.Printf("%s", begin)
	terminate()
	rest, err := io.ReadAll(res.Body)
	fmt.Println(len(rest), "bytes more,", err)
	fmt.Println("Serve:", <-done)
	// Output:
	// retry: 1000
	//
	// data: hello
	//
	// 0 bytes more, <nil>
	// Serve: <nil>
}
