package wsmanager

import "strings"

// isTokenChar reports whether a token may contain c (RFC 9110, section 5.6.2).
func isTokenChar(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}
