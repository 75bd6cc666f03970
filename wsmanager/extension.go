package wsmanager

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/gobwas/ws/wsflate"

	"github.com/speakingtube/speakingtube/internal/httpx"
)

const deflateExtension = "permessage-deflate"

var errMalformedExtensions = errors.New("the Sec-WebSocket-Extensions are malformed")

// negotiateDeflate returns the Sec-WebSocket-Extensions to answer a handshake with: the
// first offer of permessage-deflate that can be met, or "" for none. An offer that can't is
// declined, and the next looked at (RFC 7692, section 5.1); a header that is malformed
// fails the handshake (RFC 6455, section 9.1).
func negotiateDeflate(lines []string) (answer string, err error) {
	for name, params := range extensions(strings.Join(lines, ","), &err) {
		if name == deflateExtension && answer == "" {
			answer = answerDeflate(params)
		}
	}
	if err != nil {
		return "", err
	}
	return answer, nil
}

// answerDeflate returns the answer to an offer of permessage-deflate (RFC 7692,
// section 7.1), "" to decline it.
//
// Neither side takes its context over; both may be demanded by the server whatever the
// client has said. Our compressor has one window only, the biggest: an offer that
// allows us less is declined. What a client says of its own window needs no answer: we
// can inflate whatever it chooses.
func answerDeflate(params []extensionParam) string {
	answer := deflateExtension + "; server_no_context_takeover; client_no_context_takeover"
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
				return "" // too small, or no number of bits
			}
			answer += "; server_max_window_bits=15" // accepted by being said
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

// checkDeflateAnswer checks the Sec-WebSocket-Extensions of a server's 101 to a client
// that has offered deflateOffer, and reports whether compression was agreed on. An
// answer that does not match the offer fails the handshake (RFC 6455, section 4.1; RFC
// 7692, section 7.1).
//
// The server has to give up its context, as we keep none to inflate with; it can't bound
// our window, as the offer does not allow it. Its own window may be of any size.
func checkDeflateAnswer(lines []string) (agreed bool, err error) {
	if len(lines) > 1 {
		return false, badExtensions("it has the Sec-WebSocket-Extensions twice") // RFC 6455, section 11.3.2
	}
	for name, params := range extensions(strings.Join(lines, ","), &err) {
		switch {
		case name != deflateExtension:
			return false, badExtensions("it has the extension %q, which was not offered", name)
		case agreed:
			return false, badExtensions("it has %s twice", name)
		}
		agreed = true
		serverForgets := false
		for i, p := range params {
			valid := !p.has
			switch p.name {
			case "server_no_context_takeover":
				serverForgets = true
			case "client_no_context_takeover":
			case "server_max_window_bits":
				valid = p.has && isWindowBits(p.value)
			default: // client_max_window_bits as well: it was not offered
				return false, badExtensions("its %s has the parameter %q, which was not offered", name, p.name)
			}
			if !valid || slices.ContainsFunc(params[:i], func(other extensionParam) bool { return other.name == p.name }) {
				return false, badExtensions("its %s has a bad %s", name, p.name)
			}
		}
		if !serverForgets {
			return false, badExtensions("its %s lacks server_no_context_takeover, which was asked for", name)
		}
	}
	if err != nil {
		return false, badExtensions("%w", err)
	}
	return agreed, nil
}

func badExtensions(format string, args ...any) error {
	return fmt.Errorf(format, args...)
}

// deflateOffer is what a client offers: nobody keeps a context (the server is asked, and
// told of us). Without client_max_window_bits the server can't bound our window: our
// compressor has one only.
var deflateOffer = wsflate.Parameters{ServerNoContextTakeover: true, ClientNoContextTakeover: true}.Option()

// isWindowBits reports whether s is 8 to 15, without leading zeros.
func isWindowBits(s string) bool {
	switch s {
	case "8", "9", "10", "11", "12", "13", "14", "15":
		return true
	}
	return false
}

type extensionParam struct {
	name, value string
	has         bool // a value
}

// extensions walks a list of extensions as RFC 6455, section 9.1, has them. *err is
// set if there is anything else in it.
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
				*err = errMalformedExtensions
				return
			}
			if !yield(name, params) {
				return
			}
		}
	}
}

// extensionScanner takes a header apart.
type extensionScanner struct {
	rest string
	bad  bool // something was not what it has to be
}

func (s *extensionScanner) skipSpace() { s.rest = strings.TrimLeft(s.rest, " \t") }

func (s *extensionScanner) done() bool {
	s.skipSpace()
	return s.rest == ""
}

// take takes a character if it comes next.
func (s *extensionScanner) take(c byte) bool {
	if s.done() || s.rest[0] != c {
		return false
	}
	s.rest = s.rest[1:]
	return true
}

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

// value takes a token, or a quoted one.
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
		s.bad = s.bad || !httpx.IsTokenChar(c) // also when it is unquoted: RFC 6455, section 9.1
		b.WriteByte(c)
	}
	s.bad = true
	return ""
}
