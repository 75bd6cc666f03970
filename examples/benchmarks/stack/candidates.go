package main

import (
	"log"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/go-chi/chi/v5"
	chimiddleware "github.com/go-chi/chi/v5/middleware"
	"github.com/go-chi/httplog/v3"
	"github.com/urfave/negroni/v3"

	"github.com/speakingtube/speakingtube/middleware"
	"github.com/speakingtube/speakingtube/pipeline"
)

type candidate struct {
	name    string
	handler http.Handler
}

// discard drops what is written, and is not io.Discard, which package log knows
// and spares itself the work for.
type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

var hello = []byte("hello")

func answer(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(hello) }

// candidates are, after the bare handler, the stacks that recover from panics,
// give the request an id, log it and tell the time it took.
func candidates() []candidate {
	bare := http.HandlerFunc(answer)
	json := slog.New(slog.NewJSONHandler(discard{}, nil))
	return []candidate{
		{"bare handler", bare},
		{"ten pass-through components", ours(tenOf(passThrough)...)},
		{"one observing component", ours(observing)},
		{"Speaking Tube: Recover, RequestID, ResponseTime, AccessLog (JSON)", ours(stock(json)...)},
		{"the same, log handler not enabled", ours(stock(slog.New(slog.DiscardHandler))...)},
		{"chi: RequestID, Logger, Recoverer, response time", chiMiddleware(bare)},
		{"the same below chi's router", chiRouter(bare)},
		{"chi RequestID, httplog (JSON), response time", chiHTTPLog(bare)},
		{"negroni: Recovery, Logger, id, response time", negroniStack(bare)},
	}
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

func chiMiddleware(h http.Handler) http.Handler { return chiMiddlewares().Handler(h) }

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
