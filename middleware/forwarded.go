package middleware

import (
	"context"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"slices"

	"github.com/speakingtube/speakingtube/branch"
	"github.com/speakingtube/speakingtube/pipeline"
)

// The headers that [Forwarded] can be told to believe.
const (
	headerFor    = "X-Forwarded-For"
	headerProto  = "X-Forwarded-Proto"
	headerHost   = "X-Forwarded-Host"
	headerPrefix = "X-Forwarded-Prefix"
	headerRFC    = "Forwarded"
)

// ForwardedOptions configure [Forwarded].
type ForwardedOptions struct {
	// Trusted are the proxies whose word counts: IP addresses ("10.0.0.7"),
	// networks ("10.1.0.0/16", "fd00:12::/32"), and "unix" for whoever comes in
	// over a Unix domain socket. Required: nobody is trusted by default, not even
	// the loopback. Name the proxies, not the whole network that clients are
	// in, too: whoever is trusted can be anybody.
	Trusted []string

	// DangerouslyTrustEverybody believes the headers whoever sends them, in
	// place of Trusted. It is for a server that can't be reached but through
	// exactly Limit proxies whose addresses nobody knows beforehand; anybody who
	// reaches it by another way is whoever he says he is.
	DangerouslyTrustEverybody bool

	// Headers are the headers to believe: of "X-Forwarded-For",
	// "X-Forwarded-Proto", "X-Forwarded-Host" and "X-Forwarded-Prefix" those that
	// all trusted proxies set, replace or append to; or "Forwarded" (RFC 7239)
	// alone. Required, because a header that the proxy passes on as it came is
	// the client's word.
	Headers []string

	// Limit is how many entries of the headers are taken at most: how many
	// proxies there are. Default: 1. More than one needs a header with
	// addresses.
	Limit int

	// AllowedHosts are the hosts that a header may name, ignoring case and port;
	// "*.example.com" stands for every name below example.com, but not for
	// example.com itself. Others are ignored, and the request keeps its own.
	// Default: any host. Set it where a host is used to make links: in mails to
	// reset a password, say.
	AllowedHosts []string

	// Logger gets a record of level Debug where a header is not believed, with
	// the reason. Default: slog.Default(), asked at each request.
	Logger *slog.Logger
}

// Forwarded puts in place what a request looked like before proxies passed it
// on: the client's address, the scheme, the host and the prefix of the path that
// they took off. It belongs first in the pipeline: components above it see the
// proxy, AccessLog and rate limits among them.
//
// The request that goes on is a copy with
//
//   - RemoteAddr the client's "address:port", port 0 where it is not known, IPv4
//     in its own form. [PeerAddr] has what it was. (*wsmanager.Conn).RemoteAddr
//     remains the socket's.
//   - Host the host that the client asked for.
//   - [Scheme] "http" or "https". URL.Scheme stays empty, as in every server
//     request: a redirect to r.URL.String() would go astray.
//   - branch.PathBase longer by the prefix.
//
// The headers in Headers are not there any more, whoever sent them: what they
// said is in the request, or was not to be believed, and nothing further down
// can take them for the truth. (ASP.NET Core, whose UseForwardedHeaders this is
// modelled on, leaves what it did not use, and the originals as X-Original-…)
//
// # How far headers are believed
//
// Each proxy appends what it knows, so the headers are read from their ends, the
// last line first. As long as the address so far (at first the peer's) is
// trusted and Limit is not reached, the next entry of each header is taken: the
// client's address, scheme and host replace the ones so far, prefixes are joined.
// So an entry counts only if it was written by a proxy that is trusted. A header
// with fewer entries than the one with the addresses adds nothing to the
// further ones.
//
// Where there is no address, or none that can be read, the walk ends before that
// entry; nothing is skipped. Where it is withheld ("unknown", or an identifier
// such as "_gazonk", RFC 7239 section 6), the entry's other values are taken and
// the walk ends behind it: RemoteAddr is the proxy's then. Schemes other than
// http and https (ws and wss count as these), hosts that are none and prefixes
// that are no clean path are ignored.
//
// It is safe for concurrent use, and costs nothing for requests that carry none
// of the headers.
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
				defer handBack(r, original)
			}
			next.ServeHTTP(w, original)
		})
	}
}

// PeerAddr returns the address at the other end of the connection, which
// RemoteAddr was before [Forwarded] replaced it: the proxy's.
func PeerAddr(r *http.Request) string {
	if o, ok := r.Context().Value(originKey{}).(*originContext); ok {
		return o.peer
	}
	return r.RemoteAddr
}

// Scheme returns "https" or "http": what the client used, as far as [Forwarded]
// could learn it from a trusted proxy; else what this server was asked with.
func Scheme(r *http.Request) string {
	if o, ok := r.Context().Value(originKey{}).(*originContext); ok && o.scheme != "" {
		return o.scheme
	}
	if r.TLS != nil {
		return "https"
	}
	return "http"
}

// originContext is what Forwarded adds to a request, in one allocation: the
// request's copy and the context node that keeps what has no place in it.
type originContext struct {
	context.Context

	peer   string
	scheme string // "" if no proxy said
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

// forwarder is the options as Forwarded has read them.
type forwarder struct {
	trust
	headers []string // canonical
	limit   int
	allowed branch.Predicate // nil if any host is
	logger  *slog.Logger
}

// rewrite returns the request as the client sent it, or r itself if it has none
// of the headers.
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
		f.debug(r, "the peer is no trusted proxy", r.RemoteAddr)
		return out
	}
	prefix := f.walk(r, o)
	based, err := branch.WithPathBase(out, prefix)
	if err != nil {
		f.debug(r, "the prefix is no clean path", prefix)
		return out
	}
	return based
}

// walk takes the entries over into o and returns the prefixes, joined.
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
				f.debug(r, "the entry has no address that can be read", h.node)
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
				f.debug(r, "the prefix is no clean path", h.prefix)
			}
		}
		// Whoever wrote the next entry has to be known, and trusted.
		if !client.IsValid() || !f.isTrusted(client.Addr()) {
			return prefix
		}
	}
	return prefix
}

func (f *forwarder) setHost(r, out *http.Request, host string) {
	if !isHost(host) {
		f.debug(r, "the host is none", host)
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
		logger.LogAttrs(ctx, slog.LevelDebug, "a forwarding header is not believed",
			slog.String("reason", reason), slog.String("value", value), slog.String("peer", r.RemoteAddr))
	}
}

// trust says whose word counts.
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
	// The peer of a Unix domain socket mostly has no name, or one that it chose
	// itself: "10.0.0.7:80" is a good file name. What tells is the server's end,
	// as long as RemoteAddr is still the peer's.
	if _, ok := r.Context().Value(http.LocalAddrContextKey).(*net.UnixAddr); ok && r.RemoteAddr == PeerAddr(r) {
		return t.unix
	}
	addr, err := netip.ParseAddrPort(r.RemoteAddr)
	return err == nil && t.isTrusted(addr.Addr())
}
