// Loadtest loads a WebSocket server and checks the messages that it receives. Each message
// carries a number and a checksum, so that lost, duplicated, reordered and corrupted
// messages are detected. See docs/loadtest.md.
//
//	go run ./examples/echo
//	go run ./examples/loadtest -url ws://127.0.0.1:8080/echo -connections 1000
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second Ctrl-C terminates the process at once
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// The exit statuses.
const (
	statusOK    = 0
	statusError = 1
	statusUsage = 2
)

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	cfg, err := parseFlags(args, stdout)
	if errors.Is(err, flag.ErrHelp) {
		return statusOK
	}
	var l *load
	if err == nil {
		l, err = newLoad(cfg)
	}
	if err != nil {
		fmt.Fprintf(stderr, "loadtest: %v\n(loadtest -h explains the flags)\n", err)
		return statusUsage
	}
	if err := checkDescriptors(cfg.connections, descriptors()); err != nil {
		fmt.Fprintln(stderr, "loadtest:", err)
		return statusError
	}
	var file *os.File
	if cfg.json != "" && cfg.json != "-" { // before the run, so that a bad path does not waste it
		if file, err = os.Create(cfg.json); err != nil {
			fmt.Fprintln(stderr, "loadtest: -json:", err)
			return statusUsage
		}
		defer file.Close()
	}
	endProgress := func() {}
	if !cfg.quiet && cfg.json != "-" {
		endProgress = l.showProgress(stdout)
	}
	r, err := l.run(ctx)
	endProgress()
	if err != nil {
		fmt.Fprintln(stderr, "loadtest:", err)
	}
	if err := r.write(cfg, stdout, file); err != nil {
		fmt.Fprintln(stderr, "loadtest:", err)
		return statusError
	}
	if !r.OK {
		return statusError
	}
	return statusOK
}

// run runs the whole load. It returns an error if the first connection failed or the
// connections could not be closed.
func (l *load) run(ctx context.Context) (*report, error) {
	began := time.Now()
	failed := l.connect(ctx)
	connecting := time.Since(began)
	l.begin()
	before := l.readMeter()
	if failed == nil {
		l.phase.Store(phaseSending)
		l.sendAll(ctx)
	}
	l.interrupted.Store(ctx.Err() != nil)
	l.phase.Store(phaseWaiting)
	if ctx.Err() != nil { // messages in flight are awaited after an interrupt too
		ctx = context.WithoutCancel(ctx)
	}
	waiting, cancel := context.WithTimeout(ctx, l.cfg.timeout)
	l.wait(waiting)
	cancel()
	after := l.readMeter()
	l.phase.Store(phaseClosing)
	if err := l.close(); err != nil {
		failed = errors.Join(failed, fmt.Errorf("closing the connections: %w", err))
	}
	r := l.report(connecting, before, after)
	r.Interrupted = l.interrupted.Load()
	if failed != nil {
		r.Failure = failed.Error()
	}
	r.judge()
	return r, failed
}

// write writes the report to the outputs that the flags select. file is that of -json, or
// nil.
func (r *report) write(cfg *config, stdout, file io.Writer) error {
	var err error
	if cfg.json != "-" && (r.Failure == "" || r.Connections.Made > 0) && !(cfg.quiet && r.OK) {
		err = r.text(stdout)
	}
	if cfg.json == "-" {
		file = stdout
	}
	if cfg.json != "" {
		out := json.NewEncoder(file)
		out.SetIndent("", "  ")
		err = errors.Join(err, out.Encode(r))
	}
	if err != nil {
		return fmt.Errorf("writing the summary: %w", err)
	}
	return nil
}
