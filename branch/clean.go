package branch

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/speakingtube/speakingtube/internal/pathguard"
)

// Refusal is an answer that a request gets because of its path or target, before it reaches
// a component.
type Refusal struct {
	Status int    // 307 is the redirect to the clean path; the others are 400 and 405
	Reason string // one of few constant texts, suitable as a label of a metric
}

// CleanPathsOptions configure [CleanPathsWith].
type CleanPathsOptions struct {
	// OnRefused, if set, is called for each request that CleanPaths does not pass on, or
	// redirects, and for each that a Map, UsePathBase, When or another component behind it
	// refuses because of an escaped slash. It must be safe for concurrent use. It must not
	// change r, which is the request as the refusing component has it.
	OnRefused func(r *http.Request, refusal Refusal)

	// PreferOuter leaves a report to the OnRefused of a CleanPaths around this one, if there
	// is one and it is known: for requests with an escaped slash. Default: the innermost
	// OnRefused is called.
	PreferOuter bool
}

// CleanPaths returns a handler that keeps paths with empty or dot segments away from next.
// net/http passes such paths on unchanged, and routers interpret them differently: a file
// server may serve a file that a guard on the clean path was meant to protect, and
// "/admin/%2e%2e/x" is "/x" to one router and below "/admin/" to another. The handlers that
// package pipeline builds begin with CleanPaths. Without package pipeline, put it in front
// of everything.
//
// An unclean path is redirected to the clean one with status 307, behind the PathBase, as
// http.ServeMux does. An escaped dot counts as a dot (escaped once). These are answered
// with 400: dot segments beside an escaped slash, which could only be removed by
// interpreting that slash; a path with a NUL byte ("%00"); and CONNECT, except for the
// extended CONNECT of HTTP/2 (RFC 8441) with a clean path. The target "*" is 405 except for
// OPTIONS.
//
// Other escaped slashes pass, because they are data to next: "/files/https%3A%2F%2Fx" has
// two segments. [Map] and the other components that match paths refuse a request if its
// escaped slashes decide whether they match.
//
// A path without a leading slash, as left by http.StripPrefix and as in "GET
// http://example.com", is passed on with a slash in front.
//
// Behind http.StripPrefix the redirect lacks the stripped prefix: put CleanPaths in front
// of it, or use Map or UsePathBase instead.
//
// CleanPaths panics if next is nil.
func CleanPaths(next http.Handler) http.Handler {
	mustHandler("CleanPaths", next)
	return &cleanPaths{next: next}
}

// CleanPathsWith is [CleanPaths] with options. It panics if next is nil.
func CleanPathsWith(opts CleanPathsOptions, next http.Handler) http.Handler {
	mustHandler("CleanPathsWith", next)
	c := &cleanPaths{next: next, preferOuter: opts.PreferOuter}
	if opts.OnRefused != nil {
		c.report = func(r *http.Request, status int, reason string) {
			opts.OnRefused(r, Refusal{Status: status, Reason: reason})
		}
	}
	return c
}

type cleanPaths struct {
	next        http.Handler
	report      func(r *http.Request, status int, reason string)
	preferOuter bool
}

func (c *cleanPaths) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	u := r.URL
	if u.RawPath != "" && pathguard.EscapedSlash(u) || !IsClean(u.Path) || r.Method == http.MethodConnect || strings.IndexByte(u.Path, 0) >= 0 {
		c.serveSpecial(w, r)
		return
	}
	c.next.ServeHTTP(w, r)
}

// serveSpecial serves a request whose path or method is not an ordinary one.
func (c *cleanPaths) serveSpecial(w http.ResponseWriter, r *http.Request) {
	u := r.URL
	switch {
	case r.Method == http.MethodConnect && (r.ProtoMajor < 2 || u.Path == ""):
		c.refuse(w, r, http.StatusBadRequest, pathguard.Connect)
	case u.Path == "*" && r.Method == http.MethodOptions:
		c.next.ServeHTTP(w, r)
	case u.Path == "*":
		w.Header().Set("Allow", http.MethodOptions)
		c.refuse(w, r, http.StatusMethodNotAllowed, pathguard.Asterisk)
	case strings.IndexByte(u.Path, 0) >= 0:
		c.refuse(w, r, http.StatusBadRequest, pathguard.NUL)
	case !strings.HasPrefix(u.Path, "/") && r.Method != http.MethodConnect:
		c.serveRooted(w, r)
	case pathguard.EscapedSlash(u):
		c.serveEscaped(w, r)
	case IsClean(u.Path):
		c.next.ServeHTTP(w, r)
	default:
		c.redirect(w, r, u.EscapedPath())
	}
}

// serveRooted serves a request with a slash in front of its path.
func (c *cleanPaths) serveRooted(w http.ResponseWriter, r *http.Request) {
	u, inside := *r.URL, *r
	u.Path = "/" + u.Path
	if u.RawPath != "" {
		u.RawPath = "/" + u.RawPath
	}
	inside.URL = &u
	defer leave(r, &inside, "", r.Pattern)
	c.ServeHTTP(w, &inside)
}

// serveEscaped serves a request with an escaped slash in its path.
func (c *cleanPaths) serveEscaped(w http.ResponseWriter, r *http.Request) {
	raw := pathguard.ValidRaw(r.URL.RawPath)
	if !isCleanEscaped(raw) || hasDotSegment(r.URL.Path) {
		c.redirect(w, r, raw)
		return
	}
	inside := r
	state, report := pathguard.From(r), c.reporter(r)
	if report != nil || raw != r.URL.RawPath {
		state.Report = report
		inside = pathguard.With(r, state)
		u := *r.URL
		u.RawPath = raw
		inside.URL = &u
	}
	if inside != r {
		defer leave(r, inside, "", r.Pattern)
	}
	c.next.ServeHTTP(w, inside)
}

// redirect answers a request for an unclean path, given escaped.
func (c *cleanPaths) redirect(w http.ResponseWriter, r *http.Request, escaped string) {
	target, ok := cleanEscaped(escaped)
	if !ok {
		c.refuse(w, r, http.StatusBadRequest, pathguard.HiddenDots)
		return
	}
	if r.Method == http.MethodConnect {
		c.refuse(w, r, http.StatusBadRequest, pathguard.Unclean)
		return
	}
	location := escapedPathBase(r) + target // target is already escaped and must stay unchanged
	if q := r.URL.RawQuery; q != "" {
		location += "?" + q
	}
	c.tell(r, http.StatusTemporaryRedirect, pathguard.Unclean)
	http.Redirect(w, r, location, http.StatusTemporaryRedirect)
}

// refuse answers a request that no component may see. The connection closes: the client may
// have more to send that is no request.
func (c *cleanPaths) refuse(w http.ResponseWriter, r *http.Request, status int, reason string) {
	c.tell(r, status, reason)
	if r.ProtoMajor < 2 {
		w.Header().Set("Connection", "close")
	}
	pathguard.Answer(w, status, reason)
}

func (c *cleanPaths) tell(r *http.Request, status int, reason string) {
	if report := c.reporter(r); report != nil {
		report(r, status, reason)
	}
}

// reporter returns the function that is told about a refusal of r, here or further inside.
func (c *cleanPaths) reporter(r *http.Request) func(*http.Request, int, string) {
	if outer := pathguard.From(r).Report; outer != nil && (c.preferOuter || c.report == nil) {
		return outer
	}
	return c.report
}

// cleanEscaped removes empty and dot segments (also escaped dots) from an escaped path,
// segment by segment, where only plain slashes separate segments. It keeps the escapes of
// the other segments and a trailing slash. ok is false if an escaped slash leaves a
// decision about dot segments to the application, whose components differ.
func cleanEscaped(escaped string) (cleaned string, ok bool) {
	var out []string
	ok = true
	for seg := range strings.SplitSeq(escaped, "/") {
		plain, err := url.PathUnescape(seg)
		if err != nil {
			return escaped, false
		}
		switch plain {
		case "", ".":
			continue
		case "..":
			if len(out) > 0 {
				if strings.Contains(strings.ToLower(out[len(out)-1]), "%2f") {
					ok = false
				}
				out = out[:len(out)-1]
			}
			continue
		}
		ok = ok && !hasDotSegment(plain) // between escaped slashes
		out = append(out, seg)
	}
	cleaned = "/" + strings.Join(out, "/")
	if strings.HasSuffix(escaped, "/") && cleaned != "/" {
		cleaned += "/"
	}
	return cleaned, ok
}
