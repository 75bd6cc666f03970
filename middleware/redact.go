package middleware

import (
	"net/url"
	"slices"
	"strings"
)

// namesSecret says of a name, of a header or parameter, whether its value is to
// be kept out of sight.
type namesSecret func(name string) bool

// isOneOf matches whole names, ignoring case.
func isOneOf(names []string) namesSecret {
	return func(name string) bool {
		return slices.ContainsFunc(names, func(s string) bool { return strings.EqualFold(s, name) })
	}
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

// redactQuery takes the values of secret parameters out of a query; what it can't
// decode it leaves.
func redactQuery(query string, secret namesSecret) string {
	var sb strings.Builder
	for i, pair := range strings.Split(query, "&") {
		if i > 0 {
			sb.WriteByte('&')
		}
		key, _, hasValue := strings.Cut(pair, "=")
		plain, err := url.QueryUnescape(key)
		if err != nil || !hasValue || !secret(plain) {
			sb.WriteString(pair)
			continue
		}
		sb.WriteString(key)
		sb.WriteString("=xxx")
	}
	return sb.String()
}
