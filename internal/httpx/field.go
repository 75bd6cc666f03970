package httpx

import (
	"iter"
	"strings"
)

// IsAlphanumeric reports whether c is an ASCII letter or digit.
func IsAlphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// IsTokenChar reports whether c is a tchar (RFC 9110, section 5.6.2).
func IsTokenChar(c byte) bool {
	return IsAlphanumeric(c) || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}

// IsToken reports whether s is a token (RFC 9110, section 5.6.2), as the names of
// headers are.
func IsToken(s string) bool {
	for i := range len(s) {
		if !IsTokenChar(s[i]) {
			return false
		}
	}
	return s != ""
}

// IsControl reports whether r is an ASCII control character, DEL included.
func IsControl(r rune) bool { return r < ' ' || r == 0x7f }

// IsFieldValue reports whether net/http sends s as the value of a header without
// changing it. A line break, for example, would begin another header (RFC 9110,
// section 5.5).
func IsFieldValue(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return IsControl(r) && r != '\t' })
}

// ListItems walks the items of a header that is a list (RFC 9110, section 5.6.1).
// lines are the values of the header. Empty items are left out. A comma in a quoted
// string separates items as well, so ListItems is for lists of tokens.
func ListItems(lines []string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, line := range lines {
			for item := range strings.SplitSeq(line, ",") {
				if item = strings.Trim(item, " \t"); item != "" && !yield(item) {
					return
				}
			}
		}
	}
}

// ListContains reports whether a header that is a list of tokens contains token,
// ignoring case.
func ListContains(lines []string, token string) bool {
	for item := range ListItems(lines) {
		if strings.EqualFold(item, token) {
			return true
		}
	}
	return false
}
