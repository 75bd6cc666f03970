package wsmanager

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

// origin is a web origin (RFC 6454) in its comparable form: lower case, with
// the port always there.
type origin struct{ scheme, host, port string }

func (o origin) String() string { return o.scheme + "://" + net.JoinHostPort(o.host, o.port) }

// parseOrigin reads what a browser sends in the Origin header. Anything beyond
// scheme, host and port is an error.
func parseOrigin(s string) (origin, error) {
	u, err := url.Parse(s)
	if err != nil {
		return origin{}, errors.New("is no URL")
	}
	port := defaultPort(strings.ToLower(u.Scheme))
	switch {
	case len(s) > maxOrigin:
		return origin{}, errors.New("is longer than any origin")
	case s == "*":
		return origin{}, errors.New("is no origin: list the origins, or set DangerouslyAllowAnyOrigin")
	case strings.Contains(s, "*"):
		return origin{}, errors.New("has a wildcard: list each origin")
	case port == "":
		return origin{}, errors.New(`must begin with "http://" or "https://"`)
	case u.Hostname() == "":
		return origin{}, errors.New("has no host")
	case strings.ContainsFunc(s, func(r rune) bool { return r > 0x7f || r == '%' }):
		return origin{}, errors.New("has a host that no browser sends: write it in its ASCII form (xn--…)")
	case u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "" || strings.HasSuffix(s, "?") || strings.HasSuffix(s, "#"):
		return origin{}, errors.New("must be scheme, host and port only, without a slash at the end")
	}
	if p := u.Port(); p != "" {
		if n, err := strconv.ParseUint(p, 10, 16); err != nil || n == 0 || p[0] == '0' {
			return origin{}, errors.New("has a port that is none")
		}
		port = p
	}
	host := strings.ToLower(u.Hostname())
	if ip, err := netip.ParseAddr(host); err == nil {
		host = ip.String() // an IPv6 address has many forms, and browsers send this one
	}
	return origin{strings.ToLower(u.Scheme), host, port}, nil
}

// maxOrigin is a scheme, a name as long as DNS has them, and a port.
const maxOrigin = len("https://") + 255 + len(":65535")

func defaultPort(scheme string) string {
	switch scheme {
	case "http":
		return "80"
	case "https":
		return "443"
	}
	return ""
}

// checkOrigin returns why the request's origin may not connect, or nil.
func (o *Options) checkOrigin(r *http.Request) error {
	headers := r.Header["Origin"]
	if len(headers) == 0 || o.DangerouslyAllowAnyOrigin {
		return nil // no browser, or any page
	}
	if len(headers) > 1 {
		return errors.New("there is more than one Origin header")
	}
	from, err := parseOrigin(headers[0])
	if err != nil {
		return errors.New("the origin " + err.Error())
	}
	if slices.Contains(o.AllowedOrigins, from.String()) {
		return nil
	}
	// The same host: a Host header without a port means the port of the page's
	// scheme, because what terminates TLS in front of us is not visible here.
	host, port := r.Host, defaultPort(from.scheme)
	if h, p, err := net.SplitHostPort(r.Host); err == nil && p != "" {
		host, port = h, p
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if strings.EqualFold(host, from.host) && port == from.port {
		if from.scheme != "https" && (r.TLS != nil || o.SecureOriginsOnly) {
			return errors.New("the origin is this host without TLS: anybody on the page's way may have written it")
		}
		return nil
	}
	return errors.New("the origin is neither this host nor in AllowedOrigins")
}
