package golden_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/speakingtube/speakingtube/branch"
	"github.com/speakingtube/speakingtube/middleware"
	"github.com/speakingtube/speakingtube/pipeline"
)

// starting registers a callback for the start under name.
func (e *env) starting(name string) pipeline.Middleware {
	return pipeline.Observe(func(w http.ResponseWriter, r *http.Request, res *pipeline.Response, n next) {
		e.onStarting(res, name)
		if has(r, "again") && name == "s3" {
			if err := res.OnStarting(func(http.Header, int) {
				if err := res.OnStarting(func(h http.Header, _ int) {
					e.event("starting inner")
					h.Add("X-Order", "inner")
				}); err != nil {
					e.event("inner: too late")
				}
			}); err != nil {
				e.event("outer: too late")
			}
		}
		n.ServeHTTP(w, r)
	})
}

func (e *env) onStarting(res *pipeline.Response, name string) {
	err := res.OnStarting(func(h http.Header, status int) {
		e.event("starting %s status=%d started=%t", name, status, res.Started())
		h.Add("X-Order", name)
	})
	if err != nil {
		e.event("%s: too late", name)
	}
}

func flush(w http.ResponseWriter) { _ = http.NewResponseController(w).Flush() }

// lifeHandler is the end of the pipelines about a response's life.
func (e *env) lifeHandler(w http.ResponseWriter, r *http.Request) {
	res, _ := pipeline.ResponseFrom(r.Context())
	switch r.URL.Path {
	case "/empty":
	case "/write":
		text(w, "written")
	case "/flush":
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		flush(w)
		e.event("flushed")
		text(w, "late")
	case "/201":
		w.WriteHeader(201)
	case "/204":
		w.WriteHeader(204)
	case "/304":
		w.WriteHeader(304)
	case "/late":
		text(w, "written")
		flush(w)
		e.onStarting(res, "late")
	case "/own":
		e.onStarting(res, "own")
		text(w, "written")
	case "/throw":
		panic(errors.New("thrown"))
	case "/throw-header":
		h := w.Header()
		h.Set("X-Before", "1")
		h.Set("ETag", `"x"`)
		h.Set("Cache-Control", "public")
		h.Set("Content-Type", "text/csv")
		panic(errors.New("thrown"))
	case "/throw-written":
		text(w, "part")
		flush(w)
		panic(errors.New("thrown"))
	case "/throw-unflushed":
		text(w, "part")
		panic(errors.New("thrown"))
	case "/cancel":
		panic(context.Canceled)
	case "/timeout":
		panic(context.DeadlineExceeded)
	case "/argument":
		panic(errArgument)
	default:
		text(w, "other")
	}
	e.event("handler end")
}

var errArgument = errors.New("bad argument")

func addLife(pipelines map[string]func(*env, *builder)) {
	pipelines["responsetime"] = func(e *env, app *builder) {
		app.Use(middleware.Stopwatch(func(w http.ResponseWriter, _ *http.Request, took time.Duration) {
			fmt.Fprintf(w, "Time needed: %dms", took.Milliseconds())
		}))
		app.Use(middleware.ResponseTime)
		app.RunFunc(func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/none":
				return
			case "/404":
				w.WriteHeader(404)
				return
			}
			text(w, "Hello World! ")
		})
	}
	callbacks := func(e *env, app *builder) {
		app.Use(e.starting("s1"), e.starting("s2"), e.starting("s3"))
		app.RunFunc(e.lifeHandler)
	}
	pipelines["onstarting"] = callbacks
	pipelines["onstartinghandled"] = func(e *env, app *builder) {
		app.Use(e.handled())
		callbacks(e, app)
	}
	pipelines["onstartingthrow"] = func(e *env, app *builder) {
		app.Use(e.handled())
		app.Use(e.starting("s1"), pipeline.Observe(func(w http.ResponseWriter, r *http.Request, res *pipeline.Response, n next) {
			_ = res.OnStarting(func(h http.Header, _ int) {
				e.event("starting s2 throws")
				panic(errors.New("thrown by the callback"))
			})
			n.ServeHTTP(w, r)
		}), e.starting("s3"))
		app.RunFunc(e.lifeHandler)
	}
	pipelines["oncompleted"] = func(e *env, app *builder) {
		for _, name := range []string{"c1", "c2", "c3"} {
			app.Use(pipeline.Observe(func(w http.ResponseWriter, r *http.Request, res *pipeline.Response, n next) {
				_ = res.OnCompleted(func() {
					e.event("completed %s", name)
					if name == "c2" && has(r, "bad") {
						panic(errors.New("thrown by the callback"))
					}
				})
				n.ServeHTTP(w, r)
				e.event("%s returns", name)
			}))
		}
		app.RunFunc(func(w http.ResponseWriter, r *http.Request) {
			if has(r, "late") {
				res, _ := pipeline.ResponseFrom(r.Context())
				text(w, "first ")
				flush(w)
				if res.OnCompleted(func() { e.event("completed late") }) != nil {
					e.event("completed late: too late")
				}
			}
			e.lifeHandler(w, r)
		})
	}
	pipelines["exception"] = func(e *env, app *builder) {
		app.UseFunc(e.note("outer"))
		app.Use(e.handled())
		app.Map("/in", func(b *builder) { b.RunFunc(e.lifeHandler) })
		app.RunFunc(e.lifeHandler)
	}
	pipelines["problem"] = func(e *env, app *builder) {
		app.Use(middleware.Recover(middleware.RecoverOptions{Problem: func(_ *http.Request, err error) *middleware.Problem {
			if errors.Is(err, errArgument) {
				return &middleware.Problem{Status: 400}
			}
			return nil
		}}))
		app.RunFunc(e.lifeHandler)
	}
	pipelines["devpage"] = func(e *env, app *builder) {
		app.Use(middleware.DeveloperErrorPage(middleware.DeveloperErrorPageOptions{}))
		app.RunFunc(e.lifeHandler)
	}
	pipelines["bare"] = func(e *env, app *builder) { app.RunFunc(e.lifeHandler) }
	addStatus(pipelines)
	pipelines["content"] = func(e *env, app *builder) { app.RunFunc(e.content) }
}

func addStatus(pipelines map[string]func(*env, *builder)) {
	status := func(w http.ResponseWriter, r *http.Request) {
		n := number(r)
		if n == 0 {
			n = 200
		}
		switch {
		case branch.PathBase(r) == "/json":
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(n)
			_, _ = io.WriteString(w, `{"error":"ours"}`)
		case branch.PathBase(r) == "/text":
			w.Header().Set("Content-Type", "text/plain")
			w.WriteHeader(n)
			_, _ = io.WriteString(w, "ours")
		case branch.PathBase(r) == "/raw":
			w.WriteHeader(n)
			_, _ = io.WriteString(w, "ours")
		case branch.PathBase(r) == "/typed":
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(n)
		case branch.PathBase(r) == "/length":
			w.Header().Set("Content-Length", "0")
			w.WriteHeader(n)
		case branch.PathBase(r) == "/flush":
			w.WriteHeader(n)
			flush(w)
		case branch.PathBase(r) == "/header":
			w.Header().Set("X-Kept", "1")
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(n)
		case branch.PathBase(r) == "/off":
			middleware.NoStatusPage(r)
			w.WriteHeader(n)
		default:
			w.WriteHeader(n)
		}
	}
	pages := func(mw pipeline.Middleware) func(*env, *builder) {
		return func(e *env, app *builder) {
			app.UseFunc(e.note("outer"))
			app.Use(mw)
			for _, p := range []string{"/json", "/text", "/raw", "/typed", "/length", "/flush", "/header", "/off", "/status"} {
				app.Map(p, func(b *builder) { b.RunFunc(status) })
			}
		}
	}
	pipelines["statuspages"] = pages(middleware.StatusPages(middleware.StatusPagesOptions{}))
	pipelines["statusproblem"] = pages(middleware.StatusPages(middleware.StatusPagesOptions{}))
	pipelines["statusformat"] = pages(middleware.StatusPages(middleware.StatusPagesOptions{
		Handler: func(w http.ResponseWriter, r *http.Request, status int) {
			w.Header().Set("Content-Type", "text/plain")
			fmt.Fprintf(w, "Status: %d", status)
		},
	}))
}

// content writes answers with odd headers and bodies.
func (e *env) content(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	switch r.URL.Path {
	case "/more":
		h.Set("Content-Length", "3")
		_, err := io.WriteString(w, "12345")
		e.event("write error=%t", err != nil)
	case "/more2":
		h.Set("Content-Length", "3")
		_, _ = io.WriteString(w, "123")
		_, err := io.WriteString(w, "45")
		e.event("write error=%t", err != nil)
	case "/less":
		h.Set("Content-Length", "5")
		_, _ = io.WriteString(w, "123")
	case "/less0":
		h.Set("Content-Length", "5")
	case "/exact":
		h.Set("Content-Length", "5")
		_, _ = io.WriteString(w, "12345")
	case "/204":
		w.WriteHeader(204)
		_, err := io.WriteString(w, "12345")
		e.event("write error=%t", err != nil)
	case "/205":
		w.WriteHeader(205)
	case "/304":
		w.WriteHeader(304)
		_, err := io.WriteString(w, "12345")
		e.event("write error=%t", err != nil)
	case "/after":
		text(w, "12345")
		flush(w)
		h.Set("X-Late", "1")
		e.event("header set late")
	case "/big":
		h.Set("Content-Type", "text/plain")
		for range 100 {
			_, _ = io.WriteString(w, "0123456789012345678901234567890123456789012345678\n")
		}
	case "/untyped":
		_, _ = io.WriteString(w, "plain words")
	case "/untypedhtml":
		_, _ = io.WriteString(w, "<html><body>x</body></html>")
	case "/close":
		h.Set("Connection", "close")
		text(w, "bye")
	case "/crlf":
		defer func() {
			if recover() != nil {
				e.event("header refused")
			}
		}()
		h.Set("X-Bad", "a\r\nX-Injected: 1")
		text(w, "crlf")
	case "/nonascii":
		h.Set("X-Non-Ascii", "bäh")
		text(w, "nonascii")
	case "/599":
		w.WriteHeader(599)
	case "/unknown":
		w.WriteHeader(299)
		text(w, "299")
	case "/early":
		w.WriteHeader(200)
		text(w, "not read")
	case "/echo":
		b, err := io.ReadAll(r.Body)
		e.event("read %d error=%t", len(b), err != nil)
		h.Set("Content-Type", "application/octet-stream")
		_, _ = w.Write(b)
	default:
		text(w, "other")
	}
}

// handled is the exception handler that says what it has found.
func (e *env) handled() pipeline.Middleware {
	return middleware.Recover(middleware.RecoverOptions{Handler: func(w http.ResponseWriter, r *http.Request, p *middleware.Problem, err error) {
		e.event("handler of errors")
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(p.Status)
		fmt.Fprintf(w, "handled method=%s base=[%s] path=[%s]", r.Method, branch.PathBase(r), path(r))
	}})
}
