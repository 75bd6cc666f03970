package middleware_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/middleware"
	"github.com/speakingtube/speakingtube/pipeline"
)

func developerPage(h http.Handler) http.Handler {
	return middleware.DeveloperErrorPage(middleware.DeveloperErrorPageOptions{Recover: middleware.RecoverOptions{Logger: silent}})(h)
}

// secret does not appear literally in the source, which the pages show.
var secret = strings.Join([]string{"hunter", "2"}, "")

// crash panics; it is the origin of the tests' panics.
func crash(v any) http.Handler {
	return http.HandlerFunc(func(http.ResponseWriter, *http.Request) { // outer frame
		func() { panic(v) }() // the line of the panic
	})
}

func TestDeveloperErrorPage(t *testing.T) {
	cause := errors.New("bank: connection refused")
	chain := fmt.Errorf("charging: %w", errors.Join(cause, &middleware.Problem{Status: 402, Detail: "declined", Extensions: map[string]any{"balance": 3}}))
	for _, tt := range []struct {
		name, accept string
		h            http.Handler
		status       int
		contentType  string
		contains     []string
		lacks        []string
	}{
		{"a panic as HTML", "text/html", crash("oops"), 500, asHTML, []string{
			"<h1>oops</h1>", "Development only.", "a handler panicked", "calls in libraries",
			"developererrorpage_test.go:", "func() { panic(v) }() // the line of the panic", "// outer frame",
			"<dt>Method</dt><dd>GET</dd>", "/shop?id=5&amp;access_token=xxx", "<dt>X-Plain</dt><dd>shown</dd>", "<dt>theme</dt><dd class=\"redacted\">(redacted)</dd>",
			"<dt>Go</dt><dd>go1.", "runtime.",
		}, []string{"newPanic" + "Error", "runtime." + "gopanic"}},
		{"a nil pointer", "text/html", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			var r *http.Request
			_ = r.URL // the nil pointer
		}), 500, asHTML, []string{"invalid memory address", "_ = r.URL // the nil pointer"}, []string{"runtime." + "sigpanic", "runtime." + "panicmem"}},
		{"an error as HTML", "text/html", handlerReturning(chain), 402, asHTML, []string{
			"a handler returned an error", "charging: bank: connection refused", "*errors.joinError", `<li class="d2"><p>bank: connection refused</p>`,
			"The client would read: declined",
		}, []string{"<h2>Stack</h2>"}},
		{"a panic as text", "text/plain", crash("oops"), 500, asText, []string{
			"500 Internal Server Error\n", "for development only", "\noops\n", "crash.func", "developererrorpage_test.go:", "X-Plain: shown", "theme: (redacted)",
		}, nil},
		{"an error as text", "text/plain", handlerReturning(chain), 402, asText, []string{"    bank: connection refused\n      (*errors.errorString)\n"}, []string{"Stack"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			overBothProtocols(t, developerPage(tt.h), func(t *testing.T, srv *httptest.Server) {
				res, body, err := get(t, srv, "/shop?id=5&access_token="+secret, "Accept", tt.accept, "X-Plain", "shown", "Cookie", "theme="+secret)
				require.NoError(t, err)
				require.Equal(t, tt.status, res.StatusCode)
				require.Equal(t, tt.contentType, res.Header.Get("Content-Type"))
				require.Equal(t, "no-store", res.Header.Get("Cache-Control"))
				require.EqualValues(t, len(body), res.ContentLength)
				for _, s := range tt.contains {
					require.True(t, strings.Contains(body, s), s)
				}
				for _, s := range append(tt.lacks, secret) {
					require.False(t, strings.Contains(body, s), s)
				}
			})
		})
	}
	t.Run("JSON", func(t *testing.T) {
		overBothProtocols(t, developerPage(crash(chain)), func(t *testing.T, srv *httptest.Server) {
			res, body, err := get(t, srv, "/shop?token="+secret, "Accept", "application/json", "Authorization", secret)
			require.NoError(t, err)
			require.Equal(t, 402, res.StatusCode)
			require.Equal(t, asJSON, res.Header.Get("Content-Type"))
			var got struct {
				Status      int
				Detail      string
				Balance     int
				Development struct {
					Panicked bool
					Errors   []struct {
						Depth      int
						Type, Text string
					}
					Stack []struct {
						Library bool
						Frames  []struct {
							Func, File string
							Line       int
							Source     []struct{ Text string }
						}
					}
					Headers []struct{ Name, Value string }
				}
			}
			require.NoError(t, json.Unmarshal([]byte(body), &got))
			require.Equal(t, 402, got.Status)
			require.Equal(t, "declined", got.Detail)
			require.Equal(t, 3, got.Balance)
			require.True(t, got.Development.Panicked)
			require.Len(t, got.Development.Errors, 4)
			require.Equal(t, "*fmt.wrapError", got.Development.Errors[0].Type)
			require.Equal(t, 2, got.Development.Errors[3].Depth)
			first := got.Development.Stack[0].Frames[0]
			require.Contains(t, first.Func, "crash")
			require.Len(t, first.Source, 13)
			require.Contains(t, first.Source[6].Text, "the line of the panic")
			require.True(t, got.Development.Stack[1].Library)
			require.False(t, strings.Contains(body, secret))
		})
	})
}

func TestDeveloperErrorPageOfHEAD(t *testing.T) {
	overBothProtocols(t, developerPage(crash("oops")), func(t *testing.T, srv *httptest.Server) {
		res, err := srv.Client().Head(srv.URL)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		require.Equal(t, 500, res.StatusCode)
		require.Greater(t, res.ContentLength, int64(500))
	})
}

// No input becomes markup, and the policy allows only the page's own style sheet.
func TestDeveloperErrorPageEscapes(t *testing.T) {
	for _, evil := range []string{
		`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `</style></title></textarea><script>alert(1)</script>`,
		"' onmouseover='alert(1)", `{{template "fields"}}`, "javascript:alert(1)", "a\x00b\xff<script>", "<!--", "]]><script>", strings.Repeat("<script>", 3_000),
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr, r.Host = "127.0.0.1:1", "localhost"
		r.RequestURI = "/" + evil
		r.URL.Path, r.URL.RawQuery = "/"+evil, "a="+evil+"&"+evil+"=1"
		r.Method, r.Proto = evil, evil
		r.Header = http.Header{"Accept": {"text/html"}, "X-" + evil: {evil}, "Cookie": {evil + "=" + evil}, "Referer": {"http://x/?" + evil}}
		for way, h := range map[string]http.Handler{
			"text": crash(evil), "error": crash(fmt.Errorf("%s: %w", evil, errors.New(evil))), "returned": handlerReturning(errors.New(evil)),
			"problem": handlerReturning(&middleware.Problem{Title: evil, Detail: evil, Type: evil, Err: errors.New(evil)}),
		} {
			w := httptest.NewRecorder()
			developerPage(pipeline.Observe(func(w http.ResponseWriter, r *http.Request, res *pipeline.Response, next http.Handler) {
				res.SetRoute(evil)
				next.ServeHTTP(w, r)
			})(h)).ServeHTTP(w, r)
			require.Equal(t, 500, w.Code)
			page := w.Body.String()
			require.Contains(t, page, "Development only.", way)
			for _, tag := range regexp.MustCompile(`<[^>]*>`).FindAllString(page, -1) {
				require.Regexp(t, `^<(!doctype html|/?(html|head|meta|title|style|body|p|strong|header|b|span|h1|h2|main|section|ol|li|code|details|summary|ul|small|div|table|tbody|tr|td|pre|dl|dt|dd)( (lang|charset|name|content|class|open|tabindex|role|aria-label)(="[^"<>]*")?)*)>$`, tag, way)
				require.NotContains(t, tag, "alert")
			}
			require.Less(t, w.Body.Len(), 1<<20)
		}
	}
}

func TestDeveloperErrorPagePolicy(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Security-Policy", "default-src *")
		panic("oops")
	})
	overBothProtocols(t, developerPage(h), func(t *testing.T, srv *httptest.Server) {
		res, body, err := get(t, srv, "/", "Accept", "text/html")
		require.NoError(t, err)
		style := regexp.MustCompile(`(?s)<style>(.*)</style>`).FindStringSubmatch(body)
		require.NotNil(t, style)
		sum := sha256.Sum256([]byte(style[1]))
		require.Equal(t, "default-src 'none'; style-src 'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
			res.Header.Get("Content-Security-Policy"))
		require.NotContains(t, body, "http://", "nothing from outside")
		require.NotContains(t, body, "url(")
	})
}

func TestDeveloperErrorPageRedacts(t *testing.T) {
	r := httptest.NewRequest(http.MethodGet, strings.ReplaceAll("/?Api_Key=$&sig=$&my_session=$&t%6fken=$&id=stct_$&page=2", "$", secret), nil)
	r.RemoteAddr, r.Host = "[::1]:1", "app.localhost:8080"
	for _, name := range []string{
		"Authorization", "Proxy-Authorization", "Cookie", "Set-Cookie", "X-Api-Key", "X-Auth-Request-User", "X-Csrf-Token", "X-Amz-Security-Token",
		"X-My-Secret", "X-Password", "X-Session-Id", "Sec-Websocket-Key", "X-Hub-Signature-256", "X-Goog-Iap-Jwt-Assertion",
	} {
		r.Header.Add(name, secret)
		r.Header.Add(name, "x="+secret)
	}
	r.Header.Set("Referer", "https://ann:"+secret+"@example.com/?code="+secret+"&id=stct_"+secret+"&page=1#top")
	for _, accept := range []string{"text/html", "application/json", "text/plain"} {
		r.Header.Set("Accept", accept)
		w := httptest.NewRecorder()
		developerPage(crash("oops")).ServeHTTP(w, r)
		body := w.Body.String()
		require.False(t, strings.Contains(body, secret), accept)
		require.True(t, strings.Contains(body, "oops"), accept)
		require.True(t, strings.Contains(body, "example.com/?code=xxx"), accept)
	}
}

// Only clients on this machine see the page.
func TestDeveloperErrorPageIsForThisMachine(t *testing.T) {
	for _, tt := range []struct {
		name, remote, host string
		header             []string
		shown              bool
	}{
		{"loopback", "127.0.0.1:1234", "localhost:8080", nil, true},
		{"another loopback", "127.8.8.8:1234", "127.0.0.1", nil, true},
		{"IPv6", "[::1]:1234", "[::1]:8080", nil, true},
		{"IPv6 without a port", "[::1]:1234", "[::1]", nil, true},
		{"IPv4 in IPv6", "[::ffff:127.0.0.1]:1234", "LOCALHOST.", nil, true},
		{"a name below localhost", "127.0.0.1:1", "shop.localhost", nil, true},
		{"a link from another site", "127.0.0.1:1", "localhost", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate"}, true},
		{"a script of another port", "127.0.0.1:1", "localhost", []string{"Sec-Fetch-Site", "same-site", "Sec-Fetch-Mode", "cors"}, true},
		{"the network", "192.168.1.5:1234", "localhost", nil, false},
		{"no address", "", "localhost", nil, false},
		{"a unix socket", "@", "localhost", nil, false},
		{"a name that resolves to loopback", "127.0.0.1:1", "evil.example", nil, false},
		{"a name that looks like it", "127.0.0.1:1", "localhost.evil.example", nil, false},
		{"no host", "127.0.0.1:1", "", nil, false},
		{"a script of another site", "127.0.0.1:1", "localhost", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "cors"}, false},
		{"Forwarded", "127.0.0.1:1", "localhost", []string{"Forwarded", "for=127.0.0.1"}, false},
		{"X-Forwarded-For", "127.0.0.1:1", "localhost", []string{"X-Forwarded-For", "127.0.0.1"}, false},
		{"X-Forwarded-Proto", "127.0.0.1:1", "localhost", []string{"X-Forwarded-Proto", "https"}, false},
		{"Via", "127.0.0.1:1", "localhost", []string{"Via", "1.1 proxy"}, false},
		{"an empty Via", "127.0.0.1:1", "localhost", []string{"Via", ""}, false},
		{"X-Real-IP", "127.0.0.1:1", "localhost", []string{"X-Real-IP", "127.0.0.1"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.RemoteAddr, r.Host = tt.remote, tt.host
			for i := 0; i < len(tt.header); i += 2 {
				r.Header.Set(tt.header[i], tt.header[i+1])
			}
			w := httptest.NewRecorder()
			developerPage(crash("oops")).ServeHTTP(w, r)
			require.Equal(t, 500, w.Code)
			if tt.shown {
				require.Contains(t, w.Body.String(), "oops")
			} else {
				require.Equal(t, `{"type":"about:blank","title":"Internal Server Error","status":500}`+"\n", w.Body.String())
			}

			w = httptest.NewRecorder()
			middleware.DeveloperErrorPage(middleware.DeveloperErrorPageOptions{
				DangerouslyShowToEveryone: true, ContextLines: -1, Recover: middleware.RecoverOptions{Logger: silent},
			})(crash("oops")).ServeHTTP(w, r)
			require.Contains(t, w.Body.String(), "oops")
			require.NotContains(t, w.Body.String(), "the line of the panic")
		})
	}
}

func TestDeveloperErrorPageForOthersAndItsWarning(t *testing.T) {
	l := &logs{}
	h := middleware.DeveloperErrorPage(middleware.DeveloperErrorPageOptions{Recover: middleware.RecoverOptions{
		Logger:  l.logger(),
		Problem: mapTeapot,
		Handler: func(w http.ResponseWriter, _ *http.Request, p *middleware.Problem, _ error) {
			http.Error(w, "for others", p.Status)
		},
	}})(crash(errTeapot))
	require.Equal(t, "WARN", l.records(t)[0]["level"])
	require.Contains(t, l.records(t)[0]["msg"], "development only")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	require.Equal(t, 418, w.Code)
	require.Equal(t, "for others\n", w.Body.String())
	require.Len(t, l.records(t), 2, "logged as by Recover")
}

// For a panic on another goroutine only the text of the stack is known.
func TestDeveloperErrorPageOfAnotherGoroutine(t *testing.T) {
	h := middleware.ResponseTime(middleware.StatusPages(middleware.StatusPagesOptions{})(developerPage(crash(&middleware.PanicError{Value: "there", Stack: []byte("the stack <of> the other")}))))
	overBothProtocols(t, h, func(t *testing.T, srv *httptest.Server) {
		_, body, err := get(t, srv, "/", "Accept", "text/html")
		require.NoError(t, err)
		require.Contains(t, body, "the stack &lt;of&gt; the other")
		require.Contains(t, body, "<h1>there</h1>")
	})
}
