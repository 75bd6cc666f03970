package branch

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/speakingtube/speakingtube/internal/pathguard"
)

// Predicate reports whether a request takes a branch. It is called for each request, also
// concurrently, and must not read the body.
type Predicate = func(*http.Request) bool

// The constructors below are not inlined, so that a predicate keeps the name of its
// constructor, which package pipeline prints.

var standardMethods = []string{"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"}

// Method returns a predicate for requests with one of the given methods, compared
// case-sensitively as HTTP requires. It panics without methods, or with one such as "get".
//
//go:noinline
func Method(methods ...string) Predicate {
	mustNotBeEmpty("Method", len(methods))
	for _, m := range methods {
		if up := strings.ToUpper(m); up != m && slices.Contains(standardMethods, up) {
			panic(fmt.Sprintf("branch.Method: %q would never hold, as methods are compared exactly: write %q", m, up))
		}
	}
	methods = slices.Clone(methods)
	return func(r *http.Request) bool { return slices.Contains(methods, r.Method) }
}

// Header returns a predicate for requests that have the header, with one of the values if
// any are given, compared case-sensitively. It does not split comma-separated lists. The
// Host header is not in r.Header: use [Host].
//
//go:noinline
func Header(name string, values ...string) Predicate {
	if name == "" {
		panic("branch.Header: the name is empty")
	}
	key := http.CanonicalHeaderKey(name)
	values = slices.Clone(values)
	return func(r *http.Request) bool {
		have, ok := r.Header[key]
		return ok && (len(values) == 0 || slices.ContainsFunc(have, func(v string) bool { return slices.Contains(values, v) }))
	}
}

// Host returns a predicate for requests to one of the given hosts. It ignores case and
// port. "*.example.com" stands for every name below example.com, but not for example.com
// itself. It panics without hosts.
//
// The client chooses the Host header: select content by it, but never grant permissions by
// it.
//
//go:noinline
func Host(hosts ...string) Predicate {
	mustNotBeEmpty("Host", len(hosts))
	hosts = slices.Clone(hosts)
	return func(r *http.Request) bool {
		name := hostname(r.Host)
		return slices.ContainsFunc(hosts, func(h string) bool {
			if below, ok := strings.CutPrefix(h, "*"); ok && strings.HasPrefix(below, ".") {
				return len(name) > len(below) && strings.EqualFold(name[len(name)-len(below):], below)
			}
			return strings.EqualFold(name, h)
		})
	}
}

// hostname removes the port, and the brackets of an IPv6 address.
func hostname(hostport string) string {
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		return h
	}
	return strings.TrimSuffix(strings.TrimPrefix(hostport, "["), "]")
}

// Query returns a predicate for requests whose query has the key, with one of the values if
// any are given. A key without a value ("?trace") has the value "". Pairs that net/url
// refuses are skipped.
//
//go:noinline
func Query(key string, values ...string) Predicate {
	values = slices.Clone(values)
	return func(r *http.Request) bool {
		for q := r.URL.RawQuery; q != ""; {
			var pair string
			pair, q, _ = strings.Cut(q, "&")
			if pair == "" || strings.Contains(pair, ";") {
				continue
			}
			k, v, _ := strings.Cut(pair, "=")
			if !queryEqual(k, key) {
				continue
			}
			if len(values) == 0 {
				if _, err := url.QueryUnescape(v); err == nil {
					return true
				}
				continue
			}
			if slices.ContainsFunc(values, func(want string) bool { return queryEqual(v, want) }) {
				return true
			}
		}
		return false
	}
}

// queryEqual compares an escaped part of a query with a plain text.
func queryEqual(escaped, plain string) bool {
	if !strings.ContainsAny(escaped, "%+") {
		return escaped == plain
	}
	s, err := url.QueryUnescape(escaped)
	return err == nil && s == plain
}

// Port returns a predicate for requests that came in on the given local TCP port: the port
// that the server listens on, not the one in the Host header. It needs net/http's server,
// which records the local address in the request's context.
//
//go:noinline
func Port(port int) Predicate {
	return func(r *http.Request) bool {
		addr, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
		return ok && addr.Port == port
	}
}

// Path returns a predicate for requests on or below prefix, by the rules of [Map]. The path
// stays unchanged. It panics if prefix is invalid (see [CheckPrefix]).
//
// If an escaped slash decides whether it holds, [When] and [UseWhen] refuse the request,
// unless the other predicates make up for the difference. A caller of the predicate itself
// gets the result for a slash that separates segments.
//
//go:noinline
func Path(prefix string) Predicate {
	mustPrefix("Path", prefix, MapOptions{})
	return func(r *http.Request) bool { return isBelow(r, prefix, false) }
}

// PathWith is [Path] by the rules of [MapWith]. PreservePath makes no difference, because a
// predicate does not change the path. It panics if prefix is invalid (see
// [CheckPrefixWith]).
//
//go:noinline
func PathWith(prefix string, opts MapOptions) Predicate {
	mustPrefix("PathWith", prefix, opts)
	return func(r *http.Request) bool { return isBelow(r, prefix, opts.MatchCase) }
}

func isBelow(r *http.Request, prefix string, matchCase bool) bool {
	if !pathguard.EscapedSlash(r.URL) {
		return matchLen(clean(r.URL.Path), prefix, matchCase) >= 0
	}
	raw, _ := cleanRaw(r.URL)
	asData, asSeparator := matchBoth(r.URL, raw, prefix, matchCase)
	if asData == asSeparator || pathguard.From(r).Data {
		return asData
	}
	read, ok := r.Context().Value(readingKey{}).(*reading)
	if !ok {
		return asSeparator
	}
	read.differs = true
	if read.asData {
		return asData
	}
	return asSeparator
}

// And returns a predicate that holds if all of the given predicates hold. They are
// evaluated in order, up to the first that does not hold. It panics without predicates or
// if one is nil.
//
//go:noinline
func And(ps ...Predicate) Predicate {
	ps = mustPredicates("And", ps)
	return func(r *http.Request) bool {
		for _, p := range ps {
			if !p(r) {
				return false
			}
		}
		return true
	}
}

// Or returns a predicate that holds if at least one of the given predicates holds. They are
// evaluated in order, up to the first that holds. It panics without predicates or if one is
// nil.
//
//go:noinline
func Or(ps ...Predicate) Predicate {
	ps = mustPredicates("Or", ps)
	return func(r *http.Request) bool {
		for _, p := range ps {
			if p(r) {
				return true
			}
		}
		return false
	}
}

// Not returns a predicate that holds if p does not. It panics if p is nil.
//
//go:noinline
func Not(p Predicate) Predicate {
	mustPredicate("Not", p)
	return func(r *http.Request) bool { return !p(r) }
}

func mustPredicates(fn string, ps []Predicate) []Predicate {
	mustNotBeEmpty(fn, len(ps))
	for _, p := range ps {
		mustPredicate(fn, p)
	}
	return slices.Clone(ps)
}

func mustNotBeEmpty(fn string, n int) {
	if n == 0 {
		panic("branch." + fn + ": no arguments: it would never hold")
	}
}
