package frameworks_test

import (
	"bytes"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/NYTimes/gziphandler"
	"github.com/alexedwards/scs/v2"
	"github.com/alexedwards/scs/v2/memstore"
	gingzip "github.com/gin-contrib/gzip"
	"github.com/gin-gonic/gin"
	"github.com/go-chi/chi/v5"
	chimw "github.com/go-chi/chi/v5/middleware"
	"github.com/gorilla/handlers"
	"github.com/klauspost/compress/gzhttp"
	"github.com/labstack/echo/v4"
	echomw "github.com/labstack/echo/v4/middleware"
	"github.com/rs/cors"
	"github.com/urfave/negroni/v3"

	"github.com/speakingtube/speakingtube/examples/recipes/frameworks"
)

// stack is a framework with some of its middleware.
type stack struct {
	name string
	make func(chat, events http.Handler, log io.Writer) http.Handler

	logs    string // the stack's own log line for a socket, as a regular expression
	header  string // a header that it sets
	hides   bool   // keeps the status, and has no Unwrap
	refuses string // the writer's type in the record if it prevents upgrades
	repeats bool   // sends the status again after the hijack, which net/http logs
}

var stacks = []stack{
	{name: "gin", make: ginWith()},
	{name: "gin Default", make: func(chat, events http.Handler, log io.Writer) http.Handler {
		return ginWith(gin.LoggerWithWriter(log), gin.RecoveryWithWriter(log))(chat, events, log)
	}, logs: `\| 101 \|.*"/ws"`},
	{name: "gin gzip", make: func(chat, events http.Handler, log io.Writer) http.Handler {
		return ginWith(gin.LoggerWithWriter(log), gingzip.Gzip(gingzip.DefaultCompression))(chat, events, log)
	}, logs: `\| 101 \|.*"/ws"`},
	{name: "echo", make: echoWith()},
	{name: "echo log", make: func(chat, events http.Handler, log io.Writer) http.Handler {
		return echoWith(echomw.LoggerWithConfig(echomw.LoggerConfig{Output: log}), echomw.Recover())(chat, events, log)
	}, logs: `"uri":"/ws".*"status":101`},
	{name: "echo gzip", make: echoWith(echomw.Gzip()), repeats: true},
	{name: "echo gzip without a minimum length", make: echoWith(echomw.GzipWithConfig(echomw.GzipConfig{MinLength: 0})), repeats: true},
	{name: "echo timeout", make: echoWith(echomw.TimeoutWithConfig(echomw.TimeoutConfig{Timeout: time.Minute})), refuses: "*http.timeoutWriter"},
	{name: "echo timeout and gzip beside", make: func(chat, events http.Handler, _ io.Writer) http.Handler {
		e := echo.New()
		frameworks.EchoBeside(e)
		frameworks.Echo(e, chat, events)
		return e
	}},
	{name: "chi", make: chiWith(chimw.RequestID, chimw.Recoverer)},
	{name: "chi compress", make: chiWith(chimw.SetHeader("Content-Type", "application/json"), chimw.Compress(5))},
	{name: "chi timeout", make: chiWith(chimw.Timeout(time.Minute))},
	{name: "chi throttle", make: chiWith(chimw.Throttle(1))},
	{name: "gorilla logging", make: func(chat, events http.Handler, log io.Writer) http.Handler {
		return handlers.LoggingHandler(log, mux(chat, events))
	}, logs: `"GET /ws HTTP/1.1" 101 0`},
	{name: "gorilla compress", make: muxWith(handlers.CompressHandler)},
	{name: "gorilla recovery", make: muxWith(handlers.RecoveryHandler())},
	{name: "gziphandler", make: muxWith(gziphandler.GzipHandler), repeats: true},
	{name: "gziphandler beside", make: func(chat, events http.Handler, _ io.Writer) http.Handler {
		all := http.NewServeMux()
		all.Handle("/events", events)
		all.Handle("/events/negotiate", events)
		all.Handle("/", frameworks.GzipBeside(http.NotFoundHandler(), chat))
		return all
	}},
	{name: "gzhttp", make: muxWith(func(h http.Handler) http.Handler { return gzhttp.GzipHandler(h) })},
	{name: "negroni", make: func(chat, events http.Handler, log io.Writer) http.Handler {
		l := negroni.NewLogger()
		l.ALogger = printer{log}
		n := negroni.New(negroni.NewRecovery(), l)
		n.UseHandler(mux(chat, events))
		return n
	}, logs: `\| 101 \|.*GET /ws`},
	{name: "scs", make: func(chat, events http.Handler, _ io.Writer) http.Handler {
		sessions := newSessions()
		return sessions.LoadAndSave(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			sessions.Put(r.Context(), "user", "ann")
			mux(chat, events).ServeHTTP(w, r)
		}))
	}, header: "Set-Cookie"},
	{name: "scs below gziphandler", make: func(chat, events http.Handler, _ io.Writer) http.Handler {
		sessions := newSessions()
		return gziphandler.GzipHandler(sessions.LoadAndSave(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			sessions.Put(r.Context(), "user", "ann")
			mux(chat, events).ServeHTTP(w, r)
		})))
	}, header: "Set-Cookie", repeats: true},
	{name: "rs/cors", make: muxWith(cors.AllowAll().Handler), header: "Access-Control-Allow-Origin"},
	{name: "as iris", make: muxWith(func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			iw := &irisWriter{ResponseWriter: w, status: 200}
			h.ServeHTTP(iw, r)
			iw.flush()
		})
	}), hides: true},
	{name: "as go-zero", make: muxWith(func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			h.ServeHTTP(&goZeroWriter{Writer: w, code: 200}, r)
		})
	})},
}

// newSessions is scs.New without the goroutine that cleans its store.
func newSessions() *scs.SessionManager {
	return &scs.SessionManager{
		Store:     memstore.NewWithCleanupInterval(0),
		Codec:     scs.GobCodec{},
		Lifetime:  time.Hour,
		Cookie:    scs.SessionCookie{Name: "session", Path: "/"},
		ErrorFunc: func(w http.ResponseWriter, _ *http.Request, err error) { http.Error(w, err.Error(), 500) },
	}
}

func ginWith(mw ...gin.HandlerFunc) func(chat, events http.Handler, log io.Writer) http.Handler {
	return func(chat, events http.Handler, _ io.Writer) http.Handler {
		r := gin.New()
		r.Use(mw...)
		frameworks.Gin(r, chat, events)
		return r
	}
}

func echoWith(mw ...echo.MiddlewareFunc) func(chat, events http.Handler, log io.Writer) http.Handler {
	return func(chat, events http.Handler, log io.Writer) http.Handler {
		e := echo.New()
		e.Logger.SetOutput(log)
		e.Use(mw...)
		frameworks.Echo(e, chat, events)
		return e
	}
}

func chiWith(mw ...func(http.Handler) http.Handler) func(chat, events http.Handler, log io.Writer) http.Handler {
	return func(chat, events http.Handler, _ io.Writer) http.Handler {
		r := chi.NewRouter()
		r.Use(mw...)
		frameworks.Chi(r, chat, events)
		return r
	}
}

func mux(chat, events http.Handler) http.Handler {
	m := http.NewServeMux()
	frameworks.Mux(m, chat, events)
	return m
}

func muxWith(mw func(http.Handler) http.Handler) func(chat, events http.Handler, log io.Writer) http.Handler {
	return func(chat, events http.Handler, _ io.Writer) http.Handler { return mw(mux(chat, events)) }
}

// buffer is a log for concurrent writers.
type buffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
