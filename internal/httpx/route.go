package httpx

import "strings"

// RouteBelow puts base, the path of the branches around, in front of a pattern's path.
// Branches ignore the case of ASCII letters by default, so the client chooses it: base is
// written in lower case, which keeps the number of different routes small.
func RouteBelow(base, pattern string) string {
	i := strings.IndexByte(pattern, '/')
	if base == "" || i < 0 {
		return pattern
	}
	return pattern[:i] + strings.ToLower(base) + pattern[i:]
}
