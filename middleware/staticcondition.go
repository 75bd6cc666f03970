package middleware

import (
	"net/http"
	"strings"
	"time"
)

// preconditions evaluates a conditional GET or HEAD (RFC 9110, section 13.2.2) for a file with
// these validators. etag is "" and modified is zero if the file has none. It returns 200 if the
// request is to be answered, 304 or 412.
func preconditions(h http.Header, etag string, modified time.Time) int {
	if lines, ok := fieldLines(h, "If-Match"); ok {
		if !matchesAny(lines, func(tag string) bool { return tag == etag && !isWeak(tag) }) {
			return http.StatusPreconditionFailed
		}
	} else if since, ok := dateField(h, "If-Unmodified-Since"); ok && !modified.IsZero() && modified.After(since) {
		return http.StatusPreconditionFailed
	}
	if lines, ok := fieldLines(h, "If-None-Match"); ok {
		opaque := strings.TrimPrefix(etag, "W/")
		if matchesAny(lines, func(tag string) bool { return strings.TrimPrefix(tag, "W/") == opaque }) {
			return http.StatusNotModified
		}
	} else if since, ok := dateField(h, "If-Modified-Since"); ok && !modified.IsZero() && !modified.After(since) {
		return http.StatusNotModified
	}
	return http.StatusOK
}

// rangeOf returns the Range header of a GET, or "" if the whole file is to be sent: If-Range
// (RFC 9110, section 13.1.5) names another version.
func rangeOf(r *http.Request, etag string, modified time.Time) string {
	header := r.Header.Get("Range")
	if r.Method != http.MethodGet || header == "" { // section 14.2: only GET has ranges
		return ""
	}
	condition := strings.Trim(r.Header.Get("If-Range"), " \t")
	if condition == "" {
		return header
	}
	if tag, _ := cutETag(condition); tag != "" {
		if tag == etag && !isWeak(tag) {
			return header
		}
		return ""
	}
	if at, err := http.ParseTime(condition); err != nil || modified.IsZero() || !at.Equal(modified) {
		return ""
	}
	return header
}

// fieldLines returns the lines of a header. ok is false if all of them are empty.
func fieldLines(h http.Header, name string) (lines []string, ok bool) {
	lines = h[name]
	for _, line := range lines {
		if strings.Trim(line, " \t") != "" {
			return lines, true
		}
	}
	return nil, false
}

func dateField(h http.Header, name string) (time.Time, bool) {
	t, err := http.ParseTime(h.Get(name))
	return t, err == nil
}

func isWeak(tag string) bool { return strings.HasPrefix(tag, "W/") }

// matchesAny reports whether a list of ETags, on any number of lines, is "*" or has one that
// matches. A line is read up to its first error.
func matchesAny(lines []string, match func(tag string) bool) bool {
	for _, line := range lines {
		for {
			line = strings.TrimLeft(line, " \t,")
			if strings.HasPrefix(line, "*") {
				return true
			}
			var tag string
			if tag, line = cutETag(line); tag == "" {
				break
			}
			if match(tag) {
				return true
			}
		}
	}
	return false
}

// cutETag cuts s after the ETag (RFC 9110, section 8.8.3) that it begins with. tag is "" if
// it begins with something else.
func cutETag(s string) (tag, rest string) {
	start := 0
	if isWeak(s) {
		start = len("W/")
	}
	if len(s) <= start || s[start] != '"' {
		return "", ""
	}
	for i := start + 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			return s[:i+1], s[i+1:]
		case c <= ' ' || c == 0x7f:
			return "", ""
		}
	}
	return "", ""
}
