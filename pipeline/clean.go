package pipeline

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/speakingtube/speakingtube/branch"
)

// cleanPaths keeps paths with empty or dot segments away from h. net/http
// passes them on as they came, and a file server then serves what a guard on
// the clean path was to protect.
func cleanPaths(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p := r.URL.Path
		if branch.IsClean(p) || p == "*" || p == "" && r.Method == http.MethodConnect {
			h.ServeHTTP(w, r)
			return
		}
		target, ok := cleanEscaped(r.URL.EscapedPath())
		if !ok || r.Method == http.MethodConnect {
			http.Error(w, "400 the path has empty or dot segments", http.StatusBadRequest)
			return
		}
		u := url.URL{Path: branch.PathBase(r), RawQuery: r.URL.RawQuery}
		// target is escaped already and must stay as it is.
		location := u.EscapedPath() + target
		if u.RawQuery != "" {
			location += "?" + u.RawQuery
		}
		http.Redirect(w, r, location, http.StatusTemporaryRedirect)
	})
}

// cleanEscaped removes empty and dot segments (also escaped dots) from an
// escaped path, segment by segment, keeping the escapes of the others and a
// slash at the end. It reports false where that takes an opinion on an escaped
// slash: whether it separates segments is for the application to say, and
// components differ about it.
func cleanEscaped(escaped string) (string, bool) {
	var out []string
	for seg := range strings.SplitSeq(escaped, "/") {
		plain, err := url.PathUnescape(seg)
		if err != nil {
			return "", false
		}
		switch plain {
		case "", ".":
			continue
		case "..":
			if len(out) > 0 {
				if strings.Contains(strings.ToLower(out[len(out)-1]), "%2f") {
					return "", false
				}
				out = out[:len(out)-1]
			}
			continue
		}
		if strings.Contains(plain, "/") && !branch.IsClean("/"+plain) {
			return "", false
		}
		out = append(out, seg)
	}
	cleaned := "/" + strings.Join(out, "/")
	if strings.HasSuffix(escaped, "/") && cleaned != "/" {
		cleaned += "/"
	}
	// An escaped slash beside a plain one is an empty segment that stays.
	plain, err := url.PathUnescape(cleaned)
	return cleaned, err == nil && branch.IsClean(plain)
}
