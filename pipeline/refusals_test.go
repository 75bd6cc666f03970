package pipeline_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/branch"
	"github.com/speakingtube/speakingtube/middleware"
	"github.com/speakingtube/speakingtube/pipeline"
)

// ambiguous is the answer to a request whose escaped slash decides.
const ambiguous = "400 Bad Request: an escaped slash would decide which component gets the request\n"

// refusalRecorder collects the records and calls about refused requests.
type refusalRecorder struct {
	mu    sync.Mutex
	log   bytes.Buffer
	calls []pipeline.Refusal
}

func (rec *refusalRecorder) options() pipeline.Options {
	return pipeline.Options{
		Logger: slog.New(slog.NewJSONHandler(&rec.log, nil)), // it has a lock
		OnRefused: func(_ *http.Request, refusal pipeline.Refusal) {
			rec.mu.Lock()
			defer rec.mu.Unlock()
			rec.calls = append(rec.calls, refusal)
		},
	}
}

// records returns the log's lines.
func (rec *refusalRecorder) records(t *testing.T) (records []map[string]any) {
	t.Helper()
	for line := range bytes.Lines(rec.log.Bytes()) {
		var m map[string]any
		require.NoError(t, json.Unmarshal(line, &m))
		records = append(records, m)
	}
	return records
}

// guardedTree has each of the components that match paths.
func guardedTree(opts pipeline.Options) http.Handler {
	app := pipeline.NewWith(opts)
	app.UseWhen(branch.Path("/when"), func(b *pipeline.Builder) { b.UseFunc(passOn) })
	app.Map("/data", func(b *pipeline.Builder) {
		b.MapWith("/urls", branch.MapOptions{EscapedSlashesAreData: true}, func(b *pipeline.Builder) {
			b.Mount("/sub", text("sub"))
			b.Use(middleware.HealthChecks(middleware.HealthChecksOptions{Path: "/ready"}))
			b.Use(middleware.StaticFiles(middleware.StaticFilesOptions{FS: fstest.MapFS{"d/f": {Data: []byte("file")}}}))
			b.RunFunc(answerPath)
		})
		b.RunFunc(answerPath)
	})
	app.Map("/nested", func(b *pipeline.Builder) {
		b.Mount("/pipeline", pipeline.New().Map("/deep", func(b *pipeline.Builder) { b.Run(text("deep")) }).RunFunc(answerPath).MustBuild())
	})
	app.Use(branch.UsePathBase("/base"))
	app.MapWhen(branch.And(branch.Path("/mapwhen"), branch.Method("GET")), func(b *pipeline.Builder) { b.Run(text("when")) })
	app.Use(middleware.HealthChecks(middleware.HealthChecksOptions{Path: "/health/live"}))
	app.Use(middleware.StaticFiles(middleware.StaticFilesOptions{FS: fstest.MapFS{
		"dir/file.txt": {Data: []byte("file")}, "folder/sub/index.html": {Data: []byte("index")},
	}}))
	mux := http.NewServeMux()
	mux.HandleFunc("/files/{name}", func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "name="+r.PathValue("name")) })
	app.Use(middleware.Endpoints(mux))
	app.RunFunc(answerPath)
	return app.MustBuild()
}

func passOn(w http.ResponseWriter, r *http.Request, next http.Handler) { next.ServeHTTP(w, r) }

// The same over HTTP/1.1 and HTTP/2.
func TestEscapedSlashesThatDecideAreRefused(t *testing.T) {
	const decides = "an escaped slash would decide which component gets the request"
	for _, h2 := range []bool{false, true} {
		rec := &refusalRecorder{}
		srv := serveTest(t, guardedTree(rec.options()), h2)
		for _, tt := range []struct {
			target string
			want   string // the body; "" for a refusal
		}{
			{"/data%2Fx", ""},
			{"/data%2fx", ""},
			{"/Data%2Fx", ""},
			{"/%2Fdata/x", ""},
			{"/data/x%2Fy", "/data + /x/y"},
			{"/data/urls%2Fx", ""},
			{"/data/urls/https%3A%2F%2Fexample.com", "/data/urls + /https://example.com"},
			{"/data/urls/sub%2Fx", "/data/urls + /sub/x"},
			{"/data/urls/sub/x%2Fy", "sub"},
			{"/data/urls/%2Fready", "/data/urls + //ready"},
			{"/data/urls/d%2Ff", "/data/urls + /d/f"},
			{"/data/urls/d/f", "file"},
			{"/nested/pipeline%2Fx", ""},
			{"/nested/pipeline/deep%2Fx", ""},
			{"/nested/pipeline/x%2Fdeep", "/nested/pipeline + /x/deep"},
			{"/base%2Fx", ""},
			{"/base/x%2Fy", "/base + /x/y"},
			{"/when%2Fx", ""},
			{"/mapwhen%2Fx", ""},
			{"/health%2Flive", ""},
			{"/health/live%2F", ""},
			{"/HEALTH%2FLIVE", ""},
			{"/health%2Fother", " + /health/other"},
			{"/dir%2Ffile.txt", ""},
			{"/%2Fdir/file.txt", ""},
			{"/folder%2Fsub", ""},
			{"/folder%2Fsub/", ""},
			{"/folder/sub%2Findex.html", ""},
			{"/dir%2Fmissing", " + /dir/missing"},
			{"/dir%2Ffile.txt%2F", " + /dir/file.txt/"},
			{"/files/https%3A%2F%2Fexample.com", "name=https://example.com"},
			{"/files/%2F%2F", "name=//"},
			{"/files/a%2Fb%7Cc", "name=a/b|c"},
			{"/other%2F%2F", " + /other//"},
			{"/data%252Fx", " + /data%2Fx"},
			{"/data%5Cx", ` + /data\x`},
		} {
			calls := len(rec.calls)
			res, body := get(t, srv, tt.target)
			if tt.want != "" {
				require.Equal(t, tt.want, body, tt.target)
				require.Len(t, rec.calls, calls, tt.target)
				continue
			}
			require.Equal(t, 400, res.StatusCode, tt.target)
			require.Equal(t, ambiguous, body, tt.target)
			require.Len(t, rec.calls, calls+1, tt.target)
			require.Equal(t, pipeline.Refusal{Status: 400, Reason: decides}, rec.calls[calls], tt.target)
		}
		records := rec.records(t)
		require.Len(t, records, len(rec.calls))
		require.Equal(t, "/data%2Fx", group(records[0], "request")["path"])
	}
}

// A byte that net/url does not accept would make EscapedPath lose the escaped slash.
func TestEscapedSlashBesideRawBytes(t *testing.T) {
	srv := serveTest(t, guardedTree(pipeline.Options{}), false)
	for target, want := range map[string]string{
		`/files/a%2Fb|c"`:    `name=a/b|c"`,
		"/files/a%2Fb\xc3":   "name=a/b\xc3",
		`/data%2F|`:          ambiguous,
		`/x%2F..%2Fadmin"`:   "400 Bad Request: dot segments beside an escaped slash\n",
		`//files/a%2F%2Fb|c`: "",
	} {
		res := sendRawLine(t, srv, "GET "+target)
		body, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		if want == "" {
			require.Equal(t, "/files/a%2F%2Fb%7Cc", res.Header.Get("Location"))
			continue
		}
		require.Equal(t, want, string(body), target)
	}
}

func TestRefusalsAreLogged(t *testing.T) {
	rec := &refusalRecorder{}
	srv := serveTest(t, guardedTree(rec.options()), false)
	long := strings.Repeat("a", 300)
	for _, tt := range []struct {
		line   string
		status int
		level  string
		path   string
		reason string
	}{
		{"GET /x//y?secret=1", 307, "INFO", "/x//y", "empty or dot segments"},
		{"POST /x%2F..%2Fy?secret=1", 400, "WARN", "/x%2F..%2Fy", "dot segments beside an escaped slash"},
		{"GET /data%2Fx?secret=1", 400, "WARN", "/data%2Fx", "an escaped slash would decide which component gets the request"},
		{"GET /data/urls%2Fx", 400, "WARN", "/data/urls%2Fx", "an escaped slash would decide which component gets the request"},
		{"GET /%00\xff\"\\x", 400, "WARN", "/%00%FF%22%5Cx", "a NUL byte"},
		{"CONNECT /x", 400, "WARN", "/x", "CONNECT without a protocol"},
		{"CONNECT example.com:80", 400, "WARN", "", "CONNECT without a protocol"},
		{"GET *", 405, "WARN", "*", "the target * with another method than OPTIONS"},
		{"GET http://user:password@example.com/x%2F../y|", 400, "WARN", "/x%2F../y|", "dot segments beside an escaped slash"},
		{"GET //" + long, 307, "INFO", "//" + long[:254] + " …", "empty or dot segments"},
		{strings.Repeat("X", 40) + " //", 307, "INFO", "//", "empty or dot segments"},
	} {
		rec.log.Reset()
		res := sendRawLine(t, srv, tt.line)
		require.Equal(t, tt.status, res.StatusCode, tt.line)
		records := rec.records(t)
		require.Len(t, records, 1, tt.line)
		record := records[0]
		method, _, _ := strings.Cut(tt.line, " ")
		if len(method) > 32 {
			method = method[:32] + " …"
		}
		require.Equal(t, tt.level, record["level"], tt.line)
		require.Equal(t, tt.reason, record["reason"], tt.line)
		require.Equal(t, tt.path, group(record, "request")["path"], tt.line)
		require.Equal(t, method, group(record, "request")["method"], tt.line)
		require.Contains(t, group(record, "request")["remote"], "127.0.0.1:", tt.line)
		require.EqualValues(t, tt.status, group(record, "response")["status"], tt.line)
		require.NotContains(t, rec.log.String(), "secret")
		require.NotContains(t, rec.log.String(), "password")
	}
	require.Len(t, rec.calls, 11)
}

func group(record map[string]any, name string) map[string]any {
	g, _ := record[name].(map[string]any)
	return g
}

func TestRefusalsAreLoggedAtALimitedRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := &refusalRecorder{}
		h := guardedTree(rec.options())
		send := func(n int) {
			for range n {
				h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/x%2F..", nil))
			}
		}
		send(1000)
		require.Len(t, rec.records(t), 50)
		require.Len(t, rec.calls, 1000, "the counter sees all")
		time.Sleep(time.Second)
		send(1000)
		records := rec.records(t)
		require.Len(t, records, 55)
		require.NotContains(t, records[49], "suppressed")
		require.EqualValues(t, 950, records[50]["suppressed"])
		require.NotContains(t, records[51], "suppressed")
		time.Sleep(time.Hour)
		send(100)
		require.Len(t, rec.records(t), 105)
	})
}

func TestRefusalsGoToTheDefaultLogger(t *testing.T) {
	var out bytes.Buffer
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&out, nil)))
	defer slog.SetDefault(before)
	get := httptest.NewRequestWithContext(context.Background(), http.MethodGet, "/x%2F..", nil)
	pipeline.New().Run(text("x")).MustBuild().ServeHTTP(httptest.NewRecorder(), get)
	require.Contains(t, out.String(), "request path refused")
}

// The pipeline that says what to do about refusals gets those of the ones inside.
func TestRefusalsOfNestedPipelines(t *testing.T) {
	for name, tt := range map[string]struct{ outerRec, innerRec bool }{
		"outer": {true, false}, "inner": {false, true}, "both": {true, true},
	} {
		t.Run(name, func(t *testing.T) {
			outer, inner := &refusalRecorder{}, &refusalRecorder{}
			build := func(rec *refusalRecorder, used bool) *pipeline.Builder {
				if used {
					return pipeline.NewWith(rec.options())
				}
				return pipeline.NewWith(pipeline.Options{})
			}
			in := build(inner, tt.innerRec).Mount("/in", text("in")).Run(text("end")).MustBuild()
			h := build(outer, tt.outerRec).Mount("/out", in).MustBuild()
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/out/in%2Fx", nil))
			require.Equal(t, ambiguous, w.Body.String())
			if tt.innerRec {
				require.Len(t, inner.calls, 1)
				require.Len(t, inner.records(t), 1)
				require.Empty(t, outer.calls)
			} else {
				require.Len(t, outer.calls, 1)
				require.Len(t, outer.records(t), 1)
			}
		})
	}
}
