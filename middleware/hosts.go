package middleware

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/speakingtube/speakingtube/branch"
	"github.com/speakingtube/speakingtube/pipeline"
)

// AllowedHosts refuses requests for other hosts than the given ones with 400, through [Fail]:
// a client chooses the Host header, and applications use it in links. Case and port are
// ignored; "*.example.com" stands for every name below example.com, but not for example.com
// itself. IPv6 addresses have brackets ("[::1]"), names in other scripts are in their ASCII
// form ("xn--bcher-kva.example"). A request without a valid host is refused too.
//
// It belongs behind [Forwarded], which replaces the host, and in front of everything else
// that reads it. Probes of [HealthChecks] often use an address as the host: put those in front
// of it, or the address into the list.
//
// It corresponds to ASP.NET Core's UseHostFiltering, which accepts requests without a host.
//
//go:noinline
func AllowedHosts(hosts ...string) pipeline.Middleware {
	var bad configProblems
	if len(hosts) == 0 {
		bad.addf("there are no hosts, so every request would be refused: name the hosts of the service")
	}
	names := make([]string, 0, len(hosts))
	for _, h := range hosts {
		switch name, _ := strings.CutPrefix(h, "*."); {
		case h == "*":
			bad.addf(`the host "*" allows every host: leave the component out`)
		case !isHost(name) || hasPort(name):
			bad.addf(`%q is not a host: write "example.com", "*.example.com", "xn--bcher-kva.example" or "[2001:db8::1]", without a port`, h)
		default:
			names = append(names, strings.TrimSuffix(strings.TrimPrefix(h, "["), "]"))
		}
	}
	return func(next http.Handler) http.Handler {
		bad.report("middleware.AllowedHosts")
		allowed := branch.Host(names...)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			// "good.example:@bad.example" in a link would lead to bad.example.
			if !isHost(strings.TrimSuffix(r.Host, ":")) || !allowed(r) {
				Fail(w, r, &Problem{Status: http.StatusBadRequest, Detail: "the host of the request is not known here"})
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

// HTTPSRedirectOptions configure [HTTPSRedirect]. The zero value suits most services.
type HTTPSRedirectOptions struct {
	// Port is the port of the https URL. Default: 443, which the URL omits.
	Port int

	// Status is the status of the redirect: 307, 308, 301 or 302. Default: 307, with which a
	// client repeats method and body; 308 is the same and is remembered by browsers.
	Status int
}

// HTTPSRedirect redirects requests that came over http to the same URL with https: host (with
// the port of the options), path with [branch.PathBase], and query. It uses [Scheme], so it
// knows the client's scheme behind a proxy that [Forwarded] trusts, and belongs behind that. A
// request without a valid host is refused with 400.
//
// A client has sent its cookies and body in the clear by then: set
// SecurityHeadersOptions.HSTS, so that browsers do not begin with http. Clients of APIs should
// be refused instead of redirected. "OPTIONS *" has no path and passes.
//
// It corresponds to ASP.NET Core's UseHttpsRedirection, which does nothing without a port.
//
//go:noinline
func HTTPSRedirect(opts HTTPSRedirectOptions) pipeline.Middleware {
	var bad configProblems
	port := ""
	switch {
	case opts.Port < 0 || opts.Port > 65535:
		bad.addf("Port is %d: use the port of the https server, or 0 for 443", opts.Port)
	case opts.Port != 0 && opts.Port != 443:
		port = fmt.Sprintf(":%d", opts.Port)
	}
	switch opts.Status {
	case 0:
		opts.Status = http.StatusTemporaryRedirect
	case http.StatusMovedPermanently, http.StatusFound, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
	default:
		bad.addf("Status is %d: use 307, 308, 301 or 302", opts.Status)
	}
	return func(next http.Handler) http.Handler {
		bad.report("middleware.HTTPSRedirect")
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch {
			case Scheme(r) == "https" || r.RequestURI == "*":
				next.ServeHTTP(w, r)
			case !isHost(r.Host):
				Fail(w, r, &Problem{Status: http.StatusBadRequest, Detail: "the request has no valid host"})
			default:
				branch.Redirect(w, r, "https://"+withoutPort(r.Host)+port+ownTarget(r), opts.Status)
			}
		})
	}
}

// ownTarget returns path and query of the request as its client knows them.
func ownTarget(r *http.Request) string {
	target := branch.Link(r, r.URL.EscapedPath())
	if branch.Exact(r) && r.URL.Path == "/" {
		target = strings.TrimSuffix(target, "/") // which the client did not send
	}
	if r.URL.RawQuery != "" || r.URL.ForceQuery {
		target += "?" + r.URL.RawQuery
	}
	return target
}

// withoutPort removes the port of a host.
func withoutPort(host string) string {
	if hasPort(host) {
		return host[:strings.LastIndexByte(host, ':')]
	}
	return host
}
