package pipeline_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/speakingtube/speakingtube/branch"
	"github.com/speakingtube/speakingtube/pipeline"
)

func Example() {
	app := pipeline.New()
	app.UseFunc(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		fmt.Fprint(w, "before, ")
		next.ServeHTTP(w, r)
		fmt.Fprint(w, ", after")
	})
	app.Map("/admin", func(b *pipeline.Builder) {
		b.RunFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "admin") })
	})
	app.MapWhen(branch.Query("dump"), func(b *pipeline.Builder) {
		b.RunFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.URL) })
	})
	app.RunFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "home") })
	h := app.MustBuild()

	for _, target := range []string{"/", "/admin/users", "/x?dump"} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, target, nil))
		fmt.Println(w.Body)
	}
	// Output:
	// before, home, after
	// before, admin, after
	// before, /x?dump, after
}

// The classic mistake: headers that are set after next has returned do not reach the client
// if the response has started by then. Set them in OnStarting.
func ExampleObserve() {
	wrong := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			next.ServeHTTP(w, r)
			w.Header().Set("X-Wrong", "too late")
		})
	}
	right := pipeline.Observe(func(w http.ResponseWriter, r *http.Request, res *pipeline.Response, next http.Handler) {
		err := res.OnStarting(func(h http.Header, status int) { h.Set("X-Right", fmt.Sprint("in time for ", status)) })
		if err != nil { // a component above has started the response
			fmt.Println(err)
		}
		next.ServeHTTP(w, r)
	})
	h := pipeline.New().Use(wrong, right).RunFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "hello")
	}).MustBuild()

	srv := httptest.NewServer(h)
	defer srv.Close()
	res, err := http.Get(srv.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer res.Body.Close()
	fmt.Printf("X-Wrong: %q\nX-Right: %q\n", res.Header.Get("X-Wrong"), res.Header.Get("X-Right"))
	// Output:
	// X-Wrong: ""
	// X-Right: "in time for 200"
}

// Build finds all mistakes at once.
func ExampleBuilder_Build() {
	app := pipeline.New()
	app.Map("admin", func(b *pipeline.Builder) {})
	app.UseNamed("limit", nil)
	app.Mount("/ws", nil)
	_, err := app.Build()
	for _, mistake := range err.(interface{ Unwrap() []error }).Unwrap() {
		// pipeline: main.go:12: Map(admin): the problem
		fmt.Println(strings.SplitN(mistake.Error(), ": ", 3)[2])
	}
	// Output:
	// Map(admin): the prefix "admin" must begin with a slash: "/admin"
	// Use(limit): the component is nil
	// Mount(/ws): the handler is nil
}

// With PreservePath a branch and the Maps in it use the full path.
func ExampleBuilder_MapWith() {
	app := pipeline.New()
	app.MapWith("/api", branch.MapOptions{PreservePath: true}, func(b *pipeline.Builder) {
		b.Map("/api/users", func(b *pipeline.Builder) {})
	})
	app.MountWith("/Reports", branch.MapOptions{MatchCase: true}, http.NotFoundHandler())
	fmt.Println(app)
	// Output:
	// pipeline
	// ├─ Map      /api [PreservePath]
	// │  ├─ Map      /api/users
	// │  │  └─ (end)    404
	// │  └─ (end)    404
	// ├─ Mount    /Reports [MatchCase] → http.NotFound
	// └─ (end)    404
}
