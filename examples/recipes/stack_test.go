package recipes_test

import (
	"compress/gzip"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jub0bs/cors"
	"github.com/stretchr/testify/require"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/speakingtube/speakingtube/branch"
	"github.com/speakingtube/speakingtube/examples/recipes/authentication"
	"github.com/speakingtube/speakingtube/examples/recipes/compression"
	"github.com/speakingtube/speakingtube/examples/recipes/crossorigin"
	rt "github.com/speakingtube/speakingtube/examples/recipes/internal/recipetest"
	"github.com/speakingtube/speakingtube/examples/recipes/ratelimit"
	"github.com/speakingtube/speakingtube/examples/recipes/telemetry"
	"github.com/speakingtube/speakingtube/middleware"
	"github.com/speakingtube/speakingtube/pipeline"
	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

func TestMain(m *testing.M) { wstest.Main(m) }

const page = "https://app.example.com"

// stack has all components, in the order of the package doc.
type stack struct {
	spans *tracetest.SpanRecorder
	logs  *rt.Logs
	h     http.Handler
}

func newStack(t *testing.T) *stack {
	s := &stack{spans: tracetest.NewSpanRecorder(), logs: &rt.Logs{}}
	logger := slog.New(telemetry.LogHandler{Handler: s.logs.Handler()})
	pages := cors.Config{Origins: []string{page}, RequestHeaders: []string{"Authorization"}}
	tokens := authentication.NewTokens(map[string]authentication.Identity{"t-ann": {Name: "ann"}})
	chat := rt.Echo(t, authentication.Accept, crossorigin.Options(pages, wsmanager.Options{}))
	mux := http.NewServeMux()
	mux.HandleFunc("GET /items/{id}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		_, _ = io.WriteString(w, strings.Repeat("item "+r.PathValue("id")+"\n", 500))
	})
	mux.HandleFunc("GET /panic", func(http.ResponseWriter, *http.Request) { panic("oops") })
	s.h = pipeline.New().
		Use(telemetry.Instrument(telemetry.Options{TracerProvider: sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(s.spans))})).
		Use(middleware.AccessLog(middleware.AccessLogOptions{Logger: logger, Attrs: authentication.LogUser})).
		Use(middleware.Recover(middleware.RecoverOptions{Logger: logger})).
		Use(crossorigin.CORS(pages)).
		UseWhen(branch.Path("/api"), func(b *pipeline.Builder) {
			b.Use(ratelimit.PerClient(ratelimit.Options{Every: time.Hour, Burst: 4}))
		}).
		Use(compression.Compress(compression.Options{})).
		Use(authentication.Require(tokens.Bearer(), tokens.Query())).
		Map("/ws", func(b *pipeline.Builder) { b.Use(telemetry.Route("/ws")).Run(chat) }).
		Map("/api", func(b *pipeline.Builder) { b.Use(middleware.Endpoints(mux)) }).
		MustBuild()
	return s
}

// last waits for the n-th request and returns its span's name and its record.
func (s *stack) last(t *testing.T, n int) (string, map[string]any) {
	t.Helper()
	require.Eventually(t, func() bool { return len(s.spans.Ended()) == n }, wstest.Patience, time.Millisecond)
	span := s.spans.Ended()[n-1]
	for _, rec := range s.logs.Records(t) {
		if rec["msg"] == "request" && rec["span_id"] == span.SpanContext().SpanID().String() {
			return span.Name(), rec
		}
	}
	t.Fatalf("no record of the span %s", span.Name())
	return "", nil
}

func TestTheWholeStack(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		s := newStack(t)
		srv := rt.Serve(t, s.h, http2)
		n := 0
		for _, tt := range []struct {
			name, method, target string
			header               []string
			status               int
			span, user           string
		}{
			{"a preflight", "OPTIONS", "/api/items/7", []string{"Origin", page, "Access-Control-Request-Method", "GET", "Access-Control-Request-Headers", "authorization"}, 204, "OPTIONS", ""},
			{"no credentials", "GET", "/api/items/7", []string{"Origin", page}, 401, "GET", ""},
			{"ann", "GET", "/api/items/7", []string{"Origin", page, "Authorization", "Bearer t-ann", "Accept-Encoding", "gzip"}, 200, "GET /api/items/{id}", "ann"},
			{"a panic", "GET", "/API/panic", []string{"Origin", page, "Authorization", "Bearer t-ann"}, 500, "GET /api/panic", "ann"},
			{"a miss", "GET", "/api/nowhere", []string{"Origin", page, "Authorization", "Bearer t-ann"}, 404, "GET /api", "ann"},
			{"too much", "GET", "/api/items/7", []string{"Origin", page, "Authorization", "Bearer t-ann"}, 429, "GET", ""},
			{"not limited", "GET", "/elsewhere", []string{"Origin", page, "Authorization", "Bearer t-ann"}, 404, "GET", "ann"},
		} {
			res := rt.Do(t, srv, tt.method, tt.target, tt.header...)
			n++
			require.Equal(t, tt.status, res.StatusCode, tt.name)
			require.Equal(t, page, res.Header.Get("Access-Control-Allow-Origin"), tt.name)
			name, rec := s.last(t, n)
			require.Equal(t, tt.span, name, tt.name)
			require.EqualValues(t, tt.status, rec["response"].(map[string]any)["status"], tt.name)
			user, _ := rec["user"].(string)
			require.Equal(t, tt.user, user, tt.name)
			if tt.status == 200 {
				require.Equal(t, "gzip", res.Header.Get("Content-Encoding"))
				zr, err := gzip.NewReader(strings.NewReader(res.Text))
				require.NoError(t, err)
				body, err := io.ReadAll(zr)
				require.NoError(t, err)
				require.Equal(t, strings.Repeat("item 7\n", 500), string(body))
				require.EqualValues(t, len(res.Text), rec["response"].(map[string]any)["bytes"])
			}
		}
	}
}

func TestASocketThroughTheWholeStack(t *testing.T) {
	s := newStack(t)
	srv := rt.Serve(t, s.h, false)
	for n, tt := range []struct {
		query, origin string
		status        int
	}{
		{"", page, 401},
		{"?access_token=t-ann", "https://evil.example.net", 403},
		{"?access_token=t-ann", page, 101},
	} {
		req := wstest.Request(t, srv.URL+"/ws"+tt.query)
		req.Header.Set("Origin", tt.origin)
		req.Header.Set("Accept-Encoding", "gzip")
		c := wstest.Handshake(t, req, nil)
		require.Equal(t, tt.status, c.Response.StatusCode)
		_, rec := s.last(t, n+1)
		require.EqualValues(t, tt.status, rec["response"].(map[string]any)["status"])
		if tt.status == 101 {
			require.Equal(t, "ann", rec["user"])
			require.Equal(t, "/ws", rec["request"].(map[string]any)["route"])
			require.Empty(t, c.Response.Header.Get("Content-Encoding"))
			rt.ExpectEcho(c)
		}
	}
	require.NotContains(t, s.logs.String(), "t-ann")
}
