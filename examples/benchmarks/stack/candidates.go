package main

import (
	"log"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"
	chimiddleware "github.com/go-chi/chi/v5/middleware"
	"github.com/go-chi/httplog/v3"
	"github.com/justinas/alice"
	"github.com/urfave/negroni/v3"

	"github.com/speakingtube/speakingtube/middleware"
	"github.com/speakingtube/speakingtube/pipeline"
)

type candidate struct {
	name    string
	library string // another than ours, with its version
	short   string // what sets it apart in a drawing
	group   string // what it is compared with: "ten" or "full"; "" for nothing
	handler http.Handler
}

// discard drops what is written, and is not io.Discard, which package log knows
// and spares itself the work for.
type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

var hello = []byte("hello")

func answer(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(hello) }

// candidates are, after the bare handler and chains that do nothing, the stacks that
// recover from panics, give the request an id, log it and tell the time it took.
func candidates() []candidate {
	bare := http.HandlerFunc(answer)
	json := slog.New(slog.NewJSONHandler(discard{}, nil))
	chi := version("chi", "github.com/go-chi/chi/v5")
	httplog := version("httplog", "github.com/go-chi/httplog/v3")
	negroni := version("negroni", "github.com/urfave/negroni/v3")
	alice := version("alice", "github.com/justinas/alice")
	return []candidate{
		{"bare handler", "", "", "", bare},
		{"ten components that pass on", "", "", "ten", ours(tenOf(passThrough)...)},
		{"ten constructors that pass on", alice, "", "ten", aliceOf(tenOf(passThrough)).Then(bare)},
		{"ten middlewares that pass on", chi, "", "ten", chiOf(tenOf(passThrough)).Handler(bare)},
		{"ten handlers that pass on", negroni, "", "ten", tenNegroni(bare)},
		{"one observing component", "", "", "", ours(observing)},
		{"Recover, RequestID, ResponseTime, AccessLog as JSON", "", "", "full", ours(stock(json)...)},
		{"the same, the log's handler not enabled", "", "log off", "full", ours(stock(slog.New(slog.DiscardHandler))...)},
		{"RequestID, Logger, Recoverer, response time", chi, "", "full", chiMiddlewares().Handler(bare)},
		{"the same below its router", chi, "its router", "full", chiRouter(bare)},
		{"RequestID, " + httplog + " as JSON, response time", chi, "httplog", "full", chiHTTPLog(bare)},
		{"Recovery, Logger, id, response time", negroni, "", "full", negroniStack(bare)},
	}
}

// version is a library's name and version, as this program was built with it.
func version(name, module string) string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			if m.Path == module {
				return name + " " + strings.TrimPrefix(m.Version, "v")
			}
		}
	}
	return name
}

func aliceOf(mw []pipeline.Middleware) (chain alice.Chain) {
	for _, m := range mw {
		chain = chain.Append(alice.Constructor(m))
	}
	return chain
}

func chiOf(mw []pipeline.Middleware) (chain chi.Middlewares) {
	for _, m := range mw {
		chain = append(chain, m)
	}
	return chain
}

func tenNegroni(h http.Handler) http.Handler {
	n := negroni.New()
	for range 10 {
		n.UseFunc(func(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) { next(w, r) })
	}
	n.UseHandler(h)
	return n
}

func ours(mw ...pipeline.Middleware) http.Handler {
	return pipeline.New().Use(mw...).Run(http.HandlerFunc(answer)).MustBuild()
}

func stock(logger *slog.Logger) []pipeline.Middleware {
	return []pipeline.Middleware{
		middleware.Recover(middleware.RecoverOptions{Logger: logger}),
		middleware.RequestID(middleware.RequestIDOptions{}),
		middleware.ResponseTime,
		middleware.AccessLog(middleware.AccessLogOptions{Logger: logger}),
	}
}

func tenOf(mw pipeline.Middleware) []pipeline.Middleware {
	return []pipeline.Middleware{mw, mw, mw, mw, mw, mw, mw, mw, mw, mw}
}

func passThrough(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { next.ServeHTTP(w, r) })
}

var observing = pipeline.Observe(func(w http.ResponseWriter, r *http.Request, _ *pipeline.Response, next http.Handler) {
	next.ServeHTTP(w, r)
})

func chiMiddlewares() chi.Middlewares {
	return chi.Middlewares{
		chimiddleware.RequestID,
		chimiddleware.RequestLogger(&chimiddleware.DefaultLogFormatter{Logger: log.New(discard{}, "", log.LstdFlags), NoColor: true}),
		chimiddleware.Recoverer,
		chiResponseTime,
	}
}

func chiRouter(h http.Handler) http.Handler {
	r := chi.NewRouter()
	r.Use(chiMiddlewares()...)
	r.Get("/items/{id}", h.ServeHTTP)
	return r
}

func chiHTTPLog(h http.Handler) http.Handler {
	logger := slog.New(slog.NewJSONHandler(discard{}, nil))
	return chi.Chain(chimiddleware.RequestID, httplog.RequestLogger(logger, &httplog.Options{RecoverPanics: true}), chiResponseTime).Handler(h)
}

// chiResponseTime is how one would write it over chi's writer.
func chiResponseTime(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tw := &timedWriter{WrapResponseWriter: chimiddleware.NewWrapResponseWriter(w, r.ProtoMajor), start: time.Now()}
		next.ServeHTTP(tw, r)
		tw.stamp()
	})
}

type timedWriter struct {
	chimiddleware.WrapResponseWriter
	start   time.Time
	stamped bool
}

func (w *timedWriter) stamp() {
	if !w.stamped {
		w.stamped = true
		w.Header().Set("X-Response-Time", strconv.FormatInt(time.Since(w.start).Milliseconds(), 10)+"ms")
	}
}

func (w *timedWriter) WriteHeader(code int) {
	w.stamp()
	w.WrapResponseWriter.WriteHeader(code)
}

func (w *timedWriter) Write(p []byte) (int, error) {
	w.stamp()
	return w.WrapResponseWriter.Write(p)
}

func negroniStack(h http.Handler) http.Handler {
	logger := negroni.NewLogger()
	logger.ALogger = log.New(discard{}, "[negroni] ", 0)
	recovery := negroni.NewRecovery()
	recovery.Logger = logger.ALogger
	n := negroni.New(recovery, logger)
	n.UseFunc(func(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
		w.Header().Set("X-Request-Id", strconv.FormatInt(time.Now().UnixNano(), 36))
		next(w, r)
	})
	n.UseFunc(func(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
		start := time.Now()
		w.(negroni.ResponseWriter).Before(func(w negroni.ResponseWriter) {
			w.Header().Set("X-Response-Time", strconv.FormatInt(time.Since(start).Milliseconds(), 10)+"ms")
		})
		next(w, r)
	})
	n.UseHandler(h)
	return n
}
