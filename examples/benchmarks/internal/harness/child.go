package harness

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"github.com/speakingtube/speakingtube/pipeline"
)

// childEnv is set in the environment of a child and holds its configuration as JSON.
const childEnv = "SPEAKINGTUBE_BENCHMARK_CHILD"

// RunChild runs child and ends the process if [WithChild] has started it; otherwise it
// returns at once. Call it first in main and in TestMain. SIGTERM ends ctx.
func RunChild[C any](child func(ctx context.Context, cfg C) error) {
	text, ok := os.LookupEnv(childEnv)
	if !ok {
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	var cfg C
	err := json.Unmarshal([]byte(text), &cfg)
	if err == nil {
		err = child(ctx, cfg)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "child:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// Serve serves h in a child, on a free port of 127.0.0.1, until ctx ends. It prints the address
// for the parent. drain is passed to [pipeline.ServeListener].
func Serve(ctx context.Context, h http.Handler, drain ...func(context.Context) error) error {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Printf("serving http://%s\n", ln.Addr())
	return pipeline.ServeListener(ctx, ln, &http.Server{
		Handler:     h,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, connKey{}, c) },
	}, drain...)
}

type connKey struct{}

// NetConn returns the socket of a request that [Serve] received.
func NetConn(r *http.Request) *net.TCPConn { return r.Context().Value(connKey{}).(*net.TCPConn) }

// Answer writes the JSON that [Child.Ask] reads, or status 400 with the error.
func Answer(w http.ResponseWriter, v any, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	_ = json.NewEncoder(w).Encode(v) // fails only if the parent is gone
}

// Child is the server process, seen from the parent.
type Child struct {
	*Server

	// Fail ends the measurement with an error. Errors after the first are ignored.
	Fail context.CancelCauseFunc

	ctx context.Context
}

// WithChild starts this program again as a child with the configuration, runs measure and
// terminates the child. The context of measure ends when [Child.Fail] is called, and
// WithChild then returns that error. The end of ctx kills the child.
func WithChild(ctx context.Context, cfg any, measure func(ctx context.Context, c *Child) error) error {
	text, err := json.Marshal(cfg)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, self)
	cmd.Env = append(os.Environ(), childEnv+"="+string(text))
	c := &Child{}
	if c.Server, err = start(cmd); err != nil {
		return err
	}
	c.ctx, c.Fail = context.WithCancelCause(ctx)
	err = measure(c.ctx, c)
	if cause := context.Cause(c.ctx); cause != nil {
		err = cause
	}
	c.Fail(nil) // clients report errors when the child ends: they are expected
	return errors.Join(err, c.Stop())
}

// Ask sends a GET request for "/path" to the child and decodes the answer. It leaves no
// idle connection behind, which the child would count.
func (c *Child) Ask(path string, v any) error { return Ask(c.ctx, c.Addr+path, v) }

// Ask sends a GET request to target, "host:port/path", and decodes the JSON answer. It
// leaves no idle connection behind.
func Ask(ctx context.Context, target string, v any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+target, nil)
	if err != nil {
		return err
	}
	req.Close = true
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(res.Body, 1000)) // a partial explanation is enough
		return fmt.Errorf("harness: %s answered %s: %s", req.URL.Path, res.Status, text)
	}
	return json.NewDecoder(res.Body).Decode(v)
}

// Await calls done every millisecond until it returns true or an error, at most for 20 s.
func (c *Child) Await(name string, done func() (bool, error)) error {
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		ok, err := done()
		switch {
		case ok || err != nil:
			return err
		case c.ctx.Err() != nil:
			return context.Cause(c.ctx)
		case time.Now().After(deadline):
			return fmt.Errorf("harness: timed out waiting for %s", name)
		}
	}
}
