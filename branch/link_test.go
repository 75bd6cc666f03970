package branch_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/branch"
)

// requestBelow returns the request that a handler below the prefixes gets, or the request itself
// without prefixes.
func requestBelow(t testing.TB, target string, prefixes ...string) *http.Request {
	t.Helper()
	var seen *http.Request
	var h http.Handler = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen = r })
	for i := len(prefixes) - 1; i >= 0; i-- {
		h = branch.MapWith(prefixes[i], branch.MapOptions{Literal: true}, h)(http.NotFoundHandler())
	}
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, target, nil))
	require.NotNil(t, seen, "%s is not below %q", target, prefixes)
	return seen
}

func TestLink(t *testing.T) {
	for _, tt := range []struct {
		name     string
		request  string
		prefixes []string
		target   string
		want     string
	}{
		{"in a branch", "/a/p", []string{"/a"}, "/x?y=1#z", "/a/x?y=1#z"},
		{"nested", "/a/b/p", []string{"/a", "/b"}, "/x", "/a/b/x"},
		{"exact match", "/a", []string{"/a"}, "/x", "/a/x"},
		{"its root", "/a/p", []string{"/a"}, "/", "/a/"},
		{"outside any branch", "/p", nil, "/x?y#z", "/x?y#z"},
		{"the request's spelling", "/A/p", []string{"/a"}, "/x", "/A/x"},
		{"PathBase with a space", "/a%20b/p", []string{"/a b"}, "/x", "/a%20b/x"},
		{"PathBase with unicode", "/gr%C3%BC%C3%9Fe/p", []string{"/grüße"}, "/x", "/gr%C3%BC%C3%9Fe/x"},
		{"PathBase with a percent sign", "/100%25/p", []string{"/100%"}, "/x", "/100%25/x"},
		{"PathBase with ? and #", "/a%3Fb%23/p", []string{"/a?b#"}, "/x", "/a%3Fb%23/x"},
		{"PathBase with a backslash", "/%5Cevil.example/p", []string{`/\evil.example`}, "/x", "/%5Cevil.example/x"},
		{"escaped chars in the matched part", "/%61/%62/p", []string{"/a/b"}, "/x", "/a/b/x"},

		{"escapes stay", "/a/p", []string{"/a"}, "/x%2Fy%20z/%C3%A4?q=%26#%20", "/a/x%2Fy%20z/%C3%A4?q=%26#%20"},
		{"bytes that are not allowed in a URL are escaped", "/a/p", []string{"/a"}, "/x y/ä/\"<>^`{|}\r\n\x00?q=\" ü#<", "/a/x%20y/%C3%A4/%22%3C%3E%5E%60%7B%7C%7D%0D%0A%00?q=%22%20%C3%BC#%3C"},
		{"a percent sign that escapes nothing", "/a/p", []string{"/a"}, "/100%/50%a?%", "/a/100%25/50%25a?%25"},
		{"a second ? and # are text", "/a/p", []string{"/a"}, "/x?y?z#a?b", "/a/x?y?z#a?b"},
		{"dots in query and fragment", "/a/p", []string{"/a"}, "/x?p=/../y#/../z", "/a/x?p=/../y#/../z"},

		{"dot segments don't leave the PathBase", "/a/p", []string{"/a"}, "/../../x", "/a/x"},
		{"dot segments inside", "/a/p", []string{"/a"}, "/x/./y/../z", "/a/x/z"},
		{"dot segments at the end", "/a/p", []string{"/a"}, "/x/y/..", "/a/x/"},
		{"a dot at the end", "/a/p", []string{"/a"}, "/x/.", "/a/x/"},
		{"escaped dot segments", "/a/p", []string{"/a"}, "/x/%2e%2E/.%2e/y/%2E", "/a/y/"},
		{"dots escaped twice", "/a/p", []string{"/a"}, "/x/%252e%252e/y", "/a/x/%252e%252e/y"},
		{"dots in names", "/a/p", []string{"/a"}, "/x.y/..z/...", "/a/x.y/..z/..."},
		{"empty segments inside stay", "/a/p", []string{"/a"}, "/go/https://x.example//", "/a/go/https://x.example//"},

		{"no other host", "/p", nil, "//evil.example/x", "/evil.example/x"},
		{"no other host: in a branch", "/a/p", []string{"/a"}, "//evil.example/x", "/a/evil.example/x"},
		{"no other host: backslash", "/p", nil, `/\evil.example`, "/evil.example"},
		{"no other host: backslash first", "/p", nil, `\/evil.example`, "/evil.example"},
		{"no other host: backslashes", "/a/p", []string{"/a"}, `\\evil.example\x`, "/a/evil.example%5Cx"},
		{"no other host: many", "/p", nil, `////\\//evil.example`, "/evil.example"},
		{"no other host: tab", "/p", nil, "/\t/evil.example", "/%09/evil.example"},
		{"no other host: newline", "/p", nil, "/\n/evil.example", "/%0A/evil.example"},
		{"no other host: space in front", "/p", nil, " //evil.example", "%20//evil.example"},
		{"no other host: control in front", "/p", nil, "\x01//evil.example", "%01//evil.example"},
		{"no other host: dots", "/p", nil, "/x/..//evil.example", "/evil.example"},
		{"no other host: dot", "/p", nil, "/.//evil.example", "/evil.example"},
		{"no other host: escaped dots", "/p", nil, `/%2e%2e//%2E/\evil.example`, "/%5Cevil.example"},
		{"no script: tab in the scheme", "/p", nil, "java\tscript:alert(1)", "java%09script:alert(1)"},
		{"no script: space in front", "/p", nil, " javascript:alert(1)", "%20javascript:alert(1)"},

		{"relative", "/a/p", []string{"/a"}, "x/y?z", "x/y?z"},
		{"relative, up", "/a/p", []string{"/a"}, "../x", "../x"},
		{"relative, escaped where needed", "/a/p", []string{"/a"}, `x y\z`, "x%20y%5Cz"},
		{"relative, colon behind a digit", "/a/p", []string{"/a"}, "1:2", "1:2"},
		{"relative, colon behind a slash", "/a/p", []string{"/a"}, "x/y:z", "x/y:z"},
		{"query only", "/a/p", []string{"/a"}, "?page=2", "?page=2"},
		{"fragment only", "/a/p", []string{"/a"}, "#top", "#top"},
		{"empty", "/a/p", []string{"/a"}, "", ""},

		{"absolute", "/a/p", []string{"/a"}, "https://example.com//x/../y?ü", "https://example.com//x/../y?ü"},
		{"another scheme", "/a/p", []string{"/a"}, "mailto:a@example.com", "mailto:a@example.com"},
		{"scheme with odd characters", "/a/p", []string{"/a"}, "svn+ssh-2.0:x", "svn+ssh-2.0:x"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			require.Equal(t, tt.want, branch.Link(requestBelow(t, tt.request, tt.prefixes...), tt.target))
		})
	}
}

func TestLinkBehindAProxysBase(t *testing.T) {
	r, err := branch.WithPathBase(requestBelow(t, "/a/p", "/a"), "/ä pp/")
	require.NoError(t, err)
	require.Equal(t, "/%C3%A4%20pp/a/x", branch.Link(r, "/x"))
}

func TestRedirect(t *testing.T) {
	for _, tt := range []struct {
		name     string
		request  string
		prefixes []string
		target   string
		want     string
	}{
		{"rooted", "/a/p", []string{"/a"}, "/x?y#z", "/a/x?y#z"},
		{"rooted, outside", "/p", nil, "/x", "/x"},
		{"absolute", "/a/p", []string{"/a"}, "https://example.com/x y", "https://example.com/x%20y"},
		{"a fragment that looks like a path", "/a/p", []string{"/a"}, "/x#//b/../c", "/a/x#//b/../c"},
		{"another host", "/p", nil, `/\evil.example`, "/evil.example"},
		{"relative", "/a/b/p", []string{"/a"}, "x?y", "/a/b/x?y"},
		{"relative, nested", "/a/b/p", []string{"/a", "/b"}, "x", "/a/b/x"},
		{"relative, slash at the end", "/a/b/", []string{"/a"}, "x", "/a/b/x"},
		{"relative, exact match", "/a", []string{"/a"}, "x", "/a/x"},
		{"relative, up", "/a/b/c/p", []string{"/a"}, "../x", "/a/b/x"},
		{"relative, up and no further than the branch", "/a/b/p", []string{"/a"}, "../../../x", "/a/x"},
		{"relative, here", "/a/b/p", []string{"/a"}, "./", "/a/b/"},
		{"relative, escaped path", "/a/x%2Fy/p", []string{"/a"}, "z", "/a/x%2Fy/z"},
		{"relative, outside", "/b/p", nil, "x", "/b/x"},
		{"relative, unclean path outside", "//evil.example/p", nil, "x", "/evil.example/x"},
		{"query", "/a/p?old", []string{"/a"}, "?page=2", "/a/p?page=2"},
		{"query, exact match", "/a?old", []string{"/a"}, "?page=2", "/a?page=2"},
		{"query, slash at the end", "/a/", []string{"/a"}, "?page=2", "/a/?page=2"},
		{"no query", "/a/p?old", []string{"/a"}, "?", "/a/p?"},
		{"fragment", "/a/p?old", []string{"/a"}, "#top", "/a/p?old#top"},
		{"itself", "/a%20b/p%2Fq?old", []string{"/a b"}, "", "/a%20b/p%2Fq?old"},
		{"itself, unclean path outside", "//evil.example/p", nil, "", "/evil.example/p"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := httptest.NewRecorder()
			branch.Redirect(w, requestBelow(t, tt.request, tt.prefixes...), tt.target, http.StatusSeeOther)
			require.Equal(t, http.StatusSeeOther, w.Code)
			require.Equal(t, tt.want, w.Header().Get("Location"))
		})
	}
}

func TestRedirectBody(t *testing.T) {
	for _, tt := range []struct{ method, typ, wantType, wantBody string }{
		{"GET", "", "text/html; charset=utf-8", "<a href=\"/x?a=1&amp;b=%3C&#39;\">Found</a>.\n"},
		{"HEAD", "", "text/html; charset=utf-8", ""},
		{"POST", "", "", ""},
		{"GET", "text/plain", "text/plain", ""},
	} {
		w := httptest.NewRecorder()
		if tt.typ != "" {
			w.Header().Set("Content-Type", tt.typ)
		}
		branch.Redirect(w, httptest.NewRequest(tt.method, "/", nil), "/x?a=1&b=<'", http.StatusFound)
		require.Equal(t, tt.wantType, w.Header().Get("Content-Type"), tt.method)
		require.Equal(t, tt.wantBody, w.Body.String(), tt.method)
	}
}

func TestIsLocal(t *testing.T) {
	for target, want := range map[string]bool{
		"/": true, "/x": true, "/x//y": true, "/x?u=https://y": true, "/..//x": true, "/ä b": true,
		"": false, "x": false, "?x": false, "//x": false, `/\x`: false, `\x`: false, `\\x`: false, "/\t/x": false, "/x\n": false,
		" /x": false, "https://x": false, "javascript:x": false, "~/x": false,
	} {
		require.Equal(t, want, branch.IsLocal(target), "%q", target)
	}
}

// FuzzLink checks that a link without a scheme stays on the site and below the PathBase,
// under Go's rules and under the URL standard of browsers.
func FuzzLink(f *testing.F) {
	for _, target := range []string{"/x", "//evil", `/\evil`, "/\t/evil", " //evil", "/..//evil", "/%2e%2e//evil", "x", "?a", "#b", "", "http://x", "/%", "/a%zz/./..", "\x00/", "/x?/../#\\"} {
		f.Add(target, false)
		f.Add(target, true)
	}
	f.Fuzz(func(t *testing.T, target string, inside bool) {
		prefixes, base := []string(nil), ""
		if inside {
			prefixes, base = []string{"/ä b"}, "/ä b"
		}
		r := requestBelow(t, "/%C3%A4%20b/p/q", prefixes...)
		link := branch.Link(r, target)
		if u, err := url.Parse(link); err == nil && u.Scheme != "" {
			require.Equal(t, target, link, "a target with a scheme stays unchanged")
			return
		} else if strings.Contains(strings.SplitN(target, "/", 2)[0], ":") {
			return // Go can't parse every URL with a scheme
		}
		w := httptest.NewRecorder()
		branch.Redirect(w, r, target, 302)
		location := w.Header().Get("Location")
		for _, got := range []string{link, location} {
			require.NotContains(t, got, `\`)
			require.Equal(t, -1, strings.IndexFunc(got, func(c rune) bool { return c <= ' ' || c >= 0x7f }), "%q", got)
			require.False(t, strings.HasPrefix(got, "//"), got)
			u, err := url.Parse(got)
			require.NoError(t, err)
			require.Empty(t, u.Host+u.Scheme+u.Opaque)
			require.NoError(t, err)
			if strings.HasPrefix(got, "/") {
				require.True(t, strings.HasPrefix(u.Path, base+"/") || u.Path == base, "%q", got)
				require.NotRegexp(t, `(?i)/(\.|%2e){1,2}(/|$)`, u.EscapedPath(), "%q", got)
			}
		}
		require.True(t, strings.HasPrefix(location, "/"))
		require.Equal(t, link, branch.Link(requestBelow(t, "/p"), link), "an escape is not escaped again")
	})
}
