package branch

import (
	"net/http"
	"strings"
)

// leave hands up what the branch learned on its copy of the request: the
// pattern of its router, and it removes the files of a form that was parsed on
// the copy, which net/http does for its own request only. It runs deferred, so
// that a component that recovers or logs a panic knows the route as well.
// before is what the pattern was when the branch was entered.
func leave(r, inside *http.Request, prefix, before string) {
	if inside.Pattern != before && r.Pattern == before {
		r.Pattern = joinPattern(prefix, inside.Pattern)
	}
	if form := inside.MultipartForm; form != nil && form != r.MultipartForm {
		_ = form.RemoveAll() // net/http drops this error as well
	}
}

// joinPattern puts prefix in front of the path of a pattern that has the form
// of http.ServeMux: "[METHOD ][HOST]/[PATH]". Neither methods nor hosts have a
// slash.
func joinPattern(prefix, pattern string) string {
	i := strings.IndexByte(pattern, '/')
	if i < 0 {
		return pattern // some other router's: no path to put anything in front of
	}
	return pattern[:i] + prefix + pattern[i:]
}
