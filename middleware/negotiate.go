package middleware

import (
	"strings"

	"github.com/speakingtube/speakingtube/internal/httpx"
)

// form is one of the three forms of an error answer.
type form int

// In order of preference if the client has none.
const (
	formText form = iota
	formJSON
	formHTML
	forms
)

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
// the most specific matching range applies. The highest quality wins; among equals the form
// named more specifically, then the one named first. Without a header, or if nothing fits,
// it is text, unless text is refused and another form is not.
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
	best := forms
	for f := range forms {
		if seen[f].q > 0 && (best == forms || seen[f].beats(seen[best])) {
			best = f
		}
	}
	for f := formText; best == forms && f < forms; f++ {
		if seen[f].rank == rankNone {
			best = f // not requested, but not refused either
		}
	}
	if best == forms {
		return formText
	}
	return best
}

func (m *match) take(r mediaRange, f form, at int) {
	rank := r.rank(f)
	switch {
	case rank == rankNone, rank == rankVariant && r.q == 0:
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
	case r.family+"/"+r.subtype == alias:
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
