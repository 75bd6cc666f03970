package middleware_test

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"

	"github.com/speakingtube/speakingtube/middleware"
	"github.com/speakingtube/speakingtube/pipeline"
)

var errNoRow = errors.New("sql: no rows in result set")

// The application defines the answers to its errors. Other errors are answered with 500.
func ExampleRecoverOptions_problem() {
	app := pipeline.New().Use(middleware.Recover(middleware.RecoverOptions{
		Logger: logger(),
		Problem: func(_ *http.Request, err error) *middleware.Problem {
			if errors.Is(err, errNoRow) {
				return &middleware.Problem{Status: http.StatusNotFound, Detail: "There is no such order."}
			}
			return nil
		},
	}))
	app.Run(middleware.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) error {
		return fmt.Errorf("order %s: %w", r.URL.Query().Get("id"), errNoRow)
	}))
	show(app.MustBuild(), "/order?id=5")
	// Output:
	// level=INFO msg="a request was refused" request.method=GET request.path=/order err="order 5: sql: no rows in result set" response.status=404 response.started=false
	// 404 {"type":"about:blank","title":"Not Found","status":404,"detail":"There is no such order."}
}

// The texts for the client and for the log are separate.
func ExampleProblem() {
	app := pipeline.New().Use(middleware.Recover(middleware.RecoverOptions{Logger: logger()}))
	app.Run(middleware.HandlerFunc(func(http.ResponseWriter, *http.Request) error {
		return &middleware.Problem{
			Type:       "https://example.com/probs/out-of-credit",
			Title:      "You do not have enough credit.",
			Status:     http.StatusForbidden,
			Extensions: map[string]any{"balance": 30},
			Err:        errors.New("account 12345 of ann@example.com"),
		}
	}))
	r := httptest.NewRequest(http.MethodGet, "/buy", nil)
	r.Header.Set("Accept", "application/json")
	w := httptest.NewRecorder()
	app.MustBuild().ServeHTTP(w, r)
	fmt.Print(w.Header().Get("Content-Type"), "\n", w.Body)
	// Output:
	// level=INFO msg="a request was refused" request.method=GET request.path=/buy err="403 You do not have enough credit.: account 12345 of ann@example.com" response.status=403 response.started=false
	// application/problem+json
	// {"type":"https://example.com/probs/out-of-credit","title":"You do not have enough credit.","status":403,"balance":30}
}

func ExampleWriteProblem() {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		middleware.WriteProblem(w, r, &middleware.Problem{Status: http.StatusConflict, Detail: "The name is taken."})
	})
	show(h, "/")
	// Output:
	// 409 {"type":"about:blank","title":"Conflict","status":409,"detail":"The name is taken."}
}

// The handler returns its errors; Recover answers them.
func ExampleHandlerFunc() {
	app := pipeline.New().Use(middleware.Recover(middleware.RecoverOptions{Logger: logger()}))
	app.Run(middleware.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		if r.URL.Path != "/" {
			return errors.New("no connection to db.internal")
		}
		_, err := fmt.Fprintln(w, "fine")
		return err
	}))
	h := app.MustBuild()
	show(h, "/")
	show(h, "/x")
	// Output:
	// 200 fine
	// level=ERROR msg="a handler failed" request.method=GET request.path=/x err="no connection to db.internal" response.status=500 response.started=false
	// 500 {"type":"about:blank","title":"Internal Server Error","status":500}
}

// The classic misuse: a response that has started can't become an error. The connection is
// aborted, so that no client takes half an answer for a complete one.
func ExampleHandlerFunc_tooLate() {
	h := middleware.Recover(middleware.RecoverOptions{Logger: logger()})(middleware.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) error {
		fmt.Fprintln(w, "half of it")
		return errors.New("no connection to db.internal")
	}))
	defer func() { fmt.Println(recover() == http.ErrAbortHandler) }() // net/http aborts the connection
	show(h, "/")
	// Output:
	// level=ERROR msg="a handler failed" request.method=GET request.path=/ err="no connection to db.internal" response.started=true
	// true
}

func ExampleFail() {
	app := pipeline.New().Use(middleware.Recover(middleware.RecoverOptions{Logger: logger()}))
	app.RunFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil {
			middleware.Fail(w, r, &middleware.Problem{Status: http.StatusBadRequest, Detail: "That is not a form.", Err: err})
			return
		}
		fmt.Fprintln(w, "fine")
	})
	show(app.MustBuild(), "/?a=%zz")
	// Output:
	// level=INFO msg="a request was refused" request.method=GET request.path=/ err="400 Bad Request: That is not a form.: invalid URL escape \"%zz\"" response.status=400 response.started=false
	// 400 {"type":"about:blank","title":"Bad Request","status":400,"detail":"That is not a form."}
}

// In development the answer shows the cause, to clients on the same machine.
func ExampleDeveloperErrorPage() {
	development := true // for example from a flag
	errorPage := middleware.Recover(middleware.RecoverOptions{})
	if development {
		errorPage = middleware.DeveloperErrorPage(middleware.DeveloperErrorPageOptions{
			Recover: middleware.RecoverOptions{Logger: slog.New(slog.DiscardHandler)},
		})
	}
	app := pipeline.New().Use(errorPage)
	app.RunFunc(func(http.ResponseWriter, *http.Request) { panic("no connection to db.internal") })

	r := httptest.NewRequest(http.MethodGet, "http://localhost:8080/", nil)
	r.Header.Set("Accept", "text/plain")
	for _, r.RemoteAddr = range []string{"127.0.0.1:50000", "203.0.113.9:50000"} {
		w := httptest.NewRecorder()
		app.MustBuild().ServeHTTP(w, r)
		fmt.Printf("%.116s\n", w.Body)
	}
	// Output:
	// 500 Internal Server Error
	//
	// Shown by DeveloperErrorPage, which is for development only.
	//
	// no connection to db.internal
	// 500 Internal Server Error
}

// A status without a text of its own gets a page; a text that says more stays.
func ExampleStatusPages() {
	app := pipeline.New().Use(middleware.StatusPages(middleware.StatusPagesOptions{
		Handler: func(w http.ResponseWriter, r *http.Request, status int) {
			fmt.Fprintf(w, "Sorry, %s is a %d.\n", r.URL.Path, status)
		},
	}))
	app.Map("/order", func(b *pipeline.Builder) {
		b.RunFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no such order", http.StatusNotFound) })
	})
	h := app.MustBuild()
	show(h, "/x") // the end of the pipeline: http.NotFound
	show(h, "/order")
	// Output:
	// 404 Sorry, /x is a 404.
	// 404 no such order
}

// An API whose bare statuses must stay as they are.
func ExampleNoStatusPage() {
	app := pipeline.New().Use(middleware.StatusPages(middleware.StatusPagesOptions{}))
	app.RunFunc(func(w http.ResponseWriter, r *http.Request) {
		middleware.NoStatusPage(r)
		w.WriteHeader(http.StatusNotFound)
	})
	show(app.MustBuild(), "/")
	// Output: 404
}
