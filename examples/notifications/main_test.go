package main

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/examples/internal/exampletest"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

func TestMain(m *testing.M) { wstest.Main(m) }

// start runs the program on a free port until the test ends.
func start(t *testing.T) *exampletest.Program {
	t.Helper()
	return exampletest.Start(t, run, "-addr", "127.0.0.1:0")
}

// do sends a request. header is names and values.
func do(t *testing.T, method, url, body string, header ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	require.NoError(t, err)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return res, string(answer)
}

const (
	endpoint = "/api/messages/sendmessage"
	form     = "application/x-www-form-urlencoded"
)

// A sender needs no socket; every socket gets the message.
func TestNotifications(t *testing.T) {
	s := start(t)
	res, body := do(t, "GET", s.URL+endpoint+"?message=unheard", "")
	require.Equal(t, 200, res.StatusCode)
	require.Equal(t, "{\"sent\":0}\n", body)

	ann, bob := wstest.Dial(t, s.URL+"/notifications", nil), wstest.Dial(t, s.URL+"/notifications", nil)
	for _, message := range []string{"hi", "<b>größer</b> & 'more' ☎", "two\nlines", strings.Repeat("x", maxMessage)} {
		query := url.Values{"message": {message}}.Encode()
		for name, send := range map[string]func() (*http.Response, string){
			"GET":            func() (*http.Response, string) { return do(t, "GET", s.URL+endpoint+"?"+query, "") },
			"POST, in query": func() (*http.Response, string) { return do(t, "POST", s.URL+endpoint+"?"+query, "") },
			"POST, in form":  func() (*http.Response, string) { return do(t, "POST", s.URL+endpoint, query, "Content-Type", form) },
		} {
			res, body := send()
			require.Equal(t, 200, res.StatusCode, name)
			require.Equal(t, "application/json", res.Header.Get("Content-Type"))
			require.Equal(t, "{\"sent\":2}\n", body, name)
			ann.ExpectText(message)
			bob.ExpectText(message)
		}
	}
	s.Out.WaitFor(t, `msg=request request.method=POST .*request.route="POST /api/messages/sendmessage" response.status=200`)

	bob.SendClose(1000, "")
	bob.ExpectClose(1000)
	_, body = do(t, "GET", s.URL+endpoint+"?message=one+left", "")
	require.Equal(t, "{\"sent\":1}\n", body)
	ann.ExpectText("one left")

	ann.SendText("can I talk?")
	require.Contains(t, ann.ExpectClose(1008), "send over HTTP")
}

func TestHTTP(t *testing.T) {
	s := start(t)
	ann := wstest.Dial(t, s.URL+"/notifications", nil)
	for _, tt := range []struct {
		name, method, path, body string
		header                   []string
		status                   int
		contains                 string
	}{
		{"no message", "GET", endpoint, "", nil, 400, "the parameter message is missing"},
		{"empty message", "GET", endpoint + "?message=", "", nil, 400, "the parameter message is missing"},
		{"as JSON", "GET", endpoint, "", []string{"Accept", "application/json"}, 400, `"detail":"the parameter message is missing"`},
		{"empty form", "POST", endpoint, "", []string{"Content-Type", form}, 400, "the parameter message is missing"},
		{"broken form", "POST", endpoint, "message=%zz", []string{"Content-Type", form}, 400, "the form can't be read"},
		{"broken query", "GET", endpoint + "?message=%zz", "", nil, 400, "the form can't be read"},
		{"not UTF-8", "GET", endpoint + "?message=caf%e9", "", nil, 400, "not valid UTF-8"},
		{"too long", "POST", endpoint, "message=" + strings.Repeat("x", maxMessage+1), []string{"Content-Type", form}, 400, "too long"},
		{"much too long", "POST", endpoint, "message=" + strings.Repeat("x", 1<<20), []string{"Content-Type", form}, 413, "413"},
		{"from another site", "POST", endpoint + "?message=x", "", []string{"Origin", "http://evil.example"}, 403, "cross-origin"},
		{"another method", "DELETE", endpoint + "?message=x", "", nil, 405, "Method Not Allowed"},
		{"slash at the end", "GET", endpoint + "/?message=x", "", nil, 404, "404"},
		{"no such endpoint", "GET", "/api/nothing", "", nil, 404, "404"},
		{"page", "GET", "/", "", nil, 200, `<script type="module" src="notifications.js">`},
		{"script", "GET", "/notifications.js", "", nil, 200, "new WebSocket"},
		{"no upgrade", "GET", "/notifications", "", nil, 426, "WebSocket"},
		{"no such page", "GET", "/nowhere", "", nil, 404, "404"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			res, body := do(t, tt.method, s.URL+tt.path, tt.body, tt.header...)
			require.Equal(t, tt.status, res.StatusCode, body)
			require.Contains(t, body, tt.contains)
			require.Regexp(t, `^\d+ms$`, res.Header.Get("X-Response-Time"))
			if tt.status == 405 {
				require.Equal(t, "GET, HEAD, POST", res.Header.Get("Allow"))
			}
		})
	}
	do(t, "GET", s.URL+endpoint+"?message=the+first", "")
	ann.ExpectText("the first") // nothing above was pushed
}

// A page that was loaded before costs a 304.
func TestPageIsRevalidated(t *testing.T) {
	s := start(t)
	res, _ := do(t, "GET", s.URL+"/notifications.js", "")
	require.Equal(t, "no-cache", res.Header.Get("Cache-Control"))
	res, _ = do(t, "GET", s.URL+"/notifications.js", "", "If-None-Match", res.Header.Get("Etag"))
	require.Equal(t, 304, res.StatusCode)
}

// Ctrl-C: the sockets get 1001 and run returns nil, which is exit status 0.
func TestDrain(t *testing.T) {
	s := start(t)
	c := wstest.Dial(t, s.URL+"/notifications", nil)
	s.Stop()
	c.ExpectClose(1001)
	s.End(t)
}

func TestBadFlag(t *testing.T) {
	require.Error(t, run(t.Context(), []string{"-port", "1"}, io.Discard))
	require.Error(t, run(t.Context(), []string{"-addr", "127.0.0.1:99999"}, io.Discard))
}

// The pipeline's own tree.
func TestTree(t *testing.T) {
	require.Equal(t, strings.TrimSpace(`
pipeline
├─ Use      recover
├─ Use      response time
├─ Use      access log
├─ Map      /api
│  ├─ Use      timeout
│  ├─ Use      body limit
│  ├─ Use      same origin
│  ├─ Use      endpoints
│  └─ (end)    404
├─ Mount    /notifications → *wsmanager.Manager
├─ Use      page
└─ (end)    404`), app(newNotifications(nil), nil).String())
}
