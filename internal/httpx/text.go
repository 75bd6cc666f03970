package httpx

import "strings"

// Truncate returns s as valid UTF-8 and, if it is longer than limit bytes, only its
// beginning and " …". It is for text in logs and pages that a client chooses the
// length of.
func Truncate(s string, limit int) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "") + " …"
}
