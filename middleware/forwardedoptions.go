package middleware

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/speakingtube/speakingtube/branch"
	"github.com/speakingtube/speakingtube/internal/httpx"
)

var forwardingHeaders = []string{headerFor, headerProto, headerHost, headerPrefix, headerRFC}

// newForwarder validates the options and records their problems.
func newForwarder(opts ForwardedOptions, bad *configProblems) *forwarder {
	f := &forwarder{limit: opts.Limit, logger: opts.Logger}
	f.everybody = opts.DangerouslyTrustEverybody
	switch {
	case f.everybody && len(opts.Trusted) > 0:
		bad.addf("DangerouslyTrustEverybody makes Trusted pointless: leave out one of them")
	case !f.everybody && len(opts.Trusted) == 0:
		bad.addf(`Trusted is empty, so no proxy would be trusted: name the proxies, "10.0.0.7", "10.1.0.0/16" or "unix"`)
	}
	for _, s := range opts.Trusted {
		if s == "unix" {
			f.unix = true
			continue
		}
		network, err := parseNetwork(s)
		if err != nil {
			bad.addf("Trusted: %v", err)
			continue
		}
		f.networks = append(f.networks, network)
	}

	if len(opts.Headers) == 0 && opts.AddressHeader == "" {
		bad.addf("Headers is empty, so no header would be used: name the headers that the proxies set, of %s", strings.Join(forwardingHeaders, ", "))
	}
	for _, name := range opts.Headers {
		key := http.CanonicalHeaderKey(name)
		switch {
		case !slices.Contains(forwardingHeaders, key):
			bad.addf("Headers has %q, which is not one of %s", name, strings.Join(forwardingHeaders, ", "))
		case slices.Contains(f.headers, key):
			bad.addf("Headers has %q twice", name)
		default:
			f.headers = append(f.headers, key)
		}
	}
	if f.uses(headerRFC) && len(f.headers) > 1 {
		bad.addf("Headers has Forwarded and X-Forwarded-… headers: they may disagree, so name only those that your proxies set")
	}

	f.useAddressHeader(opts.AddressHeader, bad)

	hasAddresses := f.uses(headerFor) || f.uses(headerRFC)
	switch {
	case f.limit < 0:
		bad.addf("Limit is %d: it must be the number of proxies, or 0 for 1", f.limit)
	case f.limit > 1 && len(f.headers) > 0 && !hasAddresses:
		bad.addf("Limit is %d, but without X-Forwarded-For it is unknown which proxies wrote the further entries: add that header, or leave Limit out", f.limit)
	case f.limit == 0:
		f.limit = 1
	}

	if len(opts.AllowedHosts) > 0 {
		if len(f.headers) > 0 && !f.uses(headerHost) && !f.uses(headerRFC) {
			bad.addf("AllowedHosts has no effect without X-Forwarded-Host or Forwarded in Headers: it does not look at the request's own host")
		}
		hosts := make([]string, 0, len(opts.AllowedHosts))
		for _, h := range opts.AllowedHosts {
			switch name, _ := strings.CutPrefix(h, "*."); {
			case h == "*":
				bad.addf(`AllowedHosts has "*": leave it empty for any host`)
			case !isHost(name) || hasPort(name):
				bad.addf(`AllowedHosts has %q, which is not a host: write "example.com", "*.example.com" or "[2001:db8::1]", without a port`, h)
			default:
				hosts = append(hosts, strings.TrimSuffix(strings.TrimPrefix(h, "["), "]"))
			}
		}
		if len(hosts) > 0 {
			f.allowed = branch.Host(hosts...)
		}
	}
	return f
}

// useAddressHeader adds the AddressHeader.
func (f *forwarder) useAddressHeader(name string, bad *configProblems) {
	if name == "" {
		return
	}
	f.address = http.CanonicalHeaderKey(name)
	switch {
	case !httpx.IsToken(name):
		bad.addf("AddressHeader is %q: use the name of a header, such as X-Real-IP", name)
	case slices.Contains(forwardingHeaders, f.address):
		bad.addf("AddressHeader is %q: name it in Headers, because it has one entry per proxy", name)
	case f.uses(headerFor) || f.uses(headerRFC):
		bad.addf("AddressHeader and a header with addresses in Headers may disagree: name only the one that your proxies set")
	default:
		f.headers = append(f.headers, f.address)
	}
}

func (f *forwarder) uses(header string) bool { return slices.Contains(f.headers, header) }

// parseNetwork parses an entry of Trusted.
func parseNetwork(s string) (netip.Prefix, error) {
	if !strings.Contains(s, "/") {
		addr, err := netip.ParseAddr(s)
		switch {
		case err != nil:
			return netip.Prefix{}, fmt.Errorf(`%q is not an IP address, a network such as "10.1.0.0/16", or "unix"`, s)
		case addr.Zone() != "":
			return netip.Prefix{}, fmt.Errorf("%q has a zone: write %q, zones are not compared", s, addr.WithZone(""))
		}
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	network, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf(`%q is not a network: write it as "10.1.0.0/16" or "fd00:12::/32"`, s)
	}
	if network.Addr().Is4In6() && network.Bits() >= 96 {
		network = netip.PrefixFrom(network.Addr().Unmap(), network.Bits()-96)
	}
	switch {
	case network.Bits() == 0:
		return netip.Prefix{}, fmt.Errorf("%q trusts every peer: name the proxies, or set DangerouslyTrustEverybody if that is intended", s)
	case network != network.Masked():
		return netip.Prefix{}, fmt.Errorf("%q has bits after its prefix length: write %q, or the address alone", s, network.Masked())
	}
	return network, nil
}
