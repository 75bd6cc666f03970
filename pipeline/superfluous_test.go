package pipeline_test

import (
	"bytes"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/middleware"
	"github.com/speakingtube/speakingtube/pipeline"
)

// twice is the handler that the warnings have to name.
func twice(w http.ResponseWriter, _ *http.Request) {
	w.WriteHeader(http.StatusCreated)
	_, _ = io.WriteString(w, "body")
	w.WriteHeader(http.StatusTeapot)
}

func errorTwice(w http.ResponseWriter, _ *http.Request) {
	http.Error(w, "a", http.StatusBadRequest)
	http.Error(w, "b", http.StatusTeapot)
}

func afterHijack(w http.ResponseWriter, _ *http.Request) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err)
	}
	w.WriteHeader(http.StatusTeapot) // before the answer: the server does not wait for the end of this handler
	_, _ = io.WriteString(conn, "HTTP/1.1 201 Created\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbody")
	_ = conn.Close()
}

func observe(w http.ResponseWriter, r *http.Request, _ *pipeline.Response, next http.Handler) {
	next.ServeHTTP(w, r)
}

func TestSuperfluousWriteHeaderNamesTheHandler(t *testing.T) {
	stack := []pipeline.Middleware{
		middleware.Recover(middleware.RecoverOptions{}), middleware.AccessLog(middleware.AccessLogOptions{Logger: slog.New(slog.DiscardHandler)}),
		middleware.StatusPages(middleware.StatusPagesOptions{}), middleware.BodyLimitWith(100, middleware.BodyLimitOptions{Firm: true}),
	}
	for _, tt := range []struct {
		name   string
		mw     []pipeline.Middleware
		h      http.HandlerFunc
		status int
		body   string
		want   string
	}{
		{"one observer", []pipeline.Middleware{pipeline.Observe(observe)}, twice, 201, "body",
			`http: superfluous response.WriteHeader call from github.com/speakingtube/speakingtube/pipeline_test.twice (superfluous_test.go:N)` + "\n"},
		{"two writers", []pipeline.Middleware{pipeline.ObserveWriter(observe), pipeline.ObserveWriter(observe)}, twice, 201, "body",
			`http: superfluous response.WriteHeader call from github.com/speakingtube/speakingtube/pipeline_test.twice (superfluous_test.go:N)` + "\n"},
		{"the usual components", stack, twice, 201, "body",
			`http: superfluous response.WriteHeader call from github.com/speakingtube/speakingtube/pipeline_test.twice (superfluous_test.go:N)` + "\n"},
		{"through http.Error", []pipeline.Middleware{pipeline.Observe(observe)}, errorTwice, 400, "a\nb\n",
			`http: superfluous response.WriteHeader call from github.com/speakingtube/speakingtube/pipeline_test.errorTwice (superfluous_test.go:N)` + "\n"},
		{"hijacked", []pipeline.Middleware{pipeline.Observe(observe)}, afterHijack, 201, "body",
			`http: response.WriteHeader on hijacked connection from github.com/speakingtube/speakingtube/pipeline_test.afterHijack (superfluous_test.go:N)` + "\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			srv := httptest.NewUnstartedServer(pipeline.New().Use(tt.mw...).RunFunc(tt.h).MustBuild())
			srv.Config.ErrorLog = log.New(&out, "", 0)
			srv.Start()
			res, body := get(t, srv, "/")
			srv.Close() // waits for the handler
			require.Equal(t, tt.status, res.StatusCode)
			require.Equal(t, tt.body, body)
			require.Equal(t, tt.want, lineNumber.ReplaceAllString(out.String(), ".go:N"))
		})
	}
}

var lineNumber = regexp.MustCompile(`\.go:\d+`)

// A foreign writer decides itself about a second status.
func TestSecondStatusReachesAForeignWriter(t *testing.T) {
	var statuses []int
	h := pipeline.Observe(observe)(http.HandlerFunc(twice))
	h.ServeHTTP(&statusWriter{ResponseRecorder: httptest.NewRecorder(), statuses: &statuses}, httptest.NewRequest(http.MethodGet, "/", nil))
	require.Equal(t, []int{201, 418}, statuses)
}

type statusWriter struct {
	*httptest.ResponseRecorder
	statuses *[]int
}

func (w *statusWriter) WriteHeader(code int) { *w.statuses = append(*w.statuses, code) }
