package middleware

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/speakingtube/speakingtube/internal/httpx"
	"github.com/speakingtube/speakingtube/pipeline"
)

// SecurityHeadersOptions configure [SecurityHeaders].
type SecurityHeadersOptions struct {
	// HSTS is the max-age of Strict-Transport-Security (RFC 6797): for this time browsers use
	// only https for the host. Begin with hours, because it can't be taken back; a year is
	// usual in the end. It is sent with https only (see [Scheme]), and never for localhost and
	// loopback addresses. Default: not sent.
	HSTS time.Duration

	// HSTSIncludeSubDomains applies HSTS to all subdomains too. Default: to the host only.
	HSTSIncludeSubDomains bool

	// HSTSPreload asks browsers to have the host in their built-in list. It needs an HSTS of a
	// year and HSTSIncludeSubDomains. Default: no.
	HSTSPreload bool

	// FrameOptions is X-Frame-Options: DENY, SAMEORIGIN, or "-" for none. Default: DENY, pages
	// can't be shown inside of other pages.
	FrameOptions string

	// ReferrerPolicy is Referrer-Policy, or "-" for none. Default:
	// strict-origin-when-cross-origin, other sites see the origin but no path.
	ReferrerPolicy string

	// ContentSecurityPolicy is Content-Security-Policy, the same for all answers, such as
	// "default-src 'self'; connect-src 'self' wss://example.com". Default: not sent. Policies
	// with a nonce per answer are the handler's.
	ContentSecurityPolicy string
}

// SecurityHeaders sets headers that make browsers stricter: X-Content-Type-Options: nosniff,
// X-Frame-Options, Referrer-Policy and, if the options say so, Strict-Transport-Security and
// Content-Security-Policy. They are on every answer, also on errors and refusals below, except
// that a header which the handler sets itself stays. A handler can't remove one: it sets it
// to another value.
//
// It belongs at the beginning, behind [Forwarded] and [Recover], or in the branch of the
// pages. It costs one allocation.
//
// It corresponds to ASP.NET Core's UseHsts, and to helmet for Express.
//
//go:noinline
func SecurityHeaders(opts SecurityHeadersOptions) pipeline.Middleware {
	var bad configProblems
	plain := newSecurityHeaders(opts, &bad)
	secure := plain
	if hsts := opts.hsts(); hsts != "" {
		secure = append(securityHeaders{{"Strict-Transport-Security", []string{hsts}}}, plain...)
	}
	// The lists are never changed, so requests share them.
	plainStarter, secureStarter := &plain, &secure
	observed := pipeline.Observe(func(w http.ResponseWriter, r *http.Request, res *pipeline.Response, next http.Handler) {
		starter := plainStarter
		if Scheme(r) == "https" && !isLoopbackHost(r.Host) {
			starter = secureStarter
		}
		_ = res.NotifyStarting(starter) // too late only if the answer is on its way already
		next.ServeHTTP(w, r)
	})
	return func(next http.Handler) http.Handler {
		bad.report("middleware.SecurityHeaders")
		return observed(next)
	}
}

// securityHeaders are headers with their values, in canonical form.
type securityHeaders []struct {
	name   string
	values []string
}

// Starting implements pipeline.Starter.
func (s *securityHeaders) Starting(h http.Header, _ int) {
	for _, header := range *s {
		if _, set := h[header.name]; !set {
			h[header.name] = header.values[:1:1] // an Add below copies it
		}
	}
}

func newSecurityHeaders(opts SecurityHeadersOptions, bad *configProblems) (headers securityHeaders) {
	add := func(option, name, value, byDefault string) {
		switch {
		case value == "":
			value = byDefault
		case value == "-":
			value = ""
		case strings.ContainsFunc(value, func(c rune) bool { return httpx.IsControl(c) || c > '~' }):
			bad.addf("%s is %q: the value of a header is one line of ASCII characters", option, value)
		}
		if value != "" {
			headers = append(headers, struct {
				name   string
				values []string
			}{name, []string{value}})
		}
	}
	add("", "X-Content-Type-Options", "nosniff", "")
	add("FrameOptions", "X-Frame-Options", opts.FrameOptions, "DENY")
	add("ReferrerPolicy", "Referrer-Policy", opts.ReferrerPolicy, "strict-origin-when-cross-origin")
	add("ContentSecurityPolicy", "Content-Security-Policy", opts.ContentSecurityPolicy, "")

	switch opts.FrameOptions {
	case "", "-", "DENY", "SAMEORIGIN":
	default:
		bad.addf(`FrameOptions is %q: use DENY, SAMEORIGIN or "-"; single sites are allowed with frame-ancestors in ContentSecurityPolicy`, opts.FrameOptions)
	}
	const year = 365 * 24 * time.Hour
	switch {
	case opts.HSTS < 0 || opts.HSTS > 0 && opts.HSTS < time.Second:
		bad.addf("HSTS is %v: use at least a second, or leave it out", opts.HSTS)
	case opts.HSTS == 0 && (opts.HSTSIncludeSubDomains || opts.HSTSPreload):
		bad.addf("HSTSIncludeSubDomains and HSTSPreload have no effect without HSTS: set it to a time")
	case opts.HSTSPreload && (opts.HSTS < year || !opts.HSTSIncludeSubDomains):
		bad.addf("HSTSPreload needs an HSTS of at least 365 days and HSTSIncludeSubDomains: the lists of browsers require both")
	}
	return headers
}

// hsts returns the value of Strict-Transport-Security, or "".
func (opts SecurityHeadersOptions) hsts() string {
	if opts.HSTS < time.Second {
		return ""
	}
	value := fmt.Sprintf("max-age=%d", int64(opts.HSTS/time.Second))
	if opts.HSTSIncludeSubDomains {
		value += "; includeSubDomains"
	}
	if opts.HSTSPreload {
		value += "; preload"
	}
	return value
}

// isLoopbackHost reports whether a Host header names this machine. Browsers would refuse
// the http of each other program on it.
func isLoopbackHost(host string) bool {
	switch strings.ToLower(withoutPort(host)) {
	case "localhost", "127.0.0.1", "[::1]":
		return true
	}
	return false
}
