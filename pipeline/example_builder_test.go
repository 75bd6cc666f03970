package pipeline_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"

	"github.com/speakingtube/speakingtube/branch"
	"github.com/speakingtube/speakingtube/pipeline"
)

// The tree of a pipeline, with the names from UseNamed.
func ExampleBuilder_String() {
	auth := func(next http.Handler) http.Handler { return next }
	app := pipeline.New()
	app.UseNamed("auth", auth)
	app.UseWhen(branch.Method("POST"), func(b *pipeline.Builder) { b.UseNamed("limit", auth) })
	app.Map("/admin", func(b *pipeline.Builder) { b.Run(http.NotFoundHandler()) })
	app.Mount("/files", http.FileServerFS(nil))
	fmt.Println(app)
	// Output:
	// pipeline
	// ├─ Use      auth
	// ├─ UseWhen  branch.Method
	// │  ├─ Use      limit
	// │  └─ (end)    rejoins
	// ├─ Map      /admin
	// │  └─ Run      http.NotFound
	// ├─ Mount    /files → *http.fileHandler
	// └─ (end)    404
}

// A package checks whether a component that it needs is already present.
func ExampleBuilder_Has() {
	pass := func(next http.Handler) http.Handler { return next }
	useChat := func(app *pipeline.Builder) {
		if !app.Has("auth") {
			app.UseNamed("auth", pass)
		}
	}
	app := pipeline.New()
	useChat(app)
	useChat(app)
	_, err := app.Build()
	fmt.Println(app.Has("auth"), err)
	// Output: true <nil>
}

// Components of a branch that rejoins run for some requests only; all requests reach the
// end.
func ExampleBuilder_UseWhen() {
	app := pipeline.New()
	app.UseWhen(branch.Query("trace"), func(b *pipeline.Builder) {
		b.UseFunc(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			fmt.Fprint(w, "traced: ")
			next.ServeHTTP(w, r)
		})
	})
	app.RunFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "home") })
	h := app.MustBuild()
	for _, target := range []string{"/", "/?trace"} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, target, nil))
		fmt.Print(w.Body)
	}
	// Output:
	// home
	// traced: home
}

// A component learns the results of those below it: the route of the request, and a value
// under a key of its own.
func ExampleResponse_SetRoute() {
	type tenant struct{}
	log := pipeline.Observe(func(w http.ResponseWriter, r *http.Request, res *pipeline.Response, next http.Handler) {
		next.ServeHTTP(w, r)
		fmt.Println(res.Status(), res.Route(), res.Value(tenant{}))
	})
	app := pipeline.New().Use(log).RunFunc(func(w http.ResponseWriter, r *http.Request) {
		if res, ok := pipeline.ResponseFrom(r.Context()); ok {
			res.SetRoute("GET /items/{id}")
			res.SetValue(tenant{}, "acme")
		}
		w.WriteHeader(http.StatusAccepted)
	})
	app.MustBuild().ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/items/7", nil))
	// Output: 202 GET /items/{id} acme
}

// OnCompleted is for work that must happen at the end, however the handlers end; the status
// and the size are known then.
func ExampleResponse_OnCompleted() {
	count := pipeline.Observe(func(w http.ResponseWriter, r *http.Request, res *pipeline.Response, next http.Handler) {
		err := res.OnCompleted(func() { fmt.Println(res.Status(), "with", res.BytesWritten(), "bytes") })
		if err != nil { // only if the response is already complete
			fmt.Println(err)
		}
		next.ServeHTTP(w, r)
	})
	h := pipeline.New().Use(count).RunFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") }).MustBuild()
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
	// Output: 200 with 5 bytes
}

// timing is state and callback in one, which saves a closure.
type timing struct{ method string }

func (t *timing) Starting(h http.Header, status int) {
	h.Set("X-Answer", fmt.Sprint(t.method, " ", status))
}

func ExampleResponse_NotifyStarting() {
	stamp := pipeline.Observe(func(w http.ResponseWriter, r *http.Request, res *pipeline.Response, next http.Handler) {
		if err := res.NotifyStarting(&timing{r.Method}); err != nil {
			fmt.Println(err)
		}
		next.ServeHTTP(w, r)
	})
	w := httptest.NewRecorder()
	pipeline.New().Use(stamp).MustBuild().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	fmt.Println(w.Header().Get("X-Answer"))
	// Output: GET 404
}

// ObserveWriter observes its own writer, even if a component above buffers the output, so
// that the request's Response has not started.
func ExampleObserveWriter() {
	check := pipeline.ObserveWriter(func(w http.ResponseWriter, r *http.Request, own *pipeline.Response, next http.Handler) {
		next.ServeHTTP(w, r)
		fmt.Println("written:", own.BytesWritten())
	})
	h := check(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") }))
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
	// Output: written: 5
}

// Serving shuts down gracefully when the context ends; it waits for the drains, for example
// a Manager's Shutdown.
func ExampleServeListener() {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	drain := func(context.Context) error { fmt.Println("drained"); return nil }
	h := pipeline.New().RunFunc(func(http.ResponseWriter, *http.Request) { stop() }).MustBuild()
	go func() {
		if res, err := http.Get("http://" + ln.Addr().String()); err == nil {
			_ = res.Body.Close()
		}
	}()
	fmt.Println(pipeline.ServeListener(ctx, ln, &http.Server{Handler: h}, drain))
	// Output:
	// drained
	// <nil>
}
