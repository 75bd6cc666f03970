package branch

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"strings"

	"github.com/speakingtube/speakingtube/internal/httpx"
	"github.com/speakingtube/speakingtube/internal/pathguard"
)

// CheckPrefix returns an error if a path prefix is invalid. A prefix begins with a slash,
// does not end with one, and has no empty and no dot segments. It is compared with the
// decoded path, so it is written decoded: "/a b", not "/a%20b".
//
// CheckPrefix also refuses a prefix that looks like something else: a pattern ("{name}"
// anywhere in a segment, a segment that begins with ":name", or begins or ends with "*"), a
// method in front, percent escapes, a query ("?"), a fragment ("#"), and control
// characters. MapOptions.Literal accepts these.
func CheckPrefix(prefix string) error { return CheckPrefixWith(prefix, MapOptions{}) }

// CheckPrefixWith is [CheckPrefix] for [MapWith] and the other functions with MapOptions.
func CheckPrefixWith(prefix string, opts MapOptions) error {
	switch {
	case prefix == "":
		return errors.New("the prefix is empty: it would match every request; add the components to the main line instead")
	case prefix == "/":
		return errors.New(`the prefix is "/": it would match every request; add the components to the main line instead`)
	case prefix[0] != '/':
		if method, p, ok := strings.Cut(prefix, " "); ok && strings.HasPrefix(p, "/") {
			return fmt.Errorf("the prefix %q has a method in front: write %q, and choose by the method with branch.Method(%q)", prefix, p, method)
		}
		return fmt.Errorf("the prefix %q must begin with a slash: %q", prefix, "/"+strings.TrimRight(prefix, "/"))
	}
	if !opts.Literal { // before the check for a trailing slash: "/files/{path...}/" is a pattern
		if err := checkLookalike(prefix); err != nil {
			return fmt.Errorf("%w; MapOptions.Literal accepts it", err)
		}
	}
	switch {
	case prefix[len(prefix)-1] == '/':
		return fmt.Errorf("the prefix %q must not end with a slash: %q matches everything below it as well", prefix, strings.TrimRight(prefix, "/"))
	case !IsClean(prefix):
		return fmt.Errorf("the prefix %q has empty or dot segments and would never match: write %q", prefix, clean(prefix))
	}
	return nil
}

// checkLookalike returns an error if the prefix looks like a pattern, a URL or an escaped
// path.
func checkLookalike(prefix string) error {
	for seg := range strings.SplitSeq(prefix, "/") {
		open := strings.IndexByte(seg, '{')
		switch {
		case open >= 0 && strings.IndexByte(seg[open:], '}') > 0,
			len(seg) > 1 && seg[0] == ':',
			strings.HasPrefix(seg, "*") || strings.HasSuffix(seg, "*"):
			return fmt.Errorf("the prefix %q looks like a pattern (%q), but is compared literally: give patterns to an http.ServeMux (middleware.Endpoints puts one into a pipeline), or map the part before it", prefix, seg)
		}
	}
	for i := 0; i+2 < len(prefix); i++ {
		if prefix[i] == '%' && pathguard.Unhex(prefix[i+1]) >= 0 && pathguard.Unhex(prefix[i+2]) >= 0 {
			return fmt.Errorf("the prefix %q has a percent escape, but is compared with the decoded path: write %q", prefix, decode(prefix))
		}
	}
	switch i := strings.IndexAny(prefix, "?#"); {
	case i < 0:
	case prefix[i] == '?':
		return fmt.Errorf("the prefix %q has a query, which is not part of the path: choose by the query with branch.Query", prefix)
	default:
		return fmt.Errorf("the prefix %q has a fragment, which clients do not send: write %q", prefix, prefix[:i])
	}
	if strings.ContainsFunc(prefix, httpx.IsControl) {
		return fmt.Errorf("the prefix %q has a control character", prefix)
	}
	return nil
}

// decode replaces the valid percent escapes of a text.
func decode(s string) string {
	var sb strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) && pathguard.Unhex(s[i+1]) >= 0 && pathguard.Unhex(s[i+2]) >= 0 {
			sb.WriteByte(byte(pathguard.Unhex(s[i+1])<<4 | pathguard.Unhex(s[i+2])))
			i += 2
			continue
		}
		sb.WriteByte(s[i])
	}
	return sb.String()
}

// Covers reports whether Map(outer) matches every path that Map(inner) would match, so that
// a Map of inner behind one of outer is never reached.
func Covers(outer, inner string) bool {
	return CoversWith(outer, MapOptions{}, inner, MapOptions{})
}

// CoversWith is [Covers] for two [MapWith]. If outer matches case and inner does not, outer
// covers inner only if outer has no letters.
func CoversWith(outer string, outerOpts MapOptions, inner string, innerOpts MapOptions) bool {
	if outerOpts.MatchCase && !innerOpts.MatchCase && strings.ContainsFunc(outer, func(c rune) bool {
		return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
	}) {
		return false
	}
	return matchLen(inner, outer, outerOpts.MatchCase) >= 0
}

// IsClean reports whether a decoded path begins with a slash and has no empty and no dot
// segments. A trailing slash is clean.
func IsClean(p string) bool {
	if p == "" || p[0] != '/' {
		return false
	}
	for i := 0; i < len(p); i++ {
		if p[i] != '/' {
			continue
		}
		// A slash must not be followed by a slash, nor by a "." or ".." segment.
		rest := p[i+1:]
		if len(rest) > 0 && rest[0] == '.' {
			rest = rest[1:]
			if len(rest) > 0 && rest[0] == '.' {
				rest = rest[1:]
			}
			if rest == "" || rest[0] == '/' {
				return false
			}
		} else if len(rest) > 0 && rest[0] == '/' {
			return false
		}
	}
	return true
}

// clean returns the canonical form of a decoded path: rooted, without empty and dot
// segments, with a trailing slash kept. It does not allocate if p is clean.
func clean(p string) string {
	if IsClean(p) {
		return p
	}
	c := path.Clean("/" + p)
	if strings.HasSuffix(p, "/") && c != "/" {
		c += "/"
	}
	return c
}

// matchLen returns the number of bytes of the clean path p that the prefix matches, or -1
// if p is neither the prefix nor below it. Only whole segments match; the case of ASCII
// letters is ignored unless matchCase.
func matchLen(p, prefix string, matchCase bool) int {
	n := len(prefix)
	if len(p) < n || len(p) > n && p[n] != '/' {
		return -1
	}
	if p[:n] == prefix {
		return n
	}
	if matchCase {
		return -1
	}
	for i := 0; i < n; i++ {
		if lower(p[i]) != lower(prefix[i]) {
			return -1
		}
	}
	return n
}

// matchBoth matches a path with an escaped slash in both ways: with the slash as data, as
// http.ServeMux reads it, and as a separator, as components do that read the decoded path
// and clean it. raw is the escaped path, cleaned.
func matchBoth(u *url.URL, raw, prefix string, matchCase bool) (asData, asSeparator bool) {
	return matchesEscaped(raw, prefix, matchCase), matchLen(clean(u.Path), prefix, matchCase) >= 0
}

// cleanRaw returns the path of u, which has an escaped slash, without the empty and dot
// segments between plain slashes: escaped, and decoded. It does not allocate if there are
// none.
func cleanRaw(u *url.URL) (raw, p string) {
	if isCleanEscaped(u.RawPath) {
		return u.RawPath, u.Path
	}
	raw, _ = cleanEscaped(u.RawPath)
	p, err := url.PathUnescape(raw)
	if err != nil {
		panic(err) // EscapedSlash has decoded it
	}
	return raw, p
}

// isCleanEscaped reports whether an escaped path begins with a slash and has no empty and
// no dot segments between plain slashes. A trailing slash is clean.
func isCleanEscaped(raw string) bool {
	if raw == "" || raw[0] != '/' {
		return false
	}
	for rest, more := raw[1:], true; more; {
		var seg string
		seg, rest, more = strings.Cut(rest, "/")
		if seg == "" && more || isDots(seg) {
			return false
		}
	}
	return true
}

// isDots reports whether an escaped segment is "." or "..".
func isDots(seg string) bool {
	n := 0
	for ; seg != "" && n < 3; n++ {
		switch {
		case seg[0] == '.':
			seg = seg[1:]
		case len(seg) >= 3 && seg[:2] == "%2" && (seg[2] == 'e' || seg[2] == 'E'):
			seg = seg[3:]
		default:
			return false
		}
	}
	return n == 1 || n == 2
}

// matchesEscaped reports whether the escaped path raw is prefix or below it. Only its plain
// slashes separate segments.
func matchesEscaped(raw, prefix string, matchCase bool) bool {
	j := 0 // index in raw
	for i := 0; i < len(prefix); i++ {
		if j == len(raw) {
			return false
		}
		b, size := raw[j], 1
		if b == '%' {
			b, size = byte(pathguard.Unhex(raw[j+1])<<4|pathguard.Unhex(raw[j+2])), 3
			if b == '/' {
				return false
			}
		}
		if b != prefix[i] && (matchCase || lower(b) != lower(prefix[i])) {
			return false
		}
		j += size
	}
	return j == len(raw) || raw[j] == '/'
}

// hasDotSegment reports whether a decoded path has a "." or ".." segment.
func hasDotSegment(p string) bool {
	for seg := range strings.SplitSeq(p, "/") {
		if seg == "." || seg == ".." {
			return true
		}
	}
	return false
}

func lower(b byte) byte {
	if 'A' <= b && b <= 'Z' {
		return b + 'a' - 'A'
	}
	return b
}
