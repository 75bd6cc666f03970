package httpx

import (
	"net/http"
	"strings"
)

// RequestPath returns the path of r as the client sent it: escaped, before branches
// removed a prefix or components rewrote it. It has no query, which may contain
// secrets. For a request target that is not a path (an absolute URL, which may contain
// a password, or none in a request made by a test) it is the path of r.URL.
func RequestPath(r *http.Request) string {
	if !strings.HasPrefix(r.RequestURI, "/") {
		return r.URL.EscapedPath()
	}
	p, _, _ := strings.Cut(r.RequestURI, "?")
	return p
}

// CopyBack does for a copied request the work that net/http does only for its own: it removes
// the files of a form that was parsed below, and copies the pattern that a ServeMux has set.
func CopyBack(outer, inner *http.Request) {
	if inner.Pattern != outer.Pattern {
		outer.Pattern = inner.Pattern
	}
	if form := inner.MultipartForm; form != nil && form != outer.MultipartForm {
		_ = form.RemoveAll()
	}
}
