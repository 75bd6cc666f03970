package handshake

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// Origin is a web origin (RFC 6454) in its comparable form. For http and https that is
// lower case and always with a port. The other schemes are those of apps and extensions:
// "capacitor://localhost", "chrome-extension://ID". They have no default port, and a host
// that browsers do not normalise, so only the scheme is in lower case.
type Origin struct{ scheme, host, port string }

// String returns the origin as scheme://host:port, or scheme://host for an origin without a
// port.
func (o Origin) String() string {
	return o.scheme + "://" + o.hostPort(o.port)
}

func (o Origin) hostPort(port string) string {
	if port != "" {
		return net.JoinHostPort(o.host, port)
	}
	if strings.Contains(o.host, ":") {
		return "[" + o.host + "]"
	}
	return o.host
}

// url returns the origin as a browser sends it: without the default port.
func (o Origin) url() *url.URL {
	port := o.port
	if port == defaultPort(o.scheme) {
		port = ""
	}
	return &url.URL{Scheme: o.scheme, Host: o.hostPort(port)}
}

// ParseOrigin parses an origin as a browser sends it in the Origin header. Anything
// beyond scheme, host and port is an error, whose text continues a sentence that begins
// with the origin. Origins that different applications share are errors too: "null", and
// those of files.
func ParseOrigin(s string) (Origin, error) {
	if len(s) > maxOrigin {
		return Origin{}, errors.New("is longer than any origin")
	}
	u, err := url.Parse(s)
	if err != nil {
		return Origin{}, errors.New("is not a URL")
	}
	scheme := strings.ToLower(u.Scheme)
	if err := checkScheme(s, scheme); err != nil {
		return Origin{}, err
	}
	port := defaultPort(scheme)
	web := port != ""
	switch {
	case web && u.Hostname() == "":
		return Origin{}, errors.New("has no host")
	case !strings.HasPrefix(u.Host, "[") && strings.ContainsAny(u.Hostname(), `:[]<>\^|`): // forbidden by the URL standard
		return Origin{}, errors.New("has an invalid host")
	case strings.Contains(s, "*"):
		return Origin{}, errors.New("has a wildcard")
	case strings.ContainsFunc(s, func(r rune) bool { return r > 0x7f || r == '%' }):
		return Origin{}, errors.New("has a host that no browser sends: write it in its ASCII form (xn--…)")
	case u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "" || strings.HasSuffix(s, "?") || strings.HasSuffix(s, "#"):
		return Origin{}, errors.New("must be scheme, host and port only, without a slash at the end")
	}
	switch p := u.Port(); {
	case p != "":
		if n, err := strconv.ParseUint(p, 10, 16); err != nil || n == 0 || p[0] == '0' {
			return Origin{}, errors.New("has an invalid port")
		}
		port = p
	case !web && strings.HasSuffix(s, ":"):
		return Origin{}, errors.New("has an invalid port")
	}
	host := u.Hostname()
	if web {
		host = strings.ToLower(host)
	}
	return Origin{scheme, normalIP(host), port}, nil
}

// normalIP returns a host that is an IPv6 address in the one of its forms that browsers send
// (https://url.spec.whatwg.org/#concept-ipv6-serializer), and all other hosts unchanged.
func normalIP(host string) string {
	ip, err := netip.ParseAddr(host)
	switch {
	case err != nil:
		return host
	case ip.Is4In6(): // netip writes the end with dots
		b := ip.As16()
		return fmt.Sprintf("::ffff:%x:%x", binary.BigEndian.Uint16(b[12:]), binary.BigEndian.Uint16(b[14:]))
	}
	return ip.String()
}

// checkScheme returns why no origin of one application can have this scheme. s is the whole
// origin.
func checkScheme(s, scheme string) error {
	switch {
	case s == "null":
		return errors.New("is the origin of pages without one, which any site can make: only DangerouslyAllowAny accepts it")
	case scheme == "file":
		return errors.New("is the origin of all files on a device: only DangerouslyAllowAny accepts it")
	case scheme == "ws" || scheme == "wss":
		return errors.New(`has the scheme of a WebSocket: the origin of its page begins with "http://" or "https://"`)
	case scheme == "" || !strings.HasPrefix(s[len(scheme):], "://"):
		return errors.New(`must begin with "https://", "http://" or the scheme of an app and "://"`)
	}
	return nil
}

// maxOrigin is the length of a scheme, the longest DNS name and a port.
const maxOrigin = len("chrome-extension://") + 255 + len(":65535")

// defaultPort returns the port of http and https, "" for other schemes.
func defaultPort(scheme string) string {
	switch scheme {
	case "http":
		return "80"
	case "https":
		return "443"
	}
	return ""
}

// checkOrigin returns why the origin of the request may not connect, or nil.
func (cfg *ServerConfig) checkOrigin(r *http.Request) error {
	headers := r.Header["Origin"]
	if len(headers) == 0 || cfg.AnyOrigin { // browsers always send an origin
		return nil
	}
	if len(headers) > 1 {
		return errors.New("the request has more than one Origin header")
	}
	from, err := ParseOrigin(headers[0])
	if err != nil {
		return errors.New("the origin " + err.Error())
	}
	if cfg.AllowedOrigins.Contains(from) {
		return nil
	}
	if from.isHost(r.Host) {
		if from.scheme == "https" || r.TLS == nil && !cfg.SecureOriginsOnly {
			return nil
		}
		return errors.New("the origin is this host without TLS: anyone on the network path may have written the page")
	}
	if cfg.AllowOrigin != nil {
		if cfg.AllowOrigin(r, from.url()) {
			return nil
		}
		return errors.New("the origin is neither this host nor in Origins.Allowed, and Origins.AllowOrigin refuses it")
	}
	return errors.New("the origin is neither this host nor in Origins.Allowed")
}

// isHost reports whether the origin is a website at hostport, the value of a Host header. A
// Host header without a port means the default port of the page's scheme, because a proxy in
// front may terminate TLS, which the request does not show.
func (o Origin) isHost(hostport string) bool {
	host, port := hostport, defaultPort(o.scheme)
	if port == "" {
		return false // an app or an extension: its host is not a name of the DNS
	}
	if h, p, err := net.SplitHostPort(hostport); err == nil && p != "" {
		host, port = h, p
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	return strings.EqualFold(normalIP(host), o.host) && port == o.port
}
