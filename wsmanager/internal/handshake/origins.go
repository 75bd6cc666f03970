package handshake

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/net/publicsuffix"
)

// Origins is a set of origins. The zero value is empty.
type Origins struct {
	listed    map[Origin]struct{}
	wildcards []wildcard
}

// Add adds an origin, or the origins of all subdomains: "https://*.example.com". The text of
// an error continues a sentence that begins with the origin.
func (s *Origins) Add(text string) error {
	if strings.Contains(text, "*") {
		w, err := parseWildcard(text)
		if err == nil {
			s.wildcards = append(s.wildcards, w)
		}
		return err
	}
	o, err := ParseOrigin(text)
	if err == nil && o.host == "" {
		err = errors.New("has no host")
	}
	if err != nil {
		return err
	}
	if s.listed == nil {
		s.listed = make(map[Origin]struct{})
	}
	s.listed[o] = struct{}{}
	return nil
}

// Contains reports whether the set contains the origin.
func (s *Origins) Contains(o Origin) bool {
	if _, ok := s.listed[o]; ok {
		return true
	}
	for i := range s.wildcards {
		if s.wildcards[i].matches(o) {
			return true
		}
	}
	return false
}

// wildcard stands for the origins of all subdomains of a domain.
type wildcard struct{ scheme, domain, port string }

func parseWildcard(text string) (w wildcard, err error) {
	if text == "*" {
		return w, errors.New("is not an origin: list the origins, or set DangerouslyAllowAny")
	}
	scheme, rest, _ := strings.Cut(text, "://")
	rest, first := strings.CutPrefix(rest, "*.")
	if !first || strings.Contains(scheme+rest, "*") {
		return w, errors.New("has a wildcard that is not the whole first label of a host: write https://*.example.com")
	}
	o, err := ParseOrigin(scheme + "://" + rest)
	switch {
	case err != nil:
		return w, err
	case defaultPort(o.scheme) == "":
		return w, errors.New("has a wildcard, which is only possible with https:// and http://")
	case !areLabels(o.host) || isNumeric(o.host[strings.LastIndexByte(o.host, '.')+1:]):
		return w, errors.New("has a wildcard before something that is not a domain")
	}
	if suffix, _ := publicsuffix.PublicSuffix("any." + o.host); len(suffix) >= len(o.host) {
		return w, fmt.Errorf("stands for the names below %q, which is a top-level name or a public suffix: anyone may own one of them", o.host)
	}
	return wildcard{o.scheme, o.host, o.port}, nil
}

// matches reports whether the origin is below the domain, and has the owner of the domain: a
// public suffix may lie between the two, such as s3.amazonaws.com below amazonaws.com.
func (w *wildcard) matches(o Origin) bool {
	if o.scheme != w.scheme || o.port != w.port {
		return false
	}
	sub, below := strings.CutSuffix(o.host, "."+w.domain)
	if !below || !areLabels(sub) {
		return false
	}
	suffix, _ := publicsuffix.PublicSuffix(o.host)
	return len(suffix) < len(w.domain)
}

// areLabels reports whether s consists of labels of domain names in lower case. An underscore
// is not allowed in a name of a host, but browsers accept it.
func areLabels(s string) bool {
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || strings.ContainsFunc(label, func(r rune) bool {
			return !('a' <= r && r <= 'z' || '0' <= r && r <= '9' || r == '-' || r == '_')
		}) {
			return false
		}
	}
	return true
}

// isNumeric reports whether browsers take a host with this last label for an IPv4 address
// (https://url.spec.whatwg.org/#ends-in-a-number-checker).
func isNumeric(label string) bool {
	digits := "0123456789"
	if hex, ok := strings.CutPrefix(label, "0x"); ok {
		label, digits = hex, "0123456789abcdef"
	}
	return strings.Trim(label, digits) == ""
}
