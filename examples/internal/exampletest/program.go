package exampletest

import (
	"context"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// Program is a server program that runs inside the test.
type Program struct {
	URL  string
	Out  *Output
	Stop context.CancelFunc // acts as Ctrl-C
	done chan error         // run's result
}

// Start runs a program, which prints "serving" and its URL, until the test ends, and
// requires that it ends without an error.
func Start(t testing.TB, run func(ctx context.Context, args []string, out io.Writer) error, args ...string) *Program {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	p := &Program{Out: &Output{}, Stop: stop, done: make(chan error, 1)}
	go func() { p.done <- run(ctx, args, p.Out) }()
	p.URL = p.Out.WaitFor(t, `serving (http://\S+)`)[1]
	t.Cleanup(func() {
		stop()
		http.DefaultClient.CloseIdleConnections()
		p.End(t)
	})
	return p
}

// End waits until the program has ended without an error. It may be called more than once.
func (p *Program) End(t testing.TB) {
	t.Helper()
	select {
	case err := <-p.done:
		p.done <- err
		if err != nil {
			t.Fatalf("the program ended with %v\n%s", err, p.Out)
		}
	case <-time.After(wstest.Patience):
		t.Fatal("the program did not end")
	}
}
