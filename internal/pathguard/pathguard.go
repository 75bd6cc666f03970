// Package pathguard holds what the components that match paths have in common: whether a
// path has escaped slashes, what a branch has declared about them, and how a request is
// refused so that the pipeline around can log and count it.
//
// It does not match paths: packages branch and middleware do.
package pathguard

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/speakingtube/speakingtube/internal/httpx"
)

// The reasons of refusals and redirects. Applications use them as labels, so they are few
// and constant.
const (
	Unclean    = "empty or dot segments"
	HiddenDots = "dot segments beside an escaped slash"
	Ambiguous  = "an escaped slash would decide which component gets the request"
	NUL        = "a NUL byte"
	Connect    = "CONNECT without a protocol"
	Asterisk   = "the target * with another method than OPTIONS"
)

// EscapedSlash reports whether the path of u has an escaped slash. A RawPath that is not an
// encoding of Path does not count, because net/url ignores it: a component has rewritten
// Path.
func EscapedSlash(u *url.URL) bool {
	return u.RawPath != "" && escapedSlash(u.RawPath, u.Path)
}

func escapedSlash(raw, p string) bool {
	found := false
	i := 0 // index in p
	for j := 0; j < len(raw); i++ {
		if i == len(p) {
			return false
		}
		b := raw[j]
		if b == '%' {
			if j+2 >= len(raw) {
				return false
			}
			hi, lo := Unhex(raw[j+1]), Unhex(raw[j+2])
			if hi < 0 || lo < 0 {
				return false
			}
			b = byte(hi<<4 | lo)
			found = found || b == '/'
			j += 2
		}
		if b != p[i] {
			return false
		}
		j++
	}
	return found && i == len(p)
}

// Unhex returns the value of a hexadecimal digit, or -1.
func Unhex(b byte) int {
	switch {
	case '0' <= b && b <= '9':
		return int(b - '0')
	case 'a' <= b && b <= 'f':
		return int(b-'a') + 10
	case 'A' <= b && b <= 'F':
		return int(b-'A') + 10
	}
	return -1
}

// ValidRaw escapes the bytes of an escaped path that net/url does not accept in RawPath.
// With such a byte, EscapedPath ignores RawPath, and the escaped slashes are lost.
func ValidRaw(raw string) string {
	n := 0
	for i := range len(raw) {
		if !isPathByte(raw[i]) {
			n++
		}
	}
	if n == 0 {
		return raw
	}
	const hex = "0123456789ABCDEF"
	b := make([]byte, 0, len(raw)+2*n)
	for i := range len(raw) {
		if c := raw[i]; isPathByte(c) {
			b = append(b, c)
		} else {
			b = append(b, '%', hex[c>>4], hex[c&15])
		}
	}
	return string(b)
}

// isPathByte reports whether net/url accepts c in an escaped path.
func isPathByte(c byte) bool {
	return httpx.IsAlphanumeric(c) || strings.IndexByte("-_.~!$&'()*+,;=:@[]%/", c) >= 0
}

// State is what the components above have declared about requests with an escaped slash. No
// other request carries it.
type State struct {
	// Report is told about each refusal, with the request as the refusing component has it.
	Report func(r *http.Request, status int, reason string)

	// Data: escaped slashes are data, and never separate segments.
	Data bool
}

// node is a State in its role as a node of the request's context.
type node struct {
	context.Context
	state State
	req   http.Request
}

type key struct{}

// Value implements context.Context.
func (n *node) Value(k any) any {
	if k == (key{}) {
		return n
	}
	return n.Context.Value(k)
}

// From returns the State of a request.
func From(r *http.Request) State {
	if n, ok := r.Context().Value(key{}).(*node); ok {
		return n.state
	}
	return State{}
}

// With returns a copy of r with the State.
func With(r *http.Request, s State) *http.Request {
	n := &node{Context: r.Context(), state: s}
	n.req = *r.WithContext(n)
	return &n.req
}

// Refuse answers a request, and reports it.
func Refuse(w http.ResponseWriter, r *http.Request, status int, reason string) {
	if report := From(r).Report; report != nil {
		report(r, status, reason)
	}
	Answer(w, status, reason)
}

// Answer answers a refused request.
func Answer(w http.ResponseWriter, status int, reason string) {
	http.Error(w, strconv.Itoa(status)+" "+http.StatusText(status)+": "+reason, status)
}
