package middleware

import (
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"
)

// namesSecret says of a name, of a header or parameter, whether its value is to
// be kept out of sight.
type namesSecret func(name string) bool

// isOneOf matches whole names, ignoring case.
func isOneOf(names []string) namesSecret {
	var lengths uint64 // a bit for each; one look spares most comparisons
	for _, s := range names {
		lengths |= 1 << min(len(s), 63)
	}
	return func(name string) bool {
		if lengths&(1<<min(len(name), 63)) == 0 && isASCII(name) { // others fold to other lengths
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

// soundsSecret matches names with a word in them that is seldom said of something
// public. It would rather hide too much.
func soundsSecret(name string) bool {
	name = strings.ToLower(name)
	for _, word := range []string{"token", "secret", "password", "passwd", "key", "session", "auth", "cookie", "credential", "signature", "csrf", "xsrf", "assertion", "jwt"} {
		if strings.Contains(name, word) {
			return true
		}
	}
	return false
}

// unescaped is a part of a query decoded, or as it is where that fails.
func unescaped(s string) string {
	if strings.ContainsAny(s, "%+") {
		if plain, err := url.QueryUnescape(s); err == nil {
			return plain
		}
	}
	return s
}

// redactQuery takes the values of secret parameters out of a query; what it can't
// decode it leaves. Where there is no secret it returns the query itself.
func redactQuery(query string, secret namesSecret) string {
	var sb strings.Builder
	kept := 0 // how much of the query is in sb, or left out of it
	for at := 0; at < len(query); {
		pair, _, _ := strings.Cut(query[at:], "&")
		key, value, hasValue := strings.Cut(pair, "=")
		if hasValue && secret(unescaped(key)) {
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
