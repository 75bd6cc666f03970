package branch

import (
	"net/http"
	"strings"
)

// leave copies the pattern of the branch's router from the branch's copy of the request to
// r. It also removes the files of a form that was parsed on the copy, because net/http does
// so only for its own request. It runs deferred, so that a component that recovers or logs
// a panic has the route too. before is the pattern at the time the branch was entered.
func leave(r, inside *http.Request, prefix, before string) {
	if inside.Pattern != before && r.Pattern == before {
		r.Pattern = joinPattern(prefix, inside.Pattern)
	}
	if form := inside.MultipartForm; form != nil && form != r.MultipartForm {
		_ = form.RemoveAll() // net/http ignores this error too
	}
}

// joinPattern puts prefix in front of the path of a pattern in the form of http.ServeMux:
// "[METHOD ][HOST]/[PATH]". Neither methods nor hosts contain a slash.
func joinPattern(prefix, pattern string) string {
	i := strings.IndexByte(pattern, '/')
	if i < 0 {
		return pattern // the pattern of another router: it has no path
	}
	return pattern[:i] + prefix + pattern[i:]
}
