// Console is a WebSocket client for a terminal: each line that is typed is sent, and
// what comes is printed. An empty line, or the end of the input, closes the
// connection.
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

	"github.com/speakingtube/speakingtube/wsmanager"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends at once
	if err := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "console:", err)
		os.Exit(1)
	}
}

// maxLine is how long a line may be, and a message that is received.
const maxLine = 1 << 20

func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("console", flag.ContinueOnError)
	flags.SetOutput(stderr)
	url := flags.String("url", "ws://127.0.0.1:8080/ws", "the server to connect to")
	reconnect := flags.Bool("reconnect", false, "connect again when the connection breaks; lines typed meanwhile wait")
	giveUp := flags.Duration("give-up", time.Minute, "with -reconnect: how long to try")
	if err := flags.Parse(args); err != nil {
		return err
	}
	client, err := newClient(*url, *reconnect, *giveUp, stdout, stderr)
	if err != nil {
		return err
	}
	// The reading of a terminal can't be broken off: if the connection ends first,
	// this ends with the process.
	input := make(chan error, 1)
	go func() {
		input <- send(ctx, client, stdin)
		_ = client.Close(wsmanager.StatusNormalClosure, "") // valid, so it can't fail
	}()
	err = client.Run(ctx)
	if ctx.Err() != nil {
		return nil //nolint:nilerr // Ctrl-C: the error is that
	}
	if err == nil {
		select {
		case err = <-input:
		default:
			fmt.Fprintln(stderr, "The server has closed the connection.")
		}
		return err
	}
	var gaveUp *wsmanager.GaveUpError
	if errors.As(err, &gaveUp) && !*reconnect {
		return gaveUp.Err // there was one attempt: no more to say than why it failed
	}
	return err
}

// newClient makes the client, which prints what it receives.
func newClient(url string, reconnect bool, giveUp time.Duration, stdout, stderr io.Writer) (*wsmanager.Client, error) {
	var opts wsmanager.ClientOptions
	opts.Logger = slog.New(slog.DiscardHandler) // Run's error says it all
	opts.MaxMessageSize, opts.OutboxBytes = maxLine, 4*maxLine
	if reconnect {
		opts.MaxDowntime = giveUp
		opts.MaxDelay = 5 * time.Second // somebody is waiting
		opts.OnRetry = func(r wsmanager.Retrying) {
			fmt.Fprintf(stderr, "Next attempt in %v: %v\n", r.Delay.Round(time.Millisecond), r.Err)
		}
	} else {
		opts.Retry = func(error) bool { return false }
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

// send sends line by line, until an empty one, and returns when all have left.
func send(ctx context.Context, client *wsmanager.Client, stdin io.Reader) error {
	lines := bufio.NewScanner(stdin)
	lines.Buffer(nil, maxLine)
	for lines.Scan() && len(lines.Bytes()) > 0 {
		if err := client.SendContext(ctx, wsmanager.Message{Type: wsmanager.TextMessage, Payload: lines.Bytes()}); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("reading the input: %w", err)
	}
	return client.Flush(ctx)
}
