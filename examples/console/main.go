// Console is a WebSocket client for a terminal: it sends each typed line and prints each
// message. An empty line, or the end of the input, closes the connection.
//
// The exit status is 0 if either side closed the connection gracefully, and 1 if it was
// refused or has broken, or if some lines could not be sent.
//
//	go run ./examples/echo
//	go run ./examples/console -url ws://127.0.0.1:8080/echo
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/speakingtube/speakingtube/wsmanager"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the program immediately
	if err := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "console:", err)
		os.Exit(1)
	}
}

// maxLine is the maximum length of a line and of a received message.
const maxLine = 1 << 20

func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("console", flag.ContinueOnError)
	flags.SetOutput(stderr)
	url := flags.String("url", "ws://127.0.0.1:8080/ws", "the server to connect to")
	reconnect := flags.Bool("reconnect", false, "reconnect when the connection breaks; lines typed meanwhile wait")
	giveUp := flags.Duration("give-up", time.Minute, "with -reconnect: how long to try")
	wait := flags.Duration("wait", 0, "how long to receive after the end of the input, before closing")
	if err := flags.Parse(args); err != nil {
		return err
	}
	client, err := newClient(*url, *reconnect, *giveUp, stdout, stderr)
	if err != nil {
		return err
	}
	// A read from a terminal can't be interrupted: if the connection ends first, this
	// goroutine ends with the process.
	input := make(chan error, 1)
	go func() {
		input <- send(ctx, client, stdin, stderr, *wait)
		_ = client.Close(wsmanager.StatusNormalClosure, "") // the arguments are valid, so it can't fail
	}()
	err = client.Run(ctx)
	var gaveUp *wsmanager.RetriesExhaustedError
	if errors.As(err, &gaveUp) && !*reconnect {
		err = gaveUp.Err // with a single attempt its error is sufficient
	}
	interrupted := ctx.Err() != nil
	if interrupted {
		err = nil // Ctrl-C is a normal end
	}
	if err != nil || interrupted {
		return err
	}
	select {
	case err = <-input:
		return orderly(true, err, client.Unsent(), stderr)
	default:
		return orderly(false, nil, client.Unsent(), stderr)
	}
}

// orderly returns the program's result after a connection that was closed gracefully: by
// this side, if the input has ended, or else by the server.
func orderly(ended bool, input error, unsent int, stderr io.Writer) error {
	switch {
	case errors.Is(input, wsmanager.ErrClosed), !ended && unsent > 0:
		return errors.New("the server has closed the connection before all was sent")
	case !ended:
		fmt.Fprintln(stderr, "The server has closed the connection.")
	}
	return input
}

// newClient makes the client, which prints its messages.
func newClient(url string, reconnect bool, giveUp time.Duration, stdout, stderr io.Writer) (*wsmanager.Client, error) {
	var opts wsmanager.ClientOptions
	opts.Logger = slog.New(slog.DiscardHandler) // Run's error has all the information
	opts.Limits.MaxMessageSize, opts.Outbox.Bytes = maxLine, 4*maxLine
	if reconnect {
		opts.Reconnect.MaxDowntime = giveUp
		opts.Reconnect.MaxDelay = 5 * time.Second // a person waits for it
		opts.Reconnect.OnRetry = func(r wsmanager.RetryEvent) {
			fmt.Fprintf(stderr, "Next attempt in %v: %v\n", r.Delay.Round(time.Millisecond), r.Err)
		}
	} else {
		opts.Reconnect.Retry = func(wsmanager.Failure) bool { return false }
	}
	return wsmanager.NewClient(url, wsmanager.Callbacks{
		OnConnect: func(*wsmanager.Conn) error {
			fmt.Fprintln(stdout, "Connected!")
			return nil
		},
		OnMessage: func(_ *wsmanager.Conn, m wsmanager.Message) error {
			if m.Type == wsmanager.TextMessage {
				fmt.Fprintf(stdout, "%s\n", m.Payload)
			} else {
				fmt.Fprintf(stdout, "(%d bytes)\n", len(m.Payload))
			}
			return nil
		},
	}, opts)
}

// send sends line by line, until an empty one, and returns when all have been sent and the
// wait is over.
func send(ctx context.Context, client *wsmanager.Client, stdin io.Reader, stderr io.Writer, wait time.Duration) error {
	lines := bufio.NewScanner(stdin)
	lines.Buffer(nil, maxLine)
	for lines.Scan() && len(lines.Bytes()) > 0 {
		if !utf8.Valid(lines.Bytes()) { // the server would end the connection
			fmt.Fprintln(stderr, "Not sent: the line is not valid UTF-8.")
			continue
		}
		if err := client.SendContext(ctx, wsmanager.Message{Type: wsmanager.TextMessage, Payload: lines.Bytes()}); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("reading the input: %w", err)
	}
	if err := client.Flush(ctx); err != nil {
		return err
	}
	select {
	case <-time.After(wait):
	case <-ctx.Done():
	}
	return nil
}
