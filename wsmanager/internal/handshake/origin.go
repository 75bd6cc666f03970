package handshake

import (
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Origin is a web origin (RFC 6454) in its comparable form: in lower case, always with
// a port.
type Origin struct{ scheme, host, port string }

// String returns the origin as scheme://host:port.
func (o Origin) String() string { return o.scheme + "://" + net.JoinHostPort(o.host, o.port) }

// ParseOrigin parses an origin as a browser sends it in the Origin header. Anything
// beyond scheme, host and port is an error, whose text continues a sentence that begins
// with the origin.
func ParseOrigin(s string) (Origin, error) {
	u, err := url.Parse(s)
	if err != nil {
		return Origin{}, errors.New("is not a URL")
	}
	port := defaultPort(strings.ToLower(u.Scheme))
	switch {
	case len(s) > maxOrigin:
		return Origin{}, errors.New("is longer than any origin")
	case s == "*":
		return Origin{}, errors.New("is not an origin: list the origins, or set DangerouslyAllowAny")
	case strings.Contains(s, "*"):
		return Origin{}, errors.New("has a wildcard: list each origin")
	case port == "":
		return Origin{}, errors.New(`must begin with "http://" or "https://"`)
	case u.Hostname() == "":
		return Origin{}, errors.New("has no host")
	case strings.ContainsFunc(s, func(r rune) bool { return r > 0x7f || r == '%' }):
		return Origin{}, errors.New("has a host that no browser sends: write it in its ASCII form (xn--…)")
	case u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "" || strings.HasSuffix(s, "?") || strings.HasSuffix(s, "#"):
		return Origin{}, errors.New("must be scheme, host and port only, without a slash at the end")
	}
	if p := u.Port(); p != "" {
		if n, err := strconv.ParseUint(p, 10, 16); err != nil || n == 0 || p[0] == '0' {
			return Origin{}, errors.New("has an invalid port")
		}
		port = p
	}
	host := strings.ToLower(u.Hostname())
	if ip, err := netip.ParseAddr(host); err == nil {
		host = ip.String() // an IPv6 address has many forms; browsers send this one
	}
	return Origin{strings.ToLower(u.Scheme), host, port}, nil
}

// maxOrigin is the length of a scheme, the longest DNS name and a port.
const maxOrigin = len("https://") + 255 + len(":65535")

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
	if slices.Contains(cfg.AllowedOrigins, from.String()) {
		return nil
	}
	// A Host header without a port means the default port of the page's scheme, because
	// a proxy in front may terminate TLS, which the request does not show.
	host, port := r.Host, defaultPort(from.scheme)
	if h, p, err := net.SplitHostPort(r.Host); err == nil && p != "" {
		host, port = h, p
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if !strings.EqualFold(host, from.host) || port != from.port {
		return errors.New("the origin is neither this host nor in Origins.Allowed")
	}
	if from.scheme != "https" && (r.TLS != nil || cfg.SecureOriginsOnly) {
		return errors.New("the origin is this host without TLS: anyone on the network path may have written the page")
	}
	return nil
}
