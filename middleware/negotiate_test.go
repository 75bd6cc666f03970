package middleware_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/middleware"
)

// negotiated returns the form in which WriteProblem answers.
func negotiated(accept ...string) string {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header["Accept"] = accept
	w := httptest.NewRecorder()
	middleware.WriteProblem(w, r, &middleware.Problem{Status: 404})
	return w.Header().Get("Content-Type")
}

const (
	asHTML = "text/html; charset=utf-8"
	asJSON = "application/problem+json"
	asText = "text/plain; charset=utf-8"
)

// acceptTable has examples for RFC 9110, section 12.5.1.
var acceptTable = []struct{ name, accept, want string }{
	{"empty", "", asJSON},
	{"anything", "*/*", asJSON},
	{"a browser", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", asHTML},
	{"axios", "application/json, text/plain, */*", asJSON},
	{"a Java client", "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2", asHTML},
	{"the highest quality", "text/html;q=0.2, application/problem+json;q=0.7, text/plain;q=0.5", asJSON},
	{"the first of equals", "text/html, application/json", asHTML},
	{"the first of equals, turned round", "application/json, text/html", asJSON},
	{"a named type before a wildcard of its quality", "*/*, text/html", asHTML},
	{"specific beats wildcard although lower", "text/html;q=0.3, text/*;q=0.9", asText},
	{"specific beats wildcard, in any order", "text/*;q=0.9, text/html;q=0.3", asText},
	{"the family beats anything", "*/*, text/*;q=0.1", asJSON},
	{"a family", "application/*", asJSON},
	{"text of any kind", "text/*", asText},
	{"refused, the rest welcome", "text/plain;q=0, text/html;q=0, */*", asJSON},
	{"JSON refused by its own name", "application/problem+json;q=0, */*", asText},
	{"its own name before the alias", "application/problem+json;q=0, application/json, text/html;q=0.1", asHTML},
	{"everything refused", "*/*;q=0", asJSON},
	{"only text refused", "text/plain;q=0", asJSON},
	{"text and JSON refused", "text/plain;q=0, application/*;q=0", asHTML},
	{"none of our types", "image/png", asJSON},
	{"none of our types, and text refused", "image/png, text/*;q=0", asJSON},
	{"our charset", "text/html;charset=UTF-8", asHTML},
	{"another variant refuses nothing", "text/html;level=1;q=0, text/html", asHTML},
	{"another variant is better than nothing", "application/json;profile=x", asJSON},
	{"the plain type before another variant", "text/html;level=1;q=0.2, text/html;q=0.9, application/json;q=0.5", asHTML},
	{"case and space", " TEXT/HTML ; Q=1.000 ", asHTML},
	{"an empty parameter", "text/html;;q=0.5", asHTML},
	{"a comma in a quoted string", `text/html;x="a,application/json;q=1,b", text/plain;q=0.1`, asHTML},
	{"an escaped quote in a quoted string", `text/html;q=0.9;x="\",application/json,", text/plain;q=0.1`, asHTML},
	{"parameters after the weight are ignored", "text/html;q=0.1;q=0.9, application/json;q=0.5", asJSON},
	{"bad quality: a word", "text/html;q=high, application/json;q=0.1", asJSON},
	{"bad quality: above one", "text/html;q=1.001, application/json;q=0.1", asJSON},
	{"bad quality: four digits", "text/html;q=0.1234, application/json;q=0.1", asJSON},
	{"bad quality: a sign", "text/html;q=+1, application/json;q=0.1", asJSON},
	{"bad quality: not a number", "text/html;q=NaN, application/json;q=0.1", asJSON},
	{"bad quality: a space", "text/html;q= 1, application/json;q=0.1", asJSON},
	{"bad quality: empty", "text/html;q=, application/json;q=0.1", asJSON},
	{"bad range: no slash", "text, application/json;q=0.1", asJSON},
	{"bad range: two slashes", "text/html/x, application/json;q=0.1", asJSON},
	{"bad range: */html", "*/html, application/json;q=0.1", asJSON},
	{"bad range: space inside", "text /html, application/json;q=0.1", asJSON},
	{"bad parameter: no value", "text/html;x, application/json;q=0.1", asJSON},
	{"a vendor's type", "application/vnd.example+json", asJSON},
	{"a vendor's type before HTML", "application/vnd.example+json, text/html;q=0.9", asJSON},
	{"a vendor's type with parameters", "application/vnd.api+json; profile=x", asJSON},
	{"HTML before a vendor's type", "text/html, application/ld+json;q=0.9", asHTML},
	{"a vendor's type refused", "application/vnd.example+json;q=0, */*", asJSON},
	{"any type with the suffix", "application/*+json, text/html;q=0.1", asJSON},
	{"a suffix of another format", "application/vnd.example+xml, text/html;q=0.1", asHTML},
	{"text, but anything", "text/plain, */*", asJSON},
	{"text and JSON", "text/plain, application/json", asJSON},
	{"text before JSON by quality", "text/plain, application/json;q=0.5", asText},
	{"only text", "text/plain", asText},
	{"text of any kind, or anything", "text/*, */*", asJSON},
	{"HTML, or anything", "text/html, */*", asHTML},
	{"an image, or anything", "image/avif,image/webp,*/*;q=0.8", asJSON},
	{"empty items", ",,, ,text/html,,", asHTML},
	{"a quote that never ends", `application/json, text/html;x="`, asJSON},
}

func TestAccept(t *testing.T) {
	for _, tt := range acceptTable {
		t.Run(tt.name, func(t *testing.T) {
			require.Equal(t, tt.want, negotiated(tt.accept))
			require.Equal(t, tt.want, negotiated(strings.Split(tt.accept, ", ")...), "in a line each")
		})
	}
	require.Equal(t, asJSON, negotiated(), "no header at all")
}

// A hostile header costs no more than a long one, and the range at the limit is not misread
// as another.
func TestAcceptIsBounded(t *testing.T) {
	require.Equal(t, asHTML, negotiated("text/html;q=0.1,"+strings.Repeat("x/y,", 100_000)+"application/json"))
	fill := strings.Repeat("x", 8<<10-len("text/html;q=0.1,"+"/,"+"application/json"))
	require.Equal(t, asJSON, negotiated("text/html;q=0.1,"+fill[1:]+"/x,"+"application/json"), "fits")
	require.Equal(t, asHTML, negotiated("text/html;q=0.1,"+fill+"/x,"+"application/json;q=1,"), "does not")
	require.Equal(t, asHTML, negotiated("text/html", strings.Repeat(`"`, 1<<20)))
}

func FuzzAccept(f *testing.F) {
	for _, tt := range acceptTable {
		f.Add(tt.accept)
	}
	f.Fuzz(func(t *testing.T, accept string) {
		got := negotiated(accept)
		require.Contains(t, []string{asHTML, asJSON, asText}, got)
		if len(accept) > 4<<10 {
			return // the additions could reach the limit
		}
		// Additional ranges for other types change nothing.
		for _, junk := range []string{"", ",", "image/png", "image/png;q=0", "text", "text/html;q=2", "*/html", `x/y;z="text/html,"`} {
			require.Equal(t, got, negotiated(junk+","+accept), "before: %q", junk)
			require.Equal(t, got, negotiated(accept, junk), "after: %q", junk)
		}
		// A form that is refused by name is not selected if another is acceptable.
		lower := strings.ToLower(accept)
		for name, refused := range map[string]string{"text/html": asHTML, "application/problem+json": asJSON, "text/plain": asText} {
			if !strings.Contains(lower, name) && !strings.Contains(lower, "q=0") { // otherwise it may accept this form, or refuse the others
				require.NotEqual(t, refused, negotiated(name+";q=0", "*/*", accept))
			}
		}
	})
}
