package deflate

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/speakingtube/speakingtube/internal/httpx"
)

const extensionName = "permessage-deflate"

// ErrMalformed reports an answer that is not a list of extensions (RFC 6455, section 9.1).
var ErrMalformed = errors.New("the Sec-WebSocket-Extensions are malformed")

// Negotiate returns the Sec-WebSocket-Extensions value with which a server answers the
// client's header lines: an answer to the first acceptable offer of permessage-deflate, or ""
// if none is acceptable (RFC 7692, section 5.1).
//
// It declines all offers of a list that it cannot parse, one with a semicolon at the end for
// example. RFC 6455, section 9.1, says that such a list fails the handshake. But a server
// without compression does not parse the list, and the same client must not fail because
// compression was switched on.
func Negotiate(lines []string) (answer string) {
	var err error
	for name, params := range extensions(strings.Join(lines, ","), &err) {
		if name == extensionName && answer == "" {
			answer = answerOffer(params)
		}
	}
	if err != nil {
		return ""
	}
	return answer
}

// answerOffer returns the answer to an offer of permessage-deflate (RFC 7692, section
// 7.1), "" to decline it.
//
// The answer asks both sides not to take over their context, which a server may do whatever
// the offer says. compress/flate compresses only with a 15-bit window, so an offer of a
// smaller server window is declined. An offer of a smaller client window needs no answer,
// because Inflate accepts data of every window size.
func answerOffer(params []extensionParam) string {
	answer := extensionName + "; server_no_context_takeover; client_no_context_takeover"
	for i, p := range params {
		for _, other := range params[:i] {
			if other.name == p.name {
				return ""
			}
		}
		switch p.name {
		case "server_no_context_takeover", "client_no_context_takeover":
			if p.has {
				return ""
			}
		case "server_max_window_bits":
			if p.value != "15" {
				return "" // too small, or not a number of bits
			}
			answer += "; server_max_window_bits=15" // repeating it accepts it
		case "client_max_window_bits":
			if p.has && !isWindowBits(p.value) {
				return ""
			}
		default:
			return ""
		}
	}
	return answer
}

// CheckAnswer checks the Sec-WebSocket-Extensions of a server's answer to [Offer], and
// reports whether compression was agreed on. An answer that does not match the offer fails
// the handshake (RFC 6455, section 4.1; RFC 7692, section 7.1).
//
// The server must not take over its context, as [Inflate] keeps none. It must not limit the
// client's window, as the offer does not allow that. Its own window may have any size.
func CheckAnswer(lines []string) (agreed bool, err error) {
	if len(lines) > 1 {
		return false, errors.New("it has the Sec-WebSocket-Extensions twice") // RFC 6455, section 11.3.2
	}
	for name, params := range extensions(strings.Join(lines, ","), &err) {
		switch {
		case name != extensionName:
			return false, fmt.Errorf("it has the extension %q, which was not offered", name)
		case agreed:
			return false, fmt.Errorf("it has %s twice", name)
		}
		agreed = true
		serverResets := false
		for i, p := range params {
			valid := !p.has
			switch p.name {
			case "server_no_context_takeover":
				serverResets = true
			case "client_no_context_takeover":
			case "server_max_window_bits":
				valid = p.has && isWindowBits(p.value)
			default: // also client_max_window_bits
				return false, fmt.Errorf("its %s has the parameter %q, which was not offered", name, p.name)
			}
			if !valid || slices.ContainsFunc(params[:i], func(other extensionParam) bool { return other.name == p.name }) {
				return false, fmt.Errorf("its %s has a bad %s", name, p.name)
			}
		}
		if !serverResets {
			return false, fmt.Errorf("its %s lacks server_no_context_takeover, which was asked for", name)
		}
	}
	if err != nil {
		return false, err
	}
	return agreed, nil
}

// Offer is a client's offer: no side takes over its context. It has no
// client_max_window_bits, so the server must not limit the client's window: compress/flate
// has only the biggest.
const Offer = extensionName + "; server_no_context_takeover; client_no_context_takeover"

// isWindowBits reports whether s is a number from 8 to 15 without leading zeros.
func isWindowBits(s string) bool {
	switch s {
	case "8", "9", "10", "11", "12", "13", "14", "15":
		return true
	}
	return false
}

type extensionParam struct {
	name, value string
	has         bool // whether it has a value
}

// extensions iterates over a list of extensions (RFC 6455, section 9.1). It sets *err if
// the list is malformed.
func extensions(list string, err *error) iter.Seq2[string, []extensionParam] {
	return func(yield func(string, []extensionParam) bool) {
		s := extensionScanner{rest: list}
		for !s.done() {
			if s.take(',') {
				continue // an empty item: RFC 9110, section 5.6.1.2
			}
			name := s.token()
			var params []extensionParam
			for s.take(';') {
				p := extensionParam{name: s.token()}
				if p.has = s.take('='); p.has {
					p.value = s.value()
				}
				params = append(params, p)
			}
			if s.bad || !s.done() && !s.take(',') {
				*err = ErrMalformed
				return
			}
			if !yield(name, params) {
				return
			}
		}
	}
}

// extensionScanner reads the elements of a list of extensions.
type extensionScanner struct {
	rest string
	bad  bool // the list is malformed
}

func (s *extensionScanner) skipSpace() { s.rest = strings.TrimLeft(s.rest, " \t") }

func (s *extensionScanner) done() bool {
	s.skipSpace()
	return s.rest == ""
}

// take consumes c if it is the next character, and reports whether it is.
func (s *extensionScanner) take(c byte) bool {
	if s.done() || s.rest[0] != c {
		return false
	}
	s.rest = s.rest[1:]
	return true
}

// token consumes a token.
func (s *extensionScanner) token() string {
	s.skipSpace()
	n := 0
	for n < len(s.rest) && httpx.IsTokenChar(s.rest[n]) {
		n++
	}
	token := s.rest[:n]
	s.rest = s.rest[n:]
	s.bad = s.bad || n == 0
	return token
}

// value consumes a token, or a quoted one.
func (s *extensionScanner) value() string {
	if !s.take('"') {
		return s.token()
	}
	var b strings.Builder
	for s.rest != "" {
		c := s.rest[0]
		s.rest = s.rest[1:]
		if c == '"' {
			s.bad = s.bad || b.Len() == 0
			return b.String()
		}
		if c == '\\' && s.rest != "" {
			c = s.rest[0]
			s.rest = s.rest[1:]
		}
		s.bad = s.bad || !httpx.IsTokenChar(c) // the unquoted value must be a token (RFC 6455, section 9.1)
		b.WriteByte(c)
	}
	s.bad = true
	return ""
}
