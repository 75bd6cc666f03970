package golden_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/branch"
	"github.com/speakingtube/speakingtube/pipeline"
)

// env is what the pipelines get: one for each server.
type env struct {
	port  int
	root  string // folder of the static files
	drain []func(context.Context) error

	mu     sync.Mutex
	events []string
}

// builders returns the functions that build the pipelines, by name. They do the same as the
// programs that ASP.NET Core was recorded with.
func builders() map[string]func(*env, *builder) {
	pipelines := map[string]func(*env, *builder){}
	addRoutes(pipelines)
	addLife(pipelines)
	addParts(pipelines)
	return pipelines
}

// event notes something that the pipeline does. Only the first line counts, as in the
// recordings.
func (e *env) event(format string, args ...any) {
	line, _, _ := strings.Cut(fmt.Sprintf(format, args...), "\n")
	e.mu.Lock()
	defer e.mu.Unlock()
	e.events = append(e.events, line)
}

// seen returns the events so far.
func (e *env) seen() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.events)
}

func (e *env) forget() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.events = nil
}

// serve begins to serve a pipeline. The returned function ends the server and waits.
func serve(t *testing.T, build func(*env, *builder), root string) (e *env, stop func()) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	e = &env{port: ln.Addr().(*net.TCPAddr).Port, root: root}
	app := pipeline.New()
	build(e, app)
	h, err := app.Build()
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = pipeline.ServeListener(ctx, ln, &http.Server{Handler: h, ErrorLog: discard}, e.drain...)
	}()
	return e, func() { cancel(); <-done }
}

// text answers with a text of a named type.
func text(w http.ResponseWriter, s string) {
	if w.Header().Get("Content-Type") == "" {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	}
	_, _ = io.WriteString(w, s)
}

func say(s string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) { text(w, s) }
}

// path is the rest of the path as ASP.NET Core has it: empty on an exact match.
func path(r *http.Request) string {
	if branch.Exact(r) {
		return ""
	}
	return r.URL.Path
}

func info(tag string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, r *http.Request) {
		text(w, fmt.Sprintf("%s method=%s base=[%s] path=[%s] query=[%s]", tag, r.Method, branch.PathBase(r), path(r), r.URL.RawQuery))
	}
}

func has(r *http.Request, key string) bool { return r.URL.Query().Has(key) }

// number reads the last segment of the path.
func number(r *http.Request) int {
	n, _ := strconv.Atoi(r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:])
	return n
}

type next = http.Handler
