package middleware_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/branch"
	"github.com/speakingtube/speakingtube/middleware"
	"github.com/speakingtube/speakingtube/pipeline"
)

const (
	proxy  = "10.0.0.1:4711" // trusted in all tests here
	inner  = "10.0.0.2"      // trusted too
	client = "203.0.113.7"
	victim = "198.51.100.9" // the address that the attacker claims
)

var allX = []string{"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Prefix"}

// requestBehindForwarded returns a request as a handler behind Forwarded sees it.
func requestBehindForwarded(t *testing.T, opts middleware.ForwardedOptions, peer string, headers ...string) string {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, "http://own.example/x", nil)
	r.RemoteAddr = peer
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	return serve(opts, r)
}

func serve(opts middleware.ForwardedOptions, r *http.Request) (got string) {
	if opts.Logger == nil {
		opts.Logger = silent
	}
	h := middleware.Forwarded(opts)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		got = describe(r)
		for _, name := range opts.Headers {
			if _, ok := r.Header[http.CanonicalHeaderKey(name)]; ok {
				got += " and still " + name
			}
		}
	}))
	h.ServeHTTP(httptest.NewRecorder(), r)
	return got
}

func describe(r *http.Request) string {
	return fmt.Sprintf("%s %s://%s%s|%s via %s", r.RemoteAddr, middleware.Scheme(r), r.Host, branch.PathBase(r), r.URL.Path, middleware.PeerAddr(r))
}

func TestForwarded(t *testing.T) {
	x := middleware.ForwardedOptions{Trusted: []string{"10.0.0.0/8", "2001:db8:1::/48"}, Headers: allX}
	two := x
	two.Limit = 2
	rfc := middleware.ForwardedOptions{Trusted: x.Trusted, Headers: []string{"forwarded"}, Limit: 3}
	proto := middleware.ForwardedOptions{Trusted: x.Trusted, Headers: []string{"x-forwarded-proto"}}
	for _, tt := range []struct {
		name    string
		opts    middleware.ForwardedOptions
		peer    string
		headers []string
		want    string
	}{
		{"nothing", x, proxy, nil, "10.0.0.1:4711 http://own.example|/x via 10.0.0.1:4711"},
		{"only the scheme", x, proxy, []string{"X-Forwarded-Proto", "https"}, "10.0.0.1:4711 https://own.example|/x via 10.0.0.1:4711"},
		{"only the host", x, proxy, []string{"X-Forwarded-Host", "site.example"}, "10.0.0.1:4711 http://site.example|/x via 10.0.0.1:4711"},
		{"only the prefix", x, proxy, []string{"X-Forwarded-Prefix", "/app"}, "10.0.0.1:4711 http://own.example/app|/x via 10.0.0.1:4711"},
		{"only the scheme, two proxies", two, proxy, []string{"X-Forwarded-Proto", "http, https"}, "10.0.0.1:4711 https://own.example|/x via 10.0.0.1:4711"},
		{"the scheme, and only empty addresses", two, proxy, []string{"X-Forwarded-For", ", ,", "X-Forwarded-For", "", "X-Forwarded-Proto", "https"}, "10.0.0.1:4711 https://own.example|/x via 10.0.0.1:4711"},
		{"empty items do not count", two, proxy, []string{"X-Forwarded-For", client + ",, ," + inner + ", "}, "203.0.113.7:0 http://own.example|/x via 10.0.0.1:4711"},
		{"empty items and one entry", x, proxy, []string{"X-Forwarded-For", " , " + client + ",,"}, "203.0.113.7:0 http://own.example|/x via 10.0.0.1:4711"},
		{"the scheme of a peer that is not trusted", x, "192.0.2.66:1", []string{"X-Forwarded-Proto", "https"}, "192.0.2.66:1 http://own.example|/x via 192.0.2.66:1"},
		{"all of it", x, proxy, []string{"X-Forwarded-For", client, "X-Forwarded-Proto", "https", "X-Forwarded-Host", "site.example:8443", "X-Forwarded-Prefix", "/app/"},
			"203.0.113.7:0 https://site.example:8443/app|/x via 10.0.0.1:4711"},
		{"address with port", x, proxy, []string{"X-Forwarded-For", client + ":1234"}, "203.0.113.7:1234 http://own.example|/x via 10.0.0.1:4711"},
		{"IPv6, bare", x, proxy, []string{"X-Forwarded-For", "2001:db8::7"}, "[2001:db8::7]:0 http://own.example|/x via 10.0.0.1:4711"},
		{"IPv6, brackets", x, proxy, []string{"X-Forwarded-For", "[2001:db8::7]"}, "[2001:db8::7]:0 http://own.example|/x via 10.0.0.1:4711"},
		{"IPv6, port", x, proxy, []string{"X-Forwarded-For", "[2001:db8::7]:99"}, "[2001:db8::7]:99 http://own.example|/x via 10.0.0.1:4711"},
		{"IPv4 in IPv6 is IPv4", x, proxy, []string{"X-Forwarded-For", "::ffff:203.0.113.7"}, "203.0.113.7:0 http://own.example|/x via 10.0.0.1:4711"},
		{"the peer is IPv4 in IPv6", x, "[::ffff:10.0.0.1]:80", []string{"X-Forwarded-For", client}, "203.0.113.7:0 http://own.example|/x via [::ffff:10.0.0.1]:80"},
		{"the peer is IPv6", x, "[2001:db8:1::5]:80", []string{"X-Forwarded-For", client}, "203.0.113.7:0 http://own.example|/x via [2001:db8:1::5]:80"},
		{"two proxies", two, proxy, []string{"X-Forwarded-For", client + ", " + inner}, "203.0.113.7:0 http://own.example|/x via 10.0.0.1:4711"},
		{"two proxies, two lines", two, proxy, []string{"X-Forwarded-For", client, "X-Forwarded-For", inner}, "203.0.113.7:0 http://own.example|/x via 10.0.0.1:4711"},
		{"two proxies, scheme and host of the outer one", two, proxy, []string{"X-Forwarded-For", client + "," + inner, "X-Forwarded-Proto", "https,http", "X-Forwarded-Host", "site.example, inner.example"},
			"203.0.113.7:0 https://site.example|/x via 10.0.0.1:4711"},
		{"two proxies, one of them says the scheme", two, proxy, []string{"X-Forwarded-For", client + "," + inner, "X-Forwarded-Proto", "https"},
			"203.0.113.7:0 https://own.example|/x via 10.0.0.1:4711"},
		{"two proxies, prefixes join", two, proxy, []string{"X-Forwarded-For", client + "," + inner, "X-Forwarded-Prefix", "/outer, /inner"},
			"203.0.113.7:0 http://own.example/outer/inner|/x via 10.0.0.1:4711"},
		{"two allowed, one there", two, proxy, []string{"X-Forwarded-For", client}, "203.0.113.7:0 http://own.example|/x via 10.0.0.1:4711"},
		{"the scheme of a WebSocket", x, proxy, []string{"X-Forwarded-For", client, "X-Forwarded-Proto", "wss"}, "203.0.113.7:0 https://own.example|/x via 10.0.0.1:4711"},
		{"scheme alone", proto, proxy, []string{"X-Forwarded-Proto", "HTTPS"}, "10.0.0.1:4711 https://own.example|/x via 10.0.0.1:4711"},
		{"prefix, escaped", x, proxy, []string{"X-Forwarded-For", client, "X-Forwarded-Prefix", "/a%20b"}, "203.0.113.7:0 http://own.example/a b|/x via 10.0.0.1:4711"},
		{"no prefix", x, proxy, []string{"X-Forwarded-For", client, "X-Forwarded-Prefix", "/"}, "203.0.113.7:0 http://own.example|/x via 10.0.0.1:4711"},
		{"host, IPv6", x, proxy, []string{"X-Forwarded-For", client, "X-Forwarded-Host", "[2001:db8::1]:80"}, "203.0.113.7:0 http://[2001:db8::1]:80|/x via 10.0.0.1:4711"},

		{"RFC 7239", rfc, proxy, []string{"Forwarded", `for=203.0.113.7;proto=https;host=site.example;by=10.0.0.1`}, "203.0.113.7:0 https://site.example|/x via 10.0.0.1:4711"},
		{"RFC 7239, case and order", rfc, proxy, []string{"Forwarded", `Proto=HTTPS;FOR="[2001:db8:cafe::17]:4711"`}, "[2001:db8:cafe::17]:4711 https://own.example|/x via 10.0.0.1:4711"},
		{"RFC 7239, several elements", rfc, proxy, []string{"Forwarded", `for=203.0.113.7;proto=https, for=10.0.0.2;proto=http`}, "203.0.113.7:0 https://own.example|/x via 10.0.0.1:4711"},
		{"RFC 7239, several lines", rfc, proxy, []string{"Forwarded", `for=203.0.113.7;proto=https`, "Forwarded", `for=10.0.0.2;proto=http`}, "203.0.113.7:0 https://own.example|/x via 10.0.0.1:4711"},
		{"RFC 7239, spaces, empty pairs, other parameters", rfc, proxy, []string{"Forwarded", "\t for=203.0.113.7 ;; secret=\"a,b;\\\"c\" ; proto=https;"}, "203.0.113.7:0 https://own.example|/x via 10.0.0.1:4711"},
		{"RFC 7239, values without the required quotes", rfc, proxy, []string{"Forwarded", `for=[2001:db8::7]:99;host=site.example:80`}, "[2001:db8::7]:99 http://site.example:80|/x via 10.0.0.1:4711"},
		{"RFC 7239, quoted pairs", rfc, proxy, []string{"Forwarded", `for="203\.0.113.7"`}, "203.0.113.7:0 http://own.example|/x via 10.0.0.1:4711"},
		{"RFC 7239, the port is obfuscated", rfc, proxy, []string{"Forwarded", `for="203.0.113.7:_x"`}, "203.0.113.7:0 http://own.example|/x via 10.0.0.1:4711"},
		{"RFC 7239, the address is withheld", rfc, proxy, []string{"Forwarded", `for=_gazonk;proto=https`}, "10.0.0.1:4711 https://own.example|/x via 10.0.0.1:4711"},
		{"RFC 7239, the address is unknown", rfc, proxy, []string{"Forwarded", `for=unknown;proto=https`}, "10.0.0.1:4711 https://own.example|/x via 10.0.0.1:4711"},
		{"RFC 7239, no address", rfc, proxy, []string{"Forwarded", `proto=https`}, "10.0.0.1:4711 https://own.example|/x via 10.0.0.1:4711"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			require.Equal(t, tt.want, requestBehindForwarded(t, tt.opts, tt.peer, tt.headers...))
		})
	}
}

// Each row is named after the attack that it blocks.
func TestForwardedSpoofing(t *testing.T) {
	x := middleware.ForwardedOptions{Trusted: []string{"10.0.0.1", inner}, Headers: allX}
	deep := x
	deep.Limit = 10
	addresses := middleware.ForwardedOptions{Trusted: x.Trusted, Headers: []string{"X-Forwarded-For"}}
	rfc := middleware.ForwardedOptions{Trusted: x.Trusted, Headers: []string{"Forwarded"}, Limit: 10}
	hosts := middleware.ForwardedOptions{Trusted: x.Trusted, Headers: []string{"X-Forwarded-Host"}, AllowedHosts: []string{"site.example", "*.site.example", "[2001:db8::1]"}}
	prefixes := middleware.ForwardedOptions{Trusted: x.Trusted, Headers: []string{"X-Forwarded-Prefix"}}
	const untouched = "10.0.0.1:4711 http://own.example|/x via 10.0.0.1:4711"
	const clientSeen = "203.0.113.7:0 http://own.example|/x via 10.0.0.1:4711"
	for _, tt := range []struct {
		name    string
		opts    middleware.ForwardedOptions
		peer    string
		headers []string
		want    string
	}{
		{"an attacker that reaches the server directly", x, client + ":99", []string{"X-Forwarded-For", victim, "X-Forwarded-Proto", "https", "X-Forwarded-Host", "evil.example", "X-Forwarded-Prefix", "/evil"},
			"203.0.113.7:99 http://own.example|/x via 203.0.113.7:99"},
		{"an attacker next to the proxies", x, "10.0.0.3:99", []string{"X-Forwarded-For", victim}, "10.0.0.3:99 http://own.example|/x via 10.0.0.3:99"},
		{"a peer without an address", x, "@", []string{"X-Forwarded-For", victim}, "@ http://own.example|/x via @"},
		{"an address in front of the real one", deep, proxy, []string{"X-Forwarded-For", victim + ", " + client}, clientSeen},
		{"an address in front of the real one, in its own line", deep, proxy, []string{"X-Forwarded-For", victim, "X-Forwarded-For", client}, clientSeen},
		{"a trusted address in front of the real one", deep, proxy, []string{"X-Forwarded-For", victim + ", " + inner + ", " + client}, clientSeen},
		{"more proxies than there are", addresses, proxy, []string{"X-Forwarded-For", victim + ", " + inner}, "10.0.0.2:0 http://own.example|/x via 10.0.0.1:4711"},
		{"garbage at the trusted end is not skipped", deep, proxy, []string{"X-Forwarded-For", victim + ", garbage"}, untouched},
		{"an empty entry", deep, proxy, []string{"X-Forwarded-For", victim + ", " + client + ", ,"}, clientSeen},
		{"an empty line", deep, proxy, []string{"X-Forwarded-For", victim + "," + client, "X-Forwarded-For", ""}, clientSeen},
		{"an unknown entry is not skipped", deep, proxy, []string{"X-Forwarded-For", victim + ", unknown"}, untouched},
		{"a withheld entry is not skipped", deep, proxy, []string{"X-Forwarded-For", victim + ", _hidden"}, untouched},
		{"garbage in the middle is not skipped", deep, proxy, []string{"X-Forwarded-For", victim + ", garbage, " + inner}, "10.0.0.2:0 http://own.example|/x via 10.0.0.1:4711"},
		{"a zone with text of the attacker's", deep, proxy, []string{"X-Forwarded-For", "fe80::1%\nlevel=ERROR"}, untouched},
		{"an address with text behind it", deep, proxy, []string{"X-Forwarded-For", victim + " (really)"}, untouched},
		{"an address in octal", deep, proxy, []string{"X-Forwarded-For", "0300.0.0.1"}, untouched},
		{"a port beyond all", deep, proxy, []string{"X-Forwarded-For", victim + ":65536"}, untouched},
		{"brackets around IPv4", deep, proxy, []string{"X-Forwarded-For", "[" + victim + "]"}, untouched},
		{"brackets left open", deep, proxy, []string{"X-Forwarded-For", "[2001:db8::1"}, untouched},
		{"text behind brackets", deep, proxy, []string{"X-Forwarded-For", "[2001:db8::1]x"}, untouched},
		{"the proxy is made to drop its header (Connection: X-Forwarded-For)", x, proxy, []string{"X-Forwarded-Proto", "https", "X-Forwarded-Host", "site.example"}, "10.0.0.1:4711 https://site.example|/x via 10.0.0.1:4711"},
		{"a longer list of hosts than of addresses", deep, proxy, []string{"X-Forwarded-For", client, "X-Forwarded-Host", "evil.example, site.example"}, "203.0.113.7:0 http://site.example|/x via 10.0.0.1:4711"},
		{"a scheme in front of the real one", x, proxy, []string{"X-Forwarded-For", client, "X-Forwarded-Proto", "https, http"}, clientSeen},
		{"an invalid scheme", x, proxy, []string{"X-Forwarded-For", client, "X-Forwarded-Proto", "javascript"}, clientSeen},
		{"a header that was not named", addresses, proxy, []string{"X-Forwarded-For", client, "X-Forwarded-Proto", "https", "X-Forwarded-Host", "evil.example", "X-Forwarded-Prefix", "/evil", "Forwarded", "for=" + victim, "X-Real-Ip", victim}, clientSeen},
		{"RFC 7239 where X-Forwarded-For is meant", x, proxy, []string{"Forwarded", "for=" + victim}, untouched},

		{"RFC 7239: an element in front of the real one", rfc, proxy, []string{"Forwarded", "for=" + victim + ", for=" + client}, clientSeen},
		{"RFC 7239: a quote left open, to swallow the proxy's element", rfc, proxy, []string{"Forwarded", `for="` + victim + `, for=` + client}, clientSeen},
		{"RFC 7239: an escaped quote, to swallow the proxy's element", rfc, proxy, []string{"Forwarded", `for="\", for=` + client}, clientSeen},
		{"RFC 7239: the same against quoted elements", rfc, proxy, []string{"Forwarded", `for="` + victim + `, for="[2001:db8::7]"`}, "[2001:db8::7]:0 http://own.example|/x via 10.0.0.1:4711"},
		{"RFC 7239: an element inside a string", rfc, proxy, []string{"Forwarded", `for=` + client + `;x="a, for=` + victim + `"`}, clientSeen},
		{"RFC 7239: an element inside a string with quotes", rfc, proxy, []string{"Forwarded", `for=` + client + `;x="\", for=` + victim + `"`}, clientSeen},
		{"RFC 7239: a parameter twice", rfc, proxy, []string{"Forwarded", "for=" + client + ";for=" + victim}, untouched},
		{"RFC 7239: a plain address", rfc, proxy, []string{"Forwarded", victim}, untouched},
		{"RFC 7239: a string with a tail", rfc, proxy, []string{"Forwarded", `for="` + victim + `"x`}, untouched},
		{"RFC 7239: an invalid name", rfc, proxy, []string{"Forwarded", `f(r=1;for=` + victim}, untouched},
		{"RFC 7239: control bytes", rfc, proxy, []string{"Forwarded", "for=\"" + victim + "\x01\""}, untouched},
		{"RFC 7239: an element that says nothing", rfc, proxy, []string{"Forwarded", "for=" + victim + ",;"}, untouched},

		{"host: not among the allowed", hosts, proxy, []string{"X-Forwarded-Host", "evil.example"}, untouched},
		{"host: ends like an allowed one", hosts, proxy, []string{"X-Forwarded-Host", "evilsite.example"}, untouched},
		{"host: a wildcard is not its apex with a dot", hosts, proxy, []string{"X-Forwarded-Host", ".site.example"}, untouched},
		{"host: allowed, with any port", hosts, proxy, []string{"X-Forwarded-Host", "a.SITE.example:8080"}, "10.0.0.1:4711 http://a.SITE.example:8080|/x via 10.0.0.1:4711"},
		{"host: allowed, IPv6", hosts, proxy, []string{"X-Forwarded-Host", "[2001:db8::1]"}, "10.0.0.1:4711 http://[2001:db8::1]|/x via 10.0.0.1:4711"},
		{"host: user info", hosts, proxy, []string{"X-Forwarded-Host", "site.example@evil.example"}, untouched},
		{"host: a password as port", hosts, proxy, []string{"X-Forwarded-Host", "site.example:x@evil.example"}, untouched},
		{"host: a path", x, proxy, []string{"X-Forwarded-For", client, "X-Forwarded-Host", "evil.example/x"}, clientSeen},
		{"host: a space", x, proxy, []string{"X-Forwarded-For", client, "X-Forwarded-Host", "evil.example x"}, clientSeen},
		{"host: markup", x, proxy, []string{"X-Forwarded-For", client, "X-Forwarded-Host", `"><script>`}, clientSeen},
		{"host: letters that look like others", x, proxy, []string{"X-Forwarded-For", client, "X-Forwarded-Host", "site\u3002example"}, clientSeen},
		{"host: a zone", x, proxy, []string{"X-Forwarded-For", client, "X-Forwarded-Host", "[fe80::1%x]"}, clientSeen},
		{"host: port zero", x, proxy, []string{"X-Forwarded-For", client, "X-Forwarded-Host", "evil.example:0"}, clientSeen},
		{"host: a port alone", x, proxy, []string{"X-Forwarded-For", client, "X-Forwarded-Host", ":80"}, clientSeen},
		{"host: endless", x, proxy, []string{"X-Forwarded-For", client, "X-Forwarded-Host", strings.Repeat("a", 256)}, clientSeen},

		{"prefix: another site", prefixes, proxy, []string{"X-Forwarded-Prefix", "//evil.example"}, untouched},
		{"prefix: another site, escaped", prefixes, proxy, []string{"X-Forwarded-Prefix", "/%2fevil.example"}, untouched},
		{"prefix: another site, for browsers", prefixes, proxy, []string{"X-Forwarded-Prefix", `/\evil.example`}, untouched},
		{"prefix: another site, for browsers, escaped", prefixes, proxy, []string{"X-Forwarded-Prefix", `/%5cevil.example`}, untouched},
		{"prefix: a whole URL", prefixes, proxy, []string{"X-Forwarded-Prefix", "https://evil.example"}, untouched},
		{"prefix: dots", prefixes, proxy, []string{"X-Forwarded-Prefix", "/a/../../b"}, untouched},
		{"prefix: a line break", prefixes, proxy, []string{"X-Forwarded-Prefix", "/a%0d%0aSet-Cookie:x"}, untouched},
		{"prefix: a query", prefixes, proxy, []string{"X-Forwarded-Prefix", "/a?x="}, untouched},
	} {
		t.Run(tt.name, func(t *testing.T) {
			require.Equal(t, tt.want, requestBehindForwarded(t, tt.opts, tt.peer, tt.headers...))
		})
	}
}

func TestForwardedTrustsEverybody(t *testing.T) {
	opts := middleware.ForwardedOptions{DangerouslyTrustEverybody: true, Headers: []string{"X-Forwarded-For"}, Limit: 2}
	require.Equal(t, "203.0.113.7:0 http://own.example|/x via 192.0.2.1:80", requestBehindForwarded(t, opts, "192.0.2.1:80", "X-Forwarded-For", victim+","+client+",192.0.2.2"))
	require.Equal(t, "203.0.113.7:0 http://own.example|/x via @", requestBehindForwarded(t, opts, "@", "X-Forwarded-For", client))
}

// The caller's request does not change, and the next handler's is complete.
func TestForwardedLeavesTheRequestAlone(t *testing.T) {
	r := httptest.NewRequest(http.MethodPost, "/x?q", nil)
	r.RemoteAddr, r.TLS = proxy, &tls.ConnectionState{}
	r.Header.Set("X-Forwarded-For", client)
	r.Header.Set("X-Forwarded-Proto", "http")
	r.Header.Set("Accept", "x")
	opts := middleware.ForwardedOptions{Trusted: []string{"10.0.0.1"}, Headers: allX}
	var got *http.Request
	middleware.Forwarded(opts)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		got = r
		r.Header.Set("Accept", "changed")
	})).ServeHTTP(httptest.NewRecorder(), r)
	require.Equal(t, proxy, r.RemoteAddr)
	require.Equal(t, http.Header{"X-Forwarded-For": {client}, "X-Forwarded-Proto": {"http"}, "Accept": {"x"}}, r.Header)
	require.Equal(t, "https", middleware.Scheme(r), "outside it is the scheme of the request to the server")
	require.Equal(t, proxy, middleware.PeerAddr(r))
	require.Equal(t, client+":0", got.RemoteAddr)
	require.Equal(t, "http", middleware.Scheme(got), "TLS was between the proxy and us only")
	require.Equal(t, "/x?q", got.URL.String(), "a redirect to URL.String() stays here")
	require.Equal(t, http.MethodPost, got.Method)
	require.Equal(t, "q", got.URL.RawQuery)
}

// A second Forwarded further down trusts no header that the first has used, and the peer
// stays the peer.
func TestForwardedTwice(t *testing.T) {
	// The client itself is in a trusted network.
	opts := middleware.ForwardedOptions{Trusted: []string{"10.0.0.0/8"}, Headers: []string{"X-Forwarded-For"}, Logger: silent}
	other := middleware.ForwardedOptions{Trusted: []string{"10.0.0.0/8"}, Headers: []string{"X-Forwarded-Proto"}, Logger: silent}
	var got string
	h := middleware.Forwarded(opts)(middleware.Forwarded(other)(middleware.Forwarded(opts)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = describe(r) }))))
	r := httptest.NewRequest(http.MethodGet, "http://own.example/x", nil)
	r.RemoteAddr = proxy
	r.Header.Set("X-Forwarded-For", victim+", 10.9.9.9")
	r.Header.Set("X-Forwarded-Proto", "https")
	h.ServeHTTP(httptest.NewRecorder(), r)
	require.Equal(t, "10.9.9.9:0 https://own.example|/x via 10.0.0.1:4711", got)
}

// Behind the first Forwarded, RemoteAddr is the client's, which is not the trusted socket.
func TestForwardedTwiceOnAUnixSocket(t *testing.T) {
	var got string
	end := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = describe(r) })
	h := middleware.Forwarded(middleware.ForwardedOptions{Trusted: []string{"unix"}, Headers: []string{"X-Forwarded-For"}, Logger: silent})(
		middleware.Forwarded(middleware.ForwardedOptions{Trusted: []string{"unix"}, Headers: []string{"Forwarded"}, Logger: silent})(end))
	ctx := context.WithValue(t.Context(), http.LocalAddrContextKey, &net.UnixAddr{Name: "/run/s", Net: "unix"})
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, "http://own.example/x", nil)
	r.RemoteAddr = "@"
	r.Header.Set("X-Forwarded-For", client)
	r.Header.Set("Forwarded", "for="+victim)
	h.ServeHTTP(httptest.NewRecorder(), r)
	require.Equal(t, "203.0.113.7:0 http://own.example|/x via @", got)
}

func TestForwardedPrefixInABranch(t *testing.T) {
	opts := middleware.ForwardedOptions{Trusted: []string{"10.0.0.0/8"}, Headers: []string{"X-Forwarded-Prefix"}}
	var got string
	h := pipeline.New().Map("/a", func(b *pipeline.Builder) {
		b.Use(middleware.Forwarded(opts))
		b.Map("/b", func(b *pipeline.Builder) {
			b.RunFunc(func(_ http.ResponseWriter, r *http.Request) { got = describe(r) })
		})
	}).MustBuild()
	r := httptest.NewRequest(http.MethodGet, "http://own.example/a/b/c", nil)
	r.RemoteAddr = proxy
	r.Header.Set("X-Forwarded-Prefix", "/app")
	h.ServeHTTP(httptest.NewRecorder(), r)
	require.Equal(t, "10.0.0.1:4711 http://own.example/app/a/b|/c via 10.0.0.1:4711", got)
}

// The peer of a Unix domain socket can choose any name.
func TestForwardedUnix(t *testing.T) {
	dir, err := os.MkdirTemp("", "st") // t.TempDir's path may be too long for a socket
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	unix := middleware.ForwardedOptions{Trusted: []string{"unix"}, Headers: []string{"X-Forwarded-For"}, Logger: silent}
	tcp := middleware.ForwardedOptions{Trusted: []string{"10.0.0.1"}, Headers: []string{"X-Forwarded-For"}, Logger: silent}
	var opts middleware.ForwardedOptions
	ln, err := net.Listen("unix", filepath.Join(dir, "s"))
	require.NoError(t, err)
	srv := &httptest.Server{Listener: ln, Config: &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, serve(opts, r))
	})}}
	srv.Start()
	defer srv.Close()
	t.Chdir(dir)
	ask := func(local string) string {
		d := net.Dialer{}
		if local != "" {
			d.LocalAddr = &net.UnixAddr{Name: local, Net: "unix"}
		}
		tr := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return d.DialContext(ctx, "unix", ln.Addr().String())
		}}
		defer tr.CloseIdleConnections()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://own.example/x", nil)
		require.NoError(t, err)
		req.Header.Set("X-Forwarded-For", client)
		res, err := tr.RoundTrip(req)
		require.NoError(t, err)
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		return string(body)
	}
	opts = unix
	require.True(t, strings.HasPrefix(ask(""), client+":0 "))
	opts = tcp
	require.False(t, strings.HasPrefix(ask(""), client))
	require.True(t, strings.HasPrefix(ask("10.0.0.1:80"), "10.0.0.1:80 "), "a socket file with the name of a trusted proxy")
}

func TestForwardedMistakes(t *testing.T) {
	for _, tt := range []struct {
		name string
		opts middleware.ForwardedOptions
		want []string
	}{
		{"nothing said", middleware.ForwardedOptions{}, []string{"Trusted is empty", "Headers is empty"}},
		{"everything wrong", middleware.ForwardedOptions{
			Trusted:      []string{"proxy.example", "10.0.0.1/99", "10.0.0.1/8", "0.0.0.0/0", "::/0", "::ffff:0:0/96", "fe80::1%eth0", ""},
			Headers:      []string{"X-Real-IP", "x-forwarded-host", "X-Forwarded-Host", "Forwarded"},
			Limit:        -1,
			AllowedHosts: []string{"*", "site.example:80", "*.", "a b"},
		}, []string{
			`"proxy.example" is not an IP address`, `"10.0.0.1/99" is not a network`, `"10.0.0.1/8" has bits after its prefix length: write "10.0.0.0/8"`,
			`"0.0.0.0/0" trusts every peer`, `"::/0" trusts every peer`, `"::ffff:0:0/96" trusts every peer`, `"fe80::1%eth0" has a zone`, `"" is not an IP address`,
			`Headers has "X-Real-IP", which is not one of X-Forwarded-For`, `Headers has "X-Forwarded-Host" twice`, "Headers has Forwarded and X-Forwarded-",
			"Limit is -1", `AllowedHosts has "*": leave it empty`, `AllowedHosts has "site.example:80", which is not a host`, `AllowedHosts has "*."`, `AllowedHosts has "a b"`,
		}},
		{"no effect", middleware.ForwardedOptions{DangerouslyTrustEverybody: true, Trusted: []string{"10.0.0.1"}, Headers: []string{"X-Forwarded-Proto"}, Limit: 2, AllowedHosts: []string{"a"}},
			[]string{"makes Trusted pointless", "it is unknown which proxies wrote the further entries", "AllowedHosts has no effect"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := pipeline.New().Use(middleware.Forwarded(tt.opts)).Build()
			var config *pipeline.ConfigError
			require.ErrorAs(t, err, &config)
			require.Equal(t, "middleware.Forwarded", config.Component)
			for _, want := range tt.want {
				require.Contains(t, config.Problem, want)
			}
		})
	}
	_, err := pipeline.New().Use(middleware.Forwarded(middleware.ForwardedOptions{
		Trusted: []string{"10.0.0.0/8", "::ffff:192.0.2.0/120", "::1", "unix"}, Headers: []string{"forwarded"}, Limit: 3, AllowedHosts: []string{"a.example", "*.b.example", "[::1]"},
	})).Build()
	require.NoError(t, err)
}

// FuzzForwarded checks properties that hold for any header: no panic, no value from an
// untrusted peer, and no address that is not in the header.
func FuzzForwarded(f *testing.F) {
	for _, s := range []string{
		client, client + ", " + inner, "[2001:db8::7]:99", "::ffff:203.0.113.7", "unknown", "garbage, ", "fe80::1%x",
		`for=203.0.113.7;proto=https`, `for="[2001:db8::7]:_x";host="a,b"`, `for=", for=203.0.113.7`, `for="\\\"", for=_x`, `;;,`, `for=1.2.3.4:80;x="`,
		"https, http", "evil.example/x", `/\evil`, "/a, /b%20c",
	} {
		f.Add(s, inner, true)
		f.Add(inner, s, false)
	}
	f.Fuzz(func(t *testing.T, first, second string, useRFC bool) {
		opts := middleware.ForwardedOptions{Trusted: []string{"10.0.0.0/8"}, Headers: allX, Limit: 5, Logger: silent}
		if useRFC {
			opts.Headers = []string{"Forwarded"}
		}
		ask := func(peer string) (got *http.Request) {
			r := httptest.NewRequest(http.MethodGet, "http://own.example/x", nil)
			r.RemoteAddr = peer
			for _, name := range opts.Headers {
				r.Header[name] = []string{first, second}
			}
			middleware.Forwarded(opts)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r })).ServeHTTP(httptest.NewRecorder(), r)
			return got
		}
		untrusted := ask(client + ":99")
		require.Equal(t, "203.0.113.7:99 http://own.example|/x via 203.0.113.7:99", describe(untrusted))

		r := ask(proxy)
		require.Equal(t, proxy, middleware.PeerAddr(r))
		require.Contains(t, []string{"http", "https"}, middleware.Scheme(r))
		require.NotContains(t, r.Host, "/")
		require.True(t, r.Host == "own.example" || strings.Contains(first+second, r.Host) || useRFC, r.Host)
		if base := branch.PathBase(r); base != "" {
			require.NoError(t, branch.CheckPrefix(base))
			require.NotContains(t, base, `\`)
		}
		if r.RemoteAddr == proxy {
			return
		}
		got, err := netip.ParseAddrPort(r.RemoteAddr)
		require.NoError(t, err)
		require.Empty(t, got.Addr().Zone())
		require.False(t, got.Addr().Is4In6())
		// The header contains this address.
		plain := strings.NewReplacer(`\`, "").Replace(first + "," + second)
		found := false
		for _, word := range strings.FieldsFunc(plain, func(c rune) bool { return strings.ContainsRune(`,;="[] `+"\t", c) }) {
			for _, s := range []string{word, word[:max(0, strings.LastIndexByte(word, ':'))]} {
				if a, err := netip.ParseAddr(s); err == nil && a.Unmap() == got.Addr() {
					found = true
				}
			}
		}
		require.True(t, found, "%s is not in %q", got, plain)
	})
}

// A header that is ignored is logged with its beginning.
func TestForwardedLogIsShort(t *testing.T) {
	l := &logs{}
	opts := middleware.ForwardedOptions{Trusted: []string{"10.0.0.1"}, Headers: []string{"X-Forwarded-For"}, Logger: l.all()}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.RemoteAddr = "10.0.0.1:1"
	r.Header.Set("X-Forwarded-For", strings.Repeat("x", 50_000))
	middleware.Forwarded(opts)(text("hello")).ServeHTTP(httptest.NewRecorder(), r)
	value := l.records(t)[0]["value"].(string)
	require.Less(t, len(value), 2100)
	require.True(t, strings.HasPrefix(value, "xxx") && strings.HasSuffix(value, " …"), value)
}
