package middleware_test

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/branch"
	"github.com/speakingtube/speakingtube/middleware"
	"github.com/speakingtube/speakingtube/pipeline"
)

func TestAccessLogText(t *testing.T) {
	const apacheTime, w3cTime = `\[\d\d/[A-Z][a-z][a-z]/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\]`, `\d{4}-\d\d-\d\d \d\d:\d\d:\d\d`
	for _, tt := range []struct {
		name                  string
		method, target        string
		remote, referer       string
		agent                 string
		user                  string
		common, combined, w3c string // regular expressions, without times
	}{
		{
			"an ordinary request", "GET", "/x?y=1&token=secret", "203.0.113.7:4711", "https://example.com/a", "curl/8.5.0", "ada",
			`203\.0\.113\.7 - ada TIME "GET /x\?y=1&token=xxx HTTP/1\.1" 200 5`, ` "https://example\.com/a" "curl/8\.5\.0"`,
			`TIME 203\.0\.113\.7 ada GET /x y=1&token=xxx 200 5 \d+ HTTP/1\.1 example\.com curl/8\.5\.0 https://example\.com/a`,
		},
		{
			"a page with a token", "GET", "/app.js", "203.0.113.7:1", "https://example.com/reset?token=secret&x=1", "", "",
			`203\.0\.113\.7 - - TIME "GET /app\.js HTTP/1\.1" 200 5`, ` "https://example\.com/reset\?token=xxx&x=1" "-"`,
			`TIME 203\.0\.113\.7 - GET /app\.js - 200 5 \d+ HTTP/1\.1 example\.com - https://example\.com/reset\?token=xxx&x=1`,
		},
		{
			"empty fields", "GET", "/empty", "unknown", "", "", "",
			`unknown - - TIME "GET /empty HTTP/1\.1" 204 -`, ` "-" "-"`,
			`TIME unknown - GET /empty - 204 0 \d+ HTTP/1\.1 example\.com - -`,
		},
		{
			"forged lines", "GET", "/x", "[2001:db8::1]:80", "a\"b\\c\r\n203.0.113.8 - - x", "Mozilla/5.0 (ü \x01)", "a b\n\"c",
			`2001:db8::1 - a\\x20b\\x0a\\"c TIME "GET /x HTTP/1\.1" 200 5`, ` "a\\"b\\\\c\\x0d\\x0a203\.0\.113\.8 - - x" "Mozilla/5\.0 \(\\xc3\\xbc \\x01\)"`,
			`TIME 2001:db8::1 a\+b%0A"c GET /x - 200 5 \d+ HTTP/1\.1 example\.com Mozilla/5\.0\+\(%C3%BC\+%01\) a"b\\c%0D%0A203\.0\.113\.8\+-\+-\+x`,
		},
		{
			"a failure", "POST", "/panic", "203.0.113.7:1", "", "", "",
			`203\.0\.113\.7 - - TIME "POST /panic HTTP/1\.1" 500 \d+`, ` "-" "-"`,
			`TIME 203\.0\.113\.7 - POST /panic - 500 \d+ \d+ HTTP/1\.1 example\.com - -`,
		},
		{
			"a long agent", "GET", "/x", "203.0.113.7:1", "", strings.Repeat("a", 5000), "",
			`203\.0\.113\.7 - - TIME "GET /x HTTP/1\.1" 200 5`, ` "-" "aaaaaaaaaa[a]* \\xe2\\x80\\xa6"`,
			`TIME 203\.0\.113\.7 - GET /x - 200 5 \d+ HTTP/1\.1 example\.com aaaaaaaaaa[a]*\+%E2%80%A6 -`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var common, combined, w3c bytes.Buffer
			user := func(*http.Request) string { return tt.user }
			h := pipeline.New().Use(
				middleware.AccessLog(middleware.AccessLogOptions{Text: &common, Format: middleware.CommonFormat, User: user}),
				middleware.AccessLog(middleware.AccessLogOptions{Text: &combined, Format: middleware.CombinedFormat, User: user}),
				middleware.AccessLog(middleware.AccessLogOptions{Text: &w3c, Format: middleware.W3CFormat, User: user}),
				middleware.Recover(middleware.RecoverOptions{Logger: slog.New(slog.DiscardHandler)}),
			).RunFunc(func(w http.ResponseWriter, r *http.Request) {
				switch r.URL.Path {
				case "/panic":
					panic("oops")
				case "/empty":
					w.WriteHeader(http.StatusNoContent)
				default:
					_, _ = io.WriteString(w, "hello")
				}
			}).MustBuild()
			for range 2 {
				r := httptest.NewRequest(tt.method, tt.target, nil)
				r.RemoteAddr = tt.remote
				r.Header.Set("Referer", tt.referer)
				r.Header.Set("User-Agent", tt.agent)
				h.ServeHTTP(httptest.NewRecorder(), r)
			}
			line := strings.ReplaceAll(tt.common, "TIME", apacheTime)
			require.Regexp(t, regexp.MustCompile(`\A(`+line+`\n){2}\z`), common.String())
			require.Regexp(t, regexp.MustCompile(`\A(`+line+tt.combined+`\n){2}\z`), combined.String())
			require.Regexp(t, regexp.MustCompile(`\A#Version: 1\.0\n#Fields: [^\n]*\n(`+strings.ReplaceAll(tt.w3c, "TIME", w3cTime)+`\n){2}\z`), w3c.String())
			lines := strings.Split(w3c.String(), "\n")
			require.Equal(t, len(strings.Fields(lines[1]))-1, len(strings.Fields(lines[2])), "as many fields as the directive names")
		})
	}
}

// overlapWriter fails a test if two lines are written at the same time or in pieces.
type overlapWriter struct {
	t     *testing.T
	mu    sync.Mutex
	lines int
}

func (w *overlapWriter) Write(p []byte) (int, error) {
	if !w.mu.TryLock() {
		w.t.Error("two calls of Write overlap")
		return 0, io.ErrClosedPipe
	}
	defer w.mu.Unlock()
	if bytes.Count(p, []byte("\n")) != 1 || !bytes.HasSuffix(p, []byte("\n")) {
		w.t.Errorf("not one line: %q", p)
	}
	w.lines++
	return 0, errors.New("the disk is full")
}

func TestAccessLogTextIsWrittenLineByLine(t *testing.T) {
	out := &overlapWriter{t: t}
	h := middleware.AccessLog(middleware.AccessLogOptions{Text: out, Format: middleware.CombinedFormat, Quiet: branch.Path("/health")})(http.NotFoundHandler())
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() { h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil)) })
		wg.Go(func() { h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/health", nil)) })
	}
	wg.Wait()
	require.Equal(t, 50, out.lines, "quiet requests are left out, and an error of the writer is ignored")
}

func TestAccessLogOptionalAttributes(t *testing.T) {
	l := &logs{}
	h := middleware.AccessLog(middleware.AccessLogOptions{Logger: l.logger(), Host: true, Protocol: true, UserAgent: true})(http.NotFoundHandler())
	r := httptest.NewRequest(http.MethodGet, "http://shop.example:8080/", nil)
	r.Header.Set("User-Agent", strings.Repeat("b", 1000))
	h.ServeHTTP(httptest.NewRecorder(), r)
	request := group(l.records(t)[0], "request")
	require.Equal(t, "shop.example:8080", request["host"])
	require.Equal(t, "HTTP/1.1", request["protocol"])
	require.Equal(t, strings.Repeat("b", 512)+" …", request["user_agent"])
}

func TestAccessLogProblems(t *testing.T) {
	_, err := pipeline.New().Use(middleware.AccessLog(middleware.AccessLogOptions{Format: middleware.W3CFormat})).Build()
	require.ErrorContains(t, err, "no effect without Text")
	_, err = pipeline.New().Use(middleware.AccessLog(middleware.AccessLogOptions{Text: io.Discard, Format: "clf", Logger: slog.Default()})).Build()
	require.ErrorContains(t, err, `Format is "clf"`)
	require.ErrorContains(t, err, "have no effect with Text")
}
