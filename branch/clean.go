package branch

import (
	"net/http"
	"net/url"
	"strings"
)

// CleanPaths returns a handler that keeps paths with empty or dot segments away from next.
// net/http passes such paths on unchanged, and routers interpret them differently: a file
// server may serve a file that a guard on the clean path was meant to protect, and
// "/admin/%2e%2e/x" is "/x" to one router and below "/admin/" to another. The handlers that
// package pipeline builds begin with CleanPaths. Without package pipeline, put it in front
// of everything.
//
// An unclean path is redirected to the clean one with status 307, behind the PathBase, as
// http.ServeMux does. The answer is 400 if the path could only be cleaned by interpreting
// an escaped slash, and for CONNECT. "*" (OPTIONS) and the empty path of CONNECT pass. An
// escaped dot counts as a dot (escaped once). A path without a leading slash, as left by
// http.StripPrefix and as in "GET http://example.com", is passed on with a slash in front.
//
// Behind http.StripPrefix the redirect lacks the stripped prefix: put CleanPaths in front
// of it, or use Map or UsePathBase instead.
//
// CleanPaths panics if next is nil.
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
		location := escapedPathBase(r) + target // target is already escaped and must stay unchanged
		if q := r.URL.RawQuery; q != "" {
			location += "?" + q
		}
		http.Redirect(w, r, location, http.StatusTemporaryRedirect)
	})
}

// serveRooted calls h with a copy of r that has a slash in front of the path.
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

// cleanEscaped removes empty and dot segments (also escaped dots) from an escaped path,
// segment by segment. It keeps the escapes of the other segments and a trailing slash. It
// returns false if cleaning requires a decision about an escaped slash: whether such a
// slash separates segments is for the application to decide, and components differ.
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
	// Segments that escaped slashes hide remain: an empty segment beside a plain slash, or
	// dot segments between escaped slashes.
	plain, err := url.PathUnescape(cleaned)
	return cleaned, err == nil && IsClean(plain)
}
