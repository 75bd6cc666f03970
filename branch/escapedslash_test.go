package branch_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/branch"
)

// FuzzMap uses these as seeds too.
var escapedSlashTests = []struct {
	name   string
	h      http.Handler
	target string
	want   string
}{
	{"lower case", nested, "/a%2fx", ambiguous},
	{"exactly the prefix, in two readings", deep, "/a%2Fb", ambiguous},
	{"inside the prefix", deep, "/a%2Fb/c", ambiguous},
	{"in front of the prefix", nested, "/%2Fa", ambiguous},
	{"in front of the prefix, as a segment", nested, "/%2F/a", ambiguous},
	{"behind the prefix, beside a slash", nested, "/a%2F/b", ambiguous},
	{"case is ignored in both readings", nested, "/A%2FX", ambiguous},
	{"another escape in the prefix", nested, "/%61%2Fx", ambiguous},
	{"the inner prefix", nested, "/a/b%2Fc", ambiguous},
	{"the inner prefix, at its beginning", nested, "/a/%2Fb", ambiguous},
	{"dots lead to the prefix", nested, "/x%2F..%2Fa", ambiguous},
	{"dots lead out of the prefix", nested, "/a%2F../x", `main base="" path="/a/../x" raw="/a%2F../x" exact=false`},
	{"dots lead out of the prefix in one reading", nested, "/a/b%2F../../x", ambiguous},
	{"dots stay below the prefix", nested, "/a/x%2F..%2Fy", "400 Bad Request: dot segments beside an escaped slash\n"},
	{"dots behind the prefix", nested, "/a/x%2F.", "400 Bad Request: dot segments beside an escaped slash\n"},
	{"data on the main line", nested, "/x%2Fa", `main base="" path="/x/a" raw="/x%2Fa" exact=false`},
	{"data that looks like the prefix further down", nested, "/x/a%2Fb", `main base="" path="/x/a/b" raw="/x/a%2Fb" exact=false`},
	{"a URL", nested, "/a/https%3A%2F%2Fexample.com", `outer base="/a" path="/https://example.com" raw="/https%3A%2F%2Fexample.com" exact=false`},
	{"only slashes", nested, "/a/%2F%2F", `outer base="/a" path="///" raw="/%2F%2F" exact=false`},
	{"a slash at the end", nested, "/a/x%2F", `outer base="/a" path="/x/" raw="/x%2F" exact=false`},
	{"plain segments are cleaned, data is kept", nested, "//a/./x/../%2F%2Fy", `outer base="/a" path="///y" raw="/%2F%2Fy" exact=false`},
	{"a byte that net/url escapes", nested, `/a/x%2F|`, `outer base="/a" path="/x/|" raw="/x%2F|" exact=false`},
	{"escaped twice", nested, "/a%252Fx", `main base="" path="/a%2Fx" raw="" exact=false`},
	{"escaped twice below", nested, "/a/b%252Fx", `outer base="/a" path="/b%2Fx" raw="" exact=false`},
	{"a backslash is no slash", nested, "/a%5Cx", `main base="" path="/a\\x" raw="" exact=false`},
	{"a backslash is no slash below", nested, "/a/b%5c..%5cx", `outer base="/a" path="/b\\..\\x" raw="/b%5c..%5cx" exact=false`},

	{"UsePathBase", branch.UsePathBase("/a")(show("h")), "/a%2Fx", ambiguous},
	{"UsePathBase, data", branch.UsePathBase("/a")(show("h")), "/a/x%2Fy", `h base="/a" path="/x/y" raw="/x%2Fy" exact=false`},
	{"PreservePath", branch.MapWith("/a", branch.MapOptions{PreservePath: true}, show("a"))(show("main")), "/a%2Fx", ambiguous},
	{"MatchCase", branch.MapWith("/a", branch.MapOptions{MatchCase: true}, show("a"))(show("main")), "/A%2Fx", `main base="" path="/A/x" raw="/A%2Fx" exact=false`},
	{"MatchCase, matching", branch.MapWith("/a", branch.MapOptions{MatchCase: true}, show("a"))(show("main")), "/a%2Fx", ambiguous},

	{"When", branch.When(branch.Path("/a"), show("a"))(show("main")), "/a%2Fx", ambiguous},
	{"When, below", branch.When(branch.Path("/a"), show("a"))(show("main")), "/a/x%2Fy", `a base="" path="/a/x/y" raw="/a/x%2Fy" exact=false`},
	{"When, elsewhere", branch.When(branch.Path("/a"), show("a"))(show("main")), "/x%2Fa", `main base="" path="/x/a" raw="/x%2Fa" exact=false`},
	{"When Not", branch.When(branch.Not(branch.Path("/a")), show("a"))(show("main")), "/a%2Fx", ambiguous},
	{"When PathWith", branch.When(branch.PathWith("/a", branch.MapOptions{MatchCase: true}), show("a"))(show("main")), "/A%2Fx", `main base="" path="/A/x" raw="/A%2Fx" exact=false`},
	{"When Or decides without the path", branch.When(branch.Or(branch.Path("/a"), branch.Method("GET")), show("a"))(show("main")), "/a%2Fx", `a base="" path="/a/x" raw="/a%2Fx" exact=false`},
	{"When And decides without the path", branch.When(branch.And(branch.Path("/a"), branch.Method("POST")), show("a"))(show("main")), "/a%2Fx", `main base="" path="/a/x" raw="/a%2Fx" exact=false`},
	{"When And depends on the path", branch.When(branch.And(branch.Path("/a"), branch.Method("GET")), show("a"))(show("main")), "/a%2Fx", ambiguous},
	{"UseWhen", branch.UseWhen(branch.Path("/a"), func(http.Handler) http.Handler { return show("side") })(show("main")), "/a%2Fx", ambiguous},

	{"declared data: the prefix itself", declaredData, "/a%2Fb", ambiguous},
	{"declared data: an inner prefix", declaredData, "/a/b%2Fx", `outer base="/a" path="/b/x" raw="/b%2Fx" exact=false`},
	{"declared data: an inner prefix that matches", declaredData, "/a/b/x%2Fy", `inner base="/a/b" path="/x/y" raw="/x%2Fy" exact=false`},
	{"declared data: a predicate", declaredData, "/a/when%2Fx", `outer base="/a" path="/when/x" raw="/when%2Fx" exact=false`},
	{"declared data: a predicate that matches", declaredData, "/a/when/x%2Fy", `when base="/a" path="/when/x/y" raw="/when/x%2Fy" exact=false`},
	{"declared data: without an escaped slash", declaredData, "/a/b/x", `inner base="/a/b" path="/x" raw="" exact=false`},
	{"declared data: outside", declaredData, "/c%2Fx", ambiguous},
	{"declared data, preserved", preservedData, "/a/b%2Fx", `outer base="" path="/a/b/x" raw="/a/b%2Fx" exact=false`},
}

var (
	declaredData = branch.Map("/c", show("c"))(
		branch.MapWith("/a", branch.MapOptions{EscapedSlashesAreData: true},
			branch.Map("/b", show("inner"))(branch.When(branch.Path("/when"), show("when"))(show("outer"))))(show("main")))
	preservedData = branch.MapWith("/a", branch.MapOptions{EscapedSlashesAreData: true, PreservePath: true},
		branch.Map("/a/b", show("inner"))(show("outer")))(show("main"))
)

func TestEscapedSlashes(t *testing.T) {
	for _, tt := range escapedSlashTests {
		t.Run(tt.name, func(t *testing.T) {
			require.Equal(t, tt.want, getTarget(tt.h, tt.target))
		})
	}
}

func TestPathAloneReadsEscapedSlashesAsSeparators(t *testing.T) {
	r := httptest.NewRequest(http.MethodGet, "/a%2Fx", nil)
	require.True(t, branch.Path("/a")(r), "a guard of the caller's own holds")
	require.False(t, branch.Path("/b")(r))
}

// A component that rewrites Path without RawPath leaves nothing to interpret.
func TestRewrittenPathHasNoEscapedSlashes(t *testing.T) {
	r := httptest.NewRequest(http.MethodGet, "/x%2Fy", nil)
	r.URL.Path = "/a/b/c"
	w := httptest.NewRecorder()
	branch.CleanPaths(nested).ServeHTTP(w, r)
	require.Equal(t, `inner base="/a/b" path="/c" raw="" exact=false`, w.Body.String())
}

func TestDeclaredDataHandsUpThePattern(t *testing.T) {
	r := httptest.NewRequest(http.MethodGet, "/a/https%3A%2F%2Fexample.com", nil)
	value := ""
	branch.CleanPaths(branch.MapWith("/a", branch.MapOptions{EscapedSlashesAreData: true},
		mux(func(_ http.ResponseWriter, r *http.Request) { value = r.PathValue("p") }, "/{p}"))(show("main"))).ServeHTTP(httptest.NewRecorder(), r)
	require.Equal(t, "https://example.com", value)
	require.Equal(t, "/a/{p}", r.Pattern)
}

func TestCleanPathsReports(t *testing.T) {
	type report struct {
		path string
		branch.Refusal
	}
	var outer, inner []report
	record := func(to *[]report) branch.CleanPathsOptions {
		return branch.CleanPathsOptions{OnRefused: func(r *http.Request, refusal branch.Refusal) {
			*to = append(*to, report{r.URL.EscapedPath(), refusal})
		}}
	}
	yielding := record(&inner)
	yielding.PreferOuter = true
	for _, tt := range []struct {
		name   string
		h      http.Handler
		target string
		method string
		outer  []report
		inner  []report
	}{
		{"passed on", branch.CleanPathsWith(record(&outer), nested), "/a/x%2Fy", "GET", nil, nil},
		{"redirect", branch.CleanPathsWith(record(&outer), nested), "//a", "GET", []report{{"//a", branch.Refusal{Status: 307, Reason: "empty or dot segments"}}}, nil},
		{"hidden dots", branch.CleanPathsWith(record(&outer), nested), "/a%2F..", "GET", []report{{"/a%2F..", branch.Refusal{Status: 400, Reason: "dot segments beside an escaped slash"}}}, nil},
		{"NUL", branch.CleanPathsWith(record(&outer), nested), "/a%00", "GET", []report{{"/a%00", branch.Refusal{Status: 400, Reason: "a NUL byte"}}}, nil},
		{"CONNECT", branch.CleanPathsWith(record(&outer), nested), "/a", "CONNECT", []report{{"/a", branch.Refusal{Status: 400, Reason: "CONNECT without a protocol"}}}, nil},
		{"a Map", branch.CleanPathsWith(record(&outer), nested), "/a/b%2Fx", "GET", []report{{"/b%2Fx", branch.Refusal{Status: 400, Reason: "an escaped slash would decide which component gets the request"}}}, nil},
		{"the innermost", branch.CleanPathsWith(record(&outer), branch.CleanPathsWith(record(&inner), nested)), "/a%2Fx", "GET", nil, []report{{"/a%2Fx", branch.Refusal{Status: 400, Reason: "an escaped slash would decide which component gets the request"}}}},
		{"the outer is preferred", branch.CleanPathsWith(record(&outer), branch.CleanPathsWith(yielding, nested)), "/a%2Fx", "GET", []report{{"/a%2Fx", branch.Refusal{Status: 400, Reason: "an escaped slash would decide which component gets the request"}}}, nil},
		{"there is no outer", branch.CleanPathsWith(yielding, nested), "/a%2Fx", "GET", nil, []report{{"/a%2Fx", branch.Refusal{Status: 400, Reason: "an escaped slash would decide which component gets the request"}}}},
		{"the inner has none", branch.CleanPathsWith(record(&outer), branch.CleanPaths(nested)), "/a%2Fx", "GET", []report{{"/a%2Fx", branch.Refusal{Status: 400, Reason: "an escaped slash would decide which component gets the request"}}}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			outer, inner = nil, nil
			tt.h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(tt.method, tt.target, nil))
			require.Equal(t, tt.outer, outer)
			require.Equal(t, tt.inner, inner)
		})
	}
}
