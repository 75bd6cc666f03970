package branch

import (
	"html"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/speakingtube/speakingtube/internal/httpx"
	"github.com/speakingtube/speakingtube/internal/pathguard"
)

// Link returns the URL with which a client reaches target from inside a branch. target is
// written as in a link, escaped:
//
//   - A rooted path with or without query and fragment ("/x?y#z") gets the escaped
//     [PathBase] in front. Dot segments, also escaped ones, are resolved first and don't
//     leave the PathBase; several slashes and backslashes at the beginning count as one
//     slash.
//   - A target with a scheme ("https://example.com/x", "mailto:…") is returned unchanged.
//   - Any other target ("x", "../x", "?page=2", "#top", "") is relative, to be resolved by
//     the client against its URL. It is returned unchanged. After an exact match (see
//     [Exact]) that URL has no trailing slash, so "x" is a sibling of the branch; use
//     [Redirect] or a rooted target in that case.
//
// Bytes that are not allowed in a URL (spaces, control characters, backslashes, non-ASCII
// text …) are escaped, "%" only if it does not begin an escape. So the result for a
// target without a scheme never names another host ("//host", "/\host"). A target with a
// scheme does: check targets from the client with [IsLocal].
//
// Outside any branch the PathBase is "".
func Link(r *http.Request, target string) string {
	if hasScheme(target) {
		return target
	}
	p, rest := cutPath(target)
	if p == "" || p[0] != '/' && p[0] != '\\' {
		return escape(target)
	}
	base, clean, tail := escapedPathBase(r), resolve(escape(rooted(p))), escape(rest)
	if base == "" && clean == p && tail == rest {
		return target // avoids the copy
	}
	return base + clean + tail
}

// Redirect answers with a redirect to target. It interprets target as [Link] does, except
// that it resolves relative targets itself, against the handler's path, and puts the
// PathBase in front. So "x" from a handler whose path is "/" leads below the branch, also
// after an exact match. "?page=2", "#top" and "" stand for the URL of the request itself,
// the latter two with its query.
//
// http.Redirect does not know the PathBase: in a branch it leads out of the branch. As with
// http.Redirect, code is a 3xx status, usually 302, 303, 307 or 308; a short HTML body is
// sent for GET unless the Content-Type is already set.
func Redirect(w http.ResponseWriter, r *http.Request, target string, code int) {
	location := escape(redirectTarget(r, target))
	h := w.Header()
	_, typed := h["Content-Type"]
	h.Set("Location", location)
	if typed || r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.WriteHeader(code)
		return
	}
	h.Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(code)
	if r.Method == http.MethodGet {
		_, _ = io.WriteString(w, `<a href="`+html.EscapeString(location)+`">`+http.StatusText(code)+"</a>.\n")
	}
}

func redirectTarget(r *http.Request, target string) string {
	p, rest := cutPath(target)
	switch {
	case hasScheme(target), p != "" && (p[0] == '/' || p[0] == '\\'):
		return Link(r, target)
	case p != "":
		here := rooted(r.URL.EscapedPath())
		return Link(r, here[:strings.LastIndexByte(here, '/')+1]+target)
	}
	if !strings.HasPrefix(rest, "?") && r.URL.RawQuery != "" {
		rest = "?" + r.URL.RawQuery + rest
	}
	if Exact(r) && r.URL.Path == "/" {
		return escapedPathBase(r) + rest
	}
	return Link(r, rooted(r.URL.EscapedPath())+rest)
}

// IsLocal reports whether target is a rooted path of this site ("/x?y#z") without anything
// that a client may interpret as another host: a second slash or a backslash after the
// first, or a control character. Check targets from the client, such as a return address,
// with it before a redirect. It corresponds to ASP.NET Core's IsLocalUrl.
func IsLocal(target string) bool {
	return target != "" && target[0] == '/' &&
		(len(target) == 1 || target[1] != '/' && target[1] != '\\') &&
		!strings.ContainsFunc(target, httpx.IsControl)
}

func escapedPathBase(r *http.Request) string {
	u := url.URL{Path: PathBase(r)}
	return u.EscapedPath()
}

// cutPath splits a reference after its path.
func cutPath(target string) (p, rest string) {
	if i := strings.IndexAny(target, "?#"); i >= 0 {
		return target[:i], target[i:]
	}
	return target, ""
}

// hasScheme reports whether a reference is absolute (RFC 3986, section 3.1).
func hasScheme(target string) bool {
	for i := 0; i < len(target); i++ {
		switch c := target[i]; {
		case 'a' <= lower(c) && lower(c) <= 'z':
		case i > 0 && ('0' <= c && c <= '9' || c == '+' || c == '-' || c == '.'):
		default:
			return i > 0 && c == ':'
		}
	}
	return false
}

// rooted replaces the slashes and backslashes at the beginning of p by one slash. Browsers
// treat a backslash as a slash.
func rooted(p string) string {
	rest := strings.TrimLeft(p, `/\`)
	if len(rest) == len(p)-1 && p[0] == '/' {
		return p
	}
	return "/" + rest
}

// resolve removes the dot segments of a rooted, escaped path (RFC 3986, section 5.2.4),
// also escaped ones, as browsers do. Empty segments stay, except those at the beginning.
func resolve(p string) string {
	if !strings.Contains(p, ".") && !strings.Contains(p, "%2") {
		return p
	}
	var out []string
	last := ""
	for seg := range strings.SplitSeq(p[1:], "/") {
		last = seg
		if strings.Contains(seg, "%2") {
			last = strings.ReplaceAll(strings.ReplaceAll(seg, "%2e", "."), "%2E", ".")
		}
		switch last {
		case ".":
		case "..":
			out = out[:max(0, len(out)-1)]
		default:
			out = append(out, seg)
		}
	}
	if last == "." || last == ".." {
		out = append(out, "")
	}
	return rooted("/" + strings.Join(out, "/"))
}

// escape escapes the bytes that a reference must not contain.
func escape(s string) string {
	n := 0
	for i := 0; i < len(s); i++ {
		if mustEscape(s, i) {
			n++
		}
	}
	if n == 0 {
		return s
	}
	const hex = "0123456789ABCDEF"
	b := make([]byte, 0, len(s)+2*n)
	for i := 0; i < len(s); i++ {
		if mustEscape(s, i) {
			b = append(b, '%', hex[s[i]>>4], hex[s[i]&15])
		} else {
			b = append(b, s[i])
		}
	}
	return string(b)
}

func mustEscape(s string, i int) bool {
	switch c := s[i]; c {
	case '"', '<', '>', '\\', '^', '`', '{', '|', '}':
		return true
	case '%':
		return i+2 >= len(s) || pathguard.Unhex(s[i+1]) < 0 || pathguard.Unhex(s[i+2]) < 0
	default:
		return c <= ' ' || c >= 0x7f
	}
}
