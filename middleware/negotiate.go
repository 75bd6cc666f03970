package middleware

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/speakingtube/speakingtube/internal/httpx"
	"github.com/speakingtube/speakingtube/pipeline"
)

// form is one of the three forms of an error answer.
type form int

// In order of preference if the client has none.
const (
	formJSON form = iota
	formText
	formHTML
	forms
)

// Format is the format of error answers, see [ProblemFormat].
type Format int

// The formats of error answers.
const (
	FormatNegotiated Format = iota // by the request's Accept header; the default
	FormatJSON                     // application/problem+json
	FormatHTML
	FormatText
)

type formatKey struct{}

// ProblemFormat fixes the format of the error answers to the requests that reach it, for
// example in the branch of an API: those of [WriteProblem], [Recover], [StatusPages] and
// [DeveloperErrorPage], also of those above it. The Accept header is not read then, and the
// answers do not vary by it.
//
// The last ProblemFormat that a request reaches applies until the end of the request, also
// if a UseWhen has rejoined the main line. FormatNegotiated restores the default.
//
//go:noinline
func ProblemFormat(format Format) pipeline.Middleware {
	observed := pipeline.Observe(func(w http.ResponseWriter, r *http.Request, res *pipeline.Response, next http.Handler) {
		res.SetValue(formatKey{}, format)
		next.ServeHTTP(w, r)
	})
	return func(next http.Handler) http.Handler {
		if format < FormatNegotiated || format > FormatText {
			panic(&pipeline.ConfigError{Component: "middleware.ProblemFormat", Problem: fmt.Sprintf("%d is not a format: use FormatJSON, FormatHTML, FormatText or FormatNegotiated", format)})
		}
		return observed(next)
	}
}

// formOf selects the form of an error answer, and reports whether it is negotiated.
func formOf(r *http.Request) (f form, negotiated bool) {
	if res, ok := pipeline.ResponseFrom(r.Context()); ok {
		switch res.Value(formatKey{}) {
		case FormatJSON:
			return formJSON, false
		case FormatHTML:
			return formHTML, false
		case FormatText:
			return formText, false
		}
	}
	return preferred(r.Header.Values("Accept")), true
}

// maxAccept is the maximum number of bytes of Accept headers that are parsed. Browsers send
// 150.
const maxAccept = 8 << 10

// The ranks of a media range: how specifically it names a form.
const (
	rankNone    = iota
	rankAny     // */*
	rankFamily  // text/*
	rankVariant // the type with a parameter that ours lacks
	rankAlias   // a type that the same clients can read
	rankExact   // the type that is sent
)

// match is the best match of the Accept header for one form.
type match struct {
	rank int
	q    int // in thousandths
	at   int // number of ranges before this one
}

// preferred selects a form by the Accept header (RFC 9110, section 12.5.1). For each form
// the most specific matching range applies. The highest quality wins; among equals JSON wins
// over text, and HTML wins over a form that is named less specifically or later. Without a
// header, or if nothing fits, it is JSON, unless JSON is refused and another form is not.
//
// Ranges that can't be parsed are ignored one by one. Ranges with parameters that our types
// lack are for other variants of a type, so they never refuse a form. If no better range
// names the type, they match it, because a client that requests application/json;profile=x
// prefers JSON to text.
func preferred(accept []string) form {
	var seen [forms]match
	at, left := 0, maxAccept
	for _, line := range accept {
		if len(line) > left {
			// The range at the cut is incomplete.
			line = line[:left]
			line = line[:strings.LastIndexByte(line, ',')+1]
			left = 0
		} else {
			left -= len(line)
		}
		for line != "" {
			var item string
			item, line = cutItem(line)
			if r, ok := parseRange(item); ok {
				at++
				for f := range forms {
					seen[f].take(r, f, at)
				}
			}
		}
	}
	json, text, html := seen[formJSON], seen[formText], seen[formHTML]
	switch {
	case html.q > 0 && html.beats(json) && html.beats(text):
		return formHTML
	case text.q > 0 && text.q > json.q:
		return formText
	case json.q > 0:
		return formJSON
	}
	for f := range forms {
		if seen[f].rank == rankNone {
			return f // not requested, but not refused either
		}
	}
	return formJSON
}

func (m *match) take(r mediaRange, f form, at int) {
	rank := r.rank(f)
	switch {
	case rank == rankNone, r.q == 0 && (rank == rankVariant || r.suffix && rank == rankAlias):
	case rank > m.rank, rank == m.rank && r.q > m.q:
		*m = match{rank, r.q, at}
	}
}

func (m match) beats(other match) bool {
	switch {
	case m.q != other.q:
		return m.q > other.q
	case m.rank != other.rank && (m.rank < rankVariant || other.rank < rankVariant):
		return m.rank > other.rank
	default:
		return m.at < other.at
	}
}

// mediaRange is one item of an Accept header.
type mediaRange struct {
	family, subtype string // "*" matches any
	params          bool   // it has parameters that our types lack
	suffix          bool   // the subtype ends with +json (RFC 6839)
	q               int
}

// rank returns how specifically r names the type of f, or an alias of it.
func (r mediaRange) rank(f form) int {
	family, subtype, alias := "text", "plain", ""
	switch f {
	case formHTML:
		subtype, alias = "html", "application/xhtml+xml"
	case formJSON:
		family, subtype, alias = "application", "problem+json", "application/json"
	}
	rank := rankNone
	switch {
	case r.family == "*":
		rank = rankAny
	case r.family == family && r.subtype == "*":
		rank = rankFamily
	case r.family == family && r.subtype == subtype:
		rank = rankExact
	case r.family+"/"+r.subtype == alias, f == formJSON && r.suffix:
		rank = rankAlias
	}
	if r.params && rank != rankNone {
		if rank < rankVariant {
			return rankNone
		}
		return rankVariant
	}
	return rank
}

// parseRange parses one item: type "/" subtype, parameters and a weight.
func parseRange(item string) (r mediaRange, ok bool) {
	name, rest := cutParam(item)
	family, subtype, found := strings.Cut(strings.ToLower(strings.Trim(name, " \t")), "/")
	if !found || !httpx.IsToken(family) || !httpx.IsToken(subtype) || family == "*" && subtype != "*" {
		return r, false
	}
	r = mediaRange{family: family, subtype: subtype, q: 1000}
	r.suffix = strings.HasSuffix(subtype, "+json") && subtype != "problem+json"
	weighed := false
	for rest != "" {
		var p string
		p, rest = cutParam(rest)
		p = strings.Trim(p, " \t")
		if p == "" {
			continue // RFC 9110, section 5.6.6: parameters may be empty
		}
		key, value, found := strings.Cut(p, "=")
		switch {
		case weighed:
			// Parameters after the weight do not describe the type (RFC 7231 had extensions
			// here, RFC 9110 dropped them).
		case !found || !httpx.IsToken(key):
			return r, false
		case strings.EqualFold(key, "q"):
			if r.q, ok = parseQuality(value); !ok {
				return r, false
			}
			weighed = true
		case strings.EqualFold(key, "charset") && strings.EqualFold(strings.Trim(value, `"`), "utf-8"):
			// Our type has the parameter.
		default:
			r.params = true
		}
	}
	return r, true
}

// parseQuality parses a qvalue into thousandths.
func parseQuality(s string) (int, bool) {
	whole, fraction, _ := strings.Cut(s, ".")
	if whole != "0" && whole != "1" || len(fraction) > 3 {
		return 0, false
	}
	q := int(whole[0] - '0')
	for i := range 3 {
		q *= 10
		if i < len(fraction) {
			if fraction[i] < '0' || fraction[i] > '9' {
				return 0, false
			}
			q += int(fraction[i] - '0')
		}
	}
	return q, q <= 1000
}

// cutItem cuts a list at the first comma outside a quoted string. A string that is not
// closed includes the rest of the line.
func cutItem(s string) (item, rest string) { return cutUnquoted(s, ',') }

func cutParam(s string) (param, rest string) { return cutUnquoted(s, ';') }

func cutUnquoted(s string, sep byte) (before, after string) {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case c == sep && !quoted:
			return s[:i], s[i+1:]
		}
	}
	return s, ""
}
