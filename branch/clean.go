package branch

import (
	"net/http"
	"net/url"
	"strings"
)

// CleanPaths makes a handler that keeps paths with empty or dot segments away
// from next. net/http passes them on as they came, and routers read them each
// in its own way: a file server then serves what a guard on the clean path was
// to protect, and "/admin/%2e%2e/x" is "/x" to one and below "/admin/" to the
// other. The handlers that package pipeline builds begin with it; without
// package pipeline, put it in front of everything.
//
// An unclean path is redirected to the clean one with status 307, behind the
// PathBase, as http.ServeMux does. It is answered 400 where only interpreting an
// escaped slash would make it clean, and for CONNECT. "*" (OPTIONS) and the
// empty path of CONNECT pass. Dots count as dots also when they are escaped
// (once). A path that is not rooted, as http.StripPrefix leaves it and as it is in
// "GET http://example.com", is handed on with a slash in front.
//
// Behind http.StripPrefix the redirect lacks what that has taken off: put
// CleanPaths in front of it, or use Map or UsePathBase instead.
//
// It panics if next is nil.
func CleanPaths(next http.Handler) http.Handler {
	mustHandler("CleanPaths", next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p := r.URL.Path
		if IsClean(p) || p == "*" || p == "" && r.Method == http.MethodConnect {
			next.ServeHTTP(w, r)
			return
		}
		if r.Method != http.MethodConnect && IsClean("/"+p) {
			serveRooted(next, w, r)
			return
		}
		target, ok := cleanEscaped(r.URL.EscapedPath())
		if !ok || r.Method == http.MethodConnect {
			http.Error(w, "400 the path has empty or dot segments", http.StatusBadRequest)
			return
		}
		location := escapedPathBase(r) + target // target is escaped already and must stay as it is
		if q := r.URL.RawQuery; q != "" {
			location += "?" + q
		}
		http.Redirect(w, r, location, http.StatusTemporaryRedirect)
	})
}

// serveRooted gives h a copy of r with a slash in front of the path.
func serveRooted(h http.Handler, w http.ResponseWriter, r *http.Request) {
	u, inside := *r.URL, *r
	u.Path = "/" + u.Path
	if u.RawPath != "" {
		u.RawPath = "/" + u.RawPath
	}
	inside.URL = &u
	defer leave(r, &inside, "", r.Pattern)
	h.ServeHTTP(w, &inside)
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
		out = append(out, seg)
	}
	cleaned := "/" + strings.Join(out, "/")
	if strings.HasSuffix(escaped, "/") && cleaned != "/" {
		cleaned += "/"
	}
	// What escaped slashes hide stays: an empty segment beside a plain slash, or
	// dot segments between them.
	plain, err := url.PathUnescape(cleaned)
	return cleaned, err == nil && IsClean(plain)
}
