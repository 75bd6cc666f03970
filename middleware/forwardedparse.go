package middleware

import (
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/speakingtube/speakingtube/branch"
	"github.com/speakingtube/speakingtube/internal/httpx"
)

// hop is the entry of one proxy about a request. A value that the proxy did not write is
// "".
type hop struct {
	hasNode                   bool // the headers in use include one with addresses
	node, proto, host, prefix string

	malformed string // an invalid entry
}

// hops reads the headers from their ends: the entries of trusted proxies are read without
// parsing the part in front of them that a client may have written, and no more entries
// than requested.
type hops struct {
	rfc                            *entries
	nodes, protos, hosts, prefixes *entries // nil if not in use
	begun                          bool     // an entry was read
}

func (f *forwarder) hops(h http.Header) *hops {
	list := func(name string) *entries {
		if !f.uses(name) {
			return nil
		}
		return &entries{lines: h[name], quoted: name == headerRFC}
	}
	return &hops{rfc: list(headerRFC), nodes: list(headerFor), protos: list(headerProto), hosts: list(headerHost), prefixes: list(headerPrefix)}
}

// next returns the next hop. It returns false at the end of the addresses. If there are none,
// the first hop has the other values of the peer.
func (hs *hops) next() (h hop, ok bool) {
	if hs.rfc != nil {
		text, ok := hs.rfc.next()
		if !ok {
			return hop{}, false
		}
		if h, ok = parseElement(text); !ok {
			h = hop{malformed: strconv.Quote(text)}
		}
		return h, true
	}
	if hs.nodes != nil {
		// Empty members are ignored (RFC 9110, section 5.6.1): they are no proxy's entry.
		for h.node, h.hasNode = hs.nodes.next(); h.hasNode && h.node == ""; {
			h.node, h.hasNode = hs.nodes.next()
		}
		if !h.hasNode && hs.begun {
			return hop{}, false
		}
	}
	hs.begun = true
	for _, v := range []struct {
		from *entries
		to   *string
	}{{hs.protos, &h.proto}, {hs.hosts, &h.host}, {hs.prefixes, &h.prefix}} {
		if v.from != nil {
			*v.to, _ = v.from.next()
		}
	}
	return h, true
}

// entries iterates over the members of a header's list, from the last to the first, over
// all its lines. Empty members count, except those of addresses: without them, lists that
// belong together would be misaligned.
type entries struct {
	lines  []string
	quoted bool // commas may be in quoted strings

	rest   string // of the current line
	inside bool   // rest has a member
}

func (e *entries) next() (string, bool) {
	if !e.inside {
		if len(e.lines) == 0 {
			return "", false
		}
		e.rest, e.lines = e.lines[len(e.lines)-1], e.lines[:len(e.lines)-1]
	}
	i := strings.LastIndexByte(e.rest, ',')
	if e.quoted {
		i = lastComma(e.rest)
	}
	member := e.rest[i+1:]
	if e.inside = i >= 0; e.inside {
		e.rest = e.rest[:i]
	}
	return strings.Trim(member, " \t"), true
}

// lastComma returns the index of the last comma of s outside quoted strings, -1 if there is
// none. It scans from the end, which the proxy has written: in a scan from the front, an
// open quote of a client would hide the proxy's part.
func lastComma(s string) int {
	for i := len(s) - 1; i >= 0; i-- {
		switch s[i] {
		case ',':
			return i
		case '"': // the end of a string: find its beginning
			for i--; i >= 0; i-- {
				if s[i] == '"' && !escaped(s, i) {
					break
				}
			}
		}
	}
	return -1
}

// escaped reports whether s[i] is preceded by an odd number of backslashes.
func escaped(s string, i int) bool {
	n := 0
	for n < i && s[i-1-n] == '\\' {
		n++
	}
	return n%2 == 1
}

// parseElement parses a forwarded-element (RFC 7239 section 4). Unquoted values may contain
// characters that should be quoted, such as colons and brackets: many proxies write them
// so.
func parseElement(s string) (h hop, ok bool) {
	h.hasNode, h.node = true, "unknown"
	seen := map[string]bool{}
	for s != "" {
		s = strings.TrimLeft(s, " \t")
		if strings.HasPrefix(s, ";") { // empty pairs are allowed
			s = s[1:]
			continue
		}
		if s == "" {
			break
		}
		name, rest, found := strings.Cut(s, "=")
		name = strings.ToLower(name)
		if !found || !httpx.IsToken(name) || seen[name] {
			return hop{}, false
		}
		seen[name] = true
		var value string
		if value, s, ok = cutValue(rest); !ok {
			return hop{}, false
		}
		switch name {
		case "for":
			h.node = value
		case "proto":
			h.proto = value
		case "host":
			h.host = value
		}
	}
	return h, len(seen) > 0
}

// cutValue cuts off the value of a pair and the semicolon after it.
func cutValue(s string) (value, rest string, ok bool) {
	if strings.HasPrefix(s, `"`) {
		var sb strings.Builder
		i := 1
		for ; i < len(s) && s[i] != '"'; i++ {
			if s[i] == '\\' {
				i++
			}
			if i == len(s) || httpx.IsControl(rune(s[i])) && s[i] != '\t' {
				return "", "", false
			}
			sb.WriteByte(s[i])
		}
		if i == len(s) {
			return "", "", false // the string is not closed
		}
		value, rest = sb.String(), s[i+1:]
	} else {
		n := strings.IndexAny(s, "; \t")
		if n < 0 {
			n = len(s)
		}
		value, rest = s[:n], s[n:]
		if strings.ContainsAny(value, `",\`) {
			return "", "", false
		}
	}
	if rest = strings.TrimLeft(rest, " \t"); rest != "" && rest[0] != ';' {
		return "", "", false
	}
	return value, rest, true
}

// nodeKind is the kind of client address in an entry.
type nodeKind int

const (
	nodeMalformed nodeKind = iota
	nodeAddr
	nodeHidden // a proxy that withholds it
)

// parseNode parses a node (RFC 7239 section 6) or an entry of X-Forwarded-For: an address
// with or without brackets and port. Zones are refused: they have no meaning on another
// machine, and could contain any text.
func parseNode(s string) (netip.AddrPort, nodeKind) {
	if strings.EqualFold(s, "unknown") || len(s) > 1 && s[0] == '_' && isObfuscated(s[1:]) {
		return netip.AddrPort{}, nodeHidden
	}
	host, port := s, ""
	switch end := strings.LastIndexByte(s, ']'); {
	case strings.HasPrefix(s, "[") && end > 0:
		host, port = s[1:end], s[end+1:]
		if port != "" && port[0] != ':' || !strings.Contains(host, ":") {
			return netip.AddrPort{}, nodeMalformed
		}
	case strings.Count(s, ":") == 1:
		i := strings.IndexByte(s, ':')
		host, port = s[:i], s[i:]
	}
	var number uint64
	if port != "" {
		port = port[1:]
		if !(len(port) > 1 && port[0] == '_' && isObfuscated(port[1:])) {
			var err error
			if number, err = strconv.ParseUint(port, 10, 16); err != nil {
				return netip.AddrPort{}, nodeMalformed
			}
		}
	}
	addr, err := netip.ParseAddr(host)
	if err != nil || addr.Zone() != "" {
		return netip.AddrPort{}, nodeMalformed
	}
	return netip.AddrPortFrom(addr.Unmap(), uint16(number)), nodeAddr
}

func isObfuscated(s string) bool {
	for i := range len(s) {
		if c := s[i]; !httpx.IsAlphanumeric(c) && c != '.' && c != '_' && c != '-' {
			return false
		}
	}
	return true
}

// parseScheme also accepts the schemes that some proxies send for WebSocket handshakes.
func parseScheme(s string) (string, bool) {
	switch strings.ToLower(s) {
	case "http", "ws":
		return "http", true
	case "https", "wss":
		return "https", true
	}
	return "", false
}

// isHost reports whether s is a valid Host header: a name of ASCII letters, digits, dots,
// hyphens and underscores, or an address, optionally with a port. The other characters that
// RFC 3986 allows in a host are only useful for attacks.
func isHost(s string) bool {
	if len(s) > 255 {
		return false
	}
	var host, port string
	var hasPort bool
	if strings.HasPrefix(s, "[") {
		end := strings.IndexByte(s, ']')
		if end < 0 {
			return false
		}
		addr, err := netip.ParseAddr(s[1:end])
		if err != nil || !addr.Is6() || addr.Zone() != "" {
			return false
		}
		if host, port = "x", s[end+1:]; port != "" {
			if port[0] != ':' {
				return false
			}
			port, hasPort = port[1:], true
		}
	} else {
		host, port, hasPort = strings.Cut(s, ":")
	}
	if hasPort {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return false
		}
	}
	for i := range len(host) {
		if c := host[i]; !httpx.IsAlphanumeric(c) && c != '-' && c != '.' && c != '_' {
			return false
		}
	}
	return host != "" && host[0] != '.' && !strings.Contains(host, "..")
}

// hasPort requires that isHost has accepted host.
func hasPort(host string) bool {
	return strings.LastIndexByte(host, ':') > strings.LastIndexByte(host, ']')
}

// parsePathPrefix parses an X-Forwarded-Prefix, which is escaped as in a URL. "/" means no
// prefix and is not an error. Backslashes are refused because browsers treat them as
// slashes: a link to "/\evil.example/x" leaves the site.
func parsePathPrefix(s string) (base string, ok bool) {
	if s == "/" {
		return "", true
	}
	plain, err := url.PathUnescape(strings.TrimSuffix(s, "/"))
	if err != nil || branch.CheckPrefixWith(plain, branch.MapOptions{Literal: true}) != nil || strings.ContainsFunc(plain, func(c rune) bool { return httpx.IsControl(c) || c == '\\' }) ||
		strings.ContainsAny(s, "?#") {
		return "", false
	}
	return plain, true
}
