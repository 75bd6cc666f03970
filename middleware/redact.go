package middleware

import (
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/speakingtube/speakingtube/internal/httpx"
)

// secretMatcher reports whether the value of a header or parameter with this name must not
// be shown.
type secretMatcher func(name string) bool

// isOneOf matches whole names, ignoring case.
func isOneOf(names []string) secretMatcher {
	var lengths uint64 // a bit for each length; one lookup avoids most comparisons
	for _, s := range names {
		lengths |= 1 << min(len(s), 63)
	}
	return func(name string) bool {
		if lengths&(1<<min(len(name), 63)) == 0 && isASCII(name) { // non-ASCII names fold to other lengths
			return false
		}
		return slices.ContainsFunc(names, func(s string) bool { return strings.EqualFold(s, name) })
	}
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// looksSecret matches names that contain a word typical of secrets. It rather redacts too
// much.
func looksSecret(name string) bool {
	name = strings.ToLower(name)
	for _, word := range []string{"token", "secret", "password", "passwd", "key", "session", "auth", "cookie", "credential", "signature", "csrf", "xsrf", "assertion", "jwt"} {
		if strings.Contains(name, word) {
			return true
		}
	}
	return false
}

// unescaped returns a part of a query decoded, or unchanged if that fails.
func unescaped(s string) string {
	if strings.ContainsAny(s, "%+") {
		if plain, err := url.QueryUnescape(s); err == nil {
			return plain
		}
	}
	return s
}

// isSecretValue reports whether a value of a query is recognisable as a secret, whatever the
// name of its parameter.
func isSecretValue(value string) bool {
	return strings.HasPrefix(unescaped(value), httpx.ConnectionTokenPrefix)
}

// redactQuery redacts the values of secret parameters in a query, and secret values. A part
// that can't be decoded stays. Without secrets it returns the query itself.
func redactQuery(query string, secret secretMatcher) string {
	var sb strings.Builder
	kept := 0 // length of the part of query that is already in sb, or omitted from it
	for at := 0; at < len(query); {
		pair, _, _ := strings.Cut(query[at:], "&")
		key, value, hasValue := strings.Cut(pair, "=")
		if hasValue && (secret(unescaped(key)) || isSecretValue(value)) {
			end := at + len(pair)
			sb.WriteString(query[kept : end-len(value)])
			sb.WriteString("xxx")
			kept = end
		}
		at += len(pair) + len("&")
	}
	if kept == 0 {
		return query
	}
	sb.WriteString(query[kept:])
	return sb.String()
}
