package middleware

import (
	"context"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/speakingtube/speakingtube/branch"
	"github.com/speakingtube/speakingtube/internal/httpx"
	"github.com/speakingtube/speakingtube/pipeline"
)

// The headers for ForwardedOptions.Headers.
const (
	headerFor    = "X-Forwarded-For"
	headerProto  = "X-Forwarded-Proto"
	headerHost   = "X-Forwarded-Host"
	headerPrefix = "X-Forwarded-Prefix"
	headerRFC    = "Forwarded"
)

// ForwardedOptions configure [Forwarded].
type ForwardedOptions struct {
	// Trusted lists the trusted proxies: IP addresses ("10.0.0.7"), networks
	// ("10.1.0.0/16", "fd00:12::/32"), and "unix" for peers on a Unix domain socket.
	// Required: by default no peer is trusted, not even the loopback address. Name the
	// proxies and not a network that also contains clients: a trusted peer can claim any
	// identity.
	Trusted []string

	// DangerouslyTrustEverybody trusts the headers of every peer; it replaces Trusted. It
	// is for a server that can only be reached through exactly Limit proxies whose
	// addresses are not known beforehand. A client that reaches the server in another way
	// can claim any identity.
	DangerouslyTrustEverybody bool

	// Headers lists the headers to use: those of "X-Forwarded-For", "X-Forwarded-Proto",
	// "X-Forwarded-Host" and "X-Forwarded-Prefix" that all trusted proxies set, replace or
	// append to; or only "Forwarded" (RFC 7239). Required, unless there is an AddressHeader,
	// because a header that the proxy passes on unchanged is under the client's control.
	Headers []string

	// AddressHeader is the one header in which the proxies send the client's address and nothing
	// else, such as "CF-Connecting-IP", "True-Client-IP" or "X-Real-IP". It replaces
	// X-Forwarded-For, and may be used alone. A trusted proxy has to set it on each request, or
	// remove it: Forwarded can't know whether the client wrote it. A value that is not an
	// address, and more than one line, are ignored. Default: none.
	AddressHeader string

	// Limit is the maximum number of entries that are used: the number of proxies. Default:
	// 1. More than one requires a header with addresses.
	Limit int

	// AllowedHosts lists the hosts that a header may name, ignoring case and port;
	// "*.example.com" stands for every name below example.com, but not for example.com
	// itself. Other hosts are ignored, and the request keeps its own. Default: any host.
	// Set it if the host is used in links, for example in password-reset mails.
	AllowedHosts []string

	// Logger gets a record of level Debug for each header that is ignored, with the reason.
	// Default: slog.Default(), evaluated at each request.
	Logger *slog.Logger
}

// Forwarded restores the values that a request had before proxies passed it on: the
// client's address, the scheme, the host and the prefix of the path that they removed. It
// belongs first in the pipeline: components above it, such as AccessLog and rate limits,
// see the proxy.
//
// The next handler gets a copy of the request with
//
//   - RemoteAddr: the client's "address:port", with port 0 if it is not known, IPv4 in its
//     own form. [PeerAddr] returns the old value. (*wsmanager.Conn).RemoteAddr remains the
//     socket's.
//   - Host: the host that the client requested.
//   - [Scheme]: "http" or "https". URL.Scheme stays empty, as in every server request: a
//     redirect to r.URL.String() would lead to a wrong target otherwise.
//   - branch.PathBase: with the prefix in front.
//
// The headers in Headers are removed in any case: their values are in the request or were
// not trusted, so no component below can use an untrusted value. (Forwarded is modelled on
// ASP.NET Core's UseForwardedHeaders, which keeps unused headers, and the originals as
// X-Original-…)
//
// # Which entries are trusted
//
// Each proxy appends its entry, so the headers are read from their ends, the last line
// first. As long as the current address (at first the peer's) is trusted and Limit is not
// reached, the next entry of each header is used: the client's address, scheme and host
// replace the current ones, and prefixes are joined. So an entry counts only if a trusted
// proxy wrote it. A header with fewer entries than the one with the addresses has no effect
// on the further entries. Empty items of X-Forwarded-For are ignored and do not count. If it
// has no entry at all, the peer's own entries of the other headers are used, since some
// proxies send only X-Forwarded-Proto, and RemoteAddr stays.
//
// Reading stops before an entry whose address is invalid; no other entry is skipped.
// If an address is withheld ("unknown", or an identifier such as "_gazonk", RFC 7239
// section 6), the entry's other values are used and reading stops behind it: RemoteAddr is
// the proxy's then. Schemes other than http and https (ws and wss count as these), invalid
// hosts, and prefixes that are not clean paths are ignored.
//
// It is safe for concurrent use, and costs nothing for requests without these headers.
//
//go:noinline
func Forwarded(opts ForwardedOptions) pipeline.Middleware {
	var bad configProblems
	f := newForwarder(opts, &bad)
	return func(next http.Handler) http.Handler {
		bad.report("middleware.Forwarded")
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			original := f.rewrite(r)
			if original != r {
				defer httpx.CopyBack(r, original)
			}
			next.ServeHTTP(w, original)
		})
	}
}

// PeerAddr returns the address at the other end of the connection: the value of RemoteAddr
// before [Forwarded] replaced it, which is the proxy's.
func PeerAddr(r *http.Request) string {
	if o, ok := r.Context().Value(originKey{}).(*originContext); ok {
		return o.peer
	}
	return r.RemoteAddr
}

// Scheme returns "https" or "http": the client's scheme if [Forwarded] got it from a
// trusted proxy, otherwise the scheme of the request to this server.
func Scheme(r *http.Request) string {
	if o, ok := r.Context().Value(originKey{}).(*originContext); ok && o.scheme != "" {
		return o.scheme
	}
	if r.TLS != nil {
		return "https"
	}
	return "http"
}

// originContext holds Forwarded's additions to a request in one allocation: the copy of the
// request, and the context node with the values that a request has no field for.
type originContext struct {
	context.Context

	peer   string
	scheme string // "" if no proxy sent it
	req    http.Request
}

type originKey struct{}

// Value implements context.Context.
func (o *originContext) Value(key any) any {
	if key == (originKey{}) {
		return o
	}
	return o.Context.Value(key)
}

// forwarder holds the validated options of Forwarded.
type forwarder struct {
	trust
	headers []string // in canonical form, with address
	address string   // the AddressHeader in canonical form, "" if there is none
	limit   int
	allowed branch.Predicate // nil if any host is allowed
	logger  *slog.Logger
}

// rewrite returns the request as the client sent it, or r itself if it has none of the
// headers.
func (f *forwarder) rewrite(r *http.Request) *http.Request {
	if !slices.ContainsFunc(f.headers, func(name string) bool { _, ok := r.Header[name]; return ok }) {
		return r
	}
	o := &originContext{Context: r.Context(), peer: PeerAddr(r)}
	if up, ok := r.Context().Value(originKey{}).(*originContext); ok {
		o.scheme = up.scheme
	}
	o.req = *r.WithContext(o)
	out := &o.req
	out.Header = maps.Clone(r.Header)
	for _, name := range f.headers {
		delete(out.Header, name)
	}
	if !f.isTrustedPeer(r) {
		f.debug(r, "the peer is not a trusted proxy", r.RemoteAddr)
		return out
	}
	f.setAddress(r, &o.req)
	prefix := f.walk(r, o)
	based, err := branch.WithPathBase(out, prefix)
	if err != nil {
		f.debug(r, "the prefix is not a clean path", prefix)
		return out
	}
	return based
}

// setAddress sets the client's address from the AddressHeader.
func (f *forwarder) setAddress(r, out *http.Request) {
	lines := r.Header[f.address]
	if f.address == "" || len(lines) == 0 {
		return
	}
	if client, kind := parseNode(strings.TrimSpace(lines[0])); kind == nodeAddr && len(lines) == 1 {
		out.RemoteAddr = client.String()
		return
	}
	f.debug(r, "the header has no single address", strings.Join(lines, ", "))
}

// walk copies the values of the entries to o and returns the joined prefixes.
func (f *forwarder) walk(r *http.Request, o *originContext) (prefix string) {
	hops := f.hops(r.Header)
	for n := 0; n < f.limit; n++ {
		h, ok := hops.next()
		if !ok {
			return prefix
		}
		if h.malformed != "" {
			f.debug(r, "the element is malformed", h.malformed)
			return prefix
		}
		var client netip.AddrPort
		if h.hasNode {
			var kind nodeKind
			switch client, kind = parseNode(h.node); kind {
			case nodeMalformed:
				f.debug(r, "the entry has no valid address", h.node)
				return prefix
			case nodeAddr:
				o.req.RemoteAddr = client.String()
			}
		}
		if h.proto != "" {
			if scheme, ok := parseScheme(h.proto); ok {
				o.scheme = scheme
			} else {
				f.debug(r, "the scheme is neither http nor https", h.proto)
			}
		}
		if h.host != "" {
			f.setHost(r, &o.req, h.host)
		}
		if h.prefix != "" {
			if base, ok := parsePathPrefix(h.prefix); ok {
				prefix = base + prefix
			} else {
				f.debug(r, "the prefix is not a clean path", h.prefix)
			}
		}
		// The sender of the next entry must be known and trusted.
		if !client.IsValid() || !f.isTrusted(client.Addr()) {
			return prefix
		}
	}
	return prefix
}

func (f *forwarder) setHost(r, out *http.Request, host string) {
	if !isHost(host) {
		f.debug(r, "the host is invalid", host)
		return
	}
	before := out.Host
	if out.Host = host; f.allowed != nil && !f.allowed(out) {
		out.Host = before
		f.debug(r, "the host is not among AllowedHosts", host)
	}
}

func (f *forwarder) debug(r *http.Request, reason, value string) {
	logger := f.logger
	if logger == nil {
		logger = slog.Default()
	}
	if ctx := r.Context(); logger.Enabled(ctx, slog.LevelDebug) {
		logger.LogAttrs(ctx, slog.LevelDebug, "a forwarding header was ignored",
			slog.String("err", reason), slog.String("value", httpx.Truncate(value, maxLogged)), slog.String("peer", r.RemoteAddr))
	}
}

// trust decides which peers are trusted.
type trust struct {
	everybody bool
	unix      bool
	networks  []netip.Prefix
}

func (t *trust) isTrusted(addr netip.Addr) bool {
	if t.everybody {
		return true
	}
	addr = addr.WithZone("").Unmap()
	return slices.ContainsFunc(t.networks, func(n netip.Prefix) bool { return n.Contains(addr) })
}

func (t *trust) isTrustedPeer(r *http.Request) bool {
	if t.everybody {
		return true
	}
	// The peer of a Unix domain socket usually has no name, or chooses one itself:
	// "10.0.0.7:80" is a valid file name. Therefore the server's end decides, as long as
	// RemoteAddr is still the peer's.
	if _, ok := r.Context().Value(http.LocalAddrContextKey).(*net.UnixAddr); ok && r.RemoteAddr == PeerAddr(r) {
		return t.unix
	}
	addr, err := netip.ParseAddrPort(r.RemoteAddr)
	return err == nil && t.isTrusted(addr.Addr())
}
