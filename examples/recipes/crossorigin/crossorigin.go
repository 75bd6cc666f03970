// Package crossorigin is the recipe for CORS with github.com/jub0bs/cors.
//
// # Order
//
// It may be inside Recover or outside: in both cases the answers that Recover writes, and
// 404s, have the CORS headers. It belongs before authentication: a preflight carries no
// credentials, so a guard in front of CORS refuses it. CORS answers preflights and does not
// pass them on.
//
// For one part of a service, put it into that branch. It must not be behind a component
// that answers first, such as a router without OPTIONS.
//
// # Requests from foreign pages (CSRF)
//
// One line refuses requests of other sites that change something, by the Sec-Fetch-Site and
// Origin headers of browsers, without tokens in forms:
//
//	app.Use(http.NewCrossOriginProtection().Handler)
//
// It is net/http's, and lets GET, HEAD and OPTIONS through. It belongs in front of the
// handlers that use cookies, behind CORS. AddTrustedOrigin allows the origins that CORS allows.
// WebSockets need nothing: their handshakes are checked by wsmanager.
//
// # Traps
//
//   - CORS does not refuse requests. It tells browsers which pages may read the answers; a
//     page without permission has still sent its request, including cookies, and the
//     handler has run. SameSite cookies and http.CrossOriginProtection keep foreign pages
//     from changing data.
//   - WebSockets are not subject to CORS. wsmanager checks the origin itself: same host, or
//     Options.Origins.Allowed, which [Options] fills from the same list.
//   - Scripts can only read a few well-known headers: name others, such as X-Request-Id or
//     X-Response-Time, in Config.ResponseHeaders.
//   - A pipeline redirects unclean paths before its first component, so those redirects
//     have no CORS headers: a script that requests //api fails.
package crossorigin

import (
	"net/http"
	"slices"
	"strings"

	"github.com/jub0bs/cors"

	"github.com/speakingtube/speakingtube/pipeline"
	"github.com/speakingtube/speakingtube/wsmanager"
)

// CORS makes the component. Problems of cfg are reported by the pipeline's Build, with all
// other mistakes.
//
//go:noinline
func CORS(cfg cors.Config) pipeline.Middleware {
	mw, err := cors.NewMiddleware(cfg)
	return func(next http.Handler) http.Handler {
		if err != nil {
			panic(&pipeline.ConfigError{Component: "crossorigin.CORS", Problem: err.Error()})
		}
		return mw.Wrap(next)
	}
}

// Options returns opts with the origins of cfg allowed for WebSockets as well: full ones, such
// as "https://app.example.com", and "https://*.example.com". "*" and patterns for ports do
// not count.
func Options(cfg cors.Config, opts wsmanager.Options) wsmanager.Options {
	opts.Origins.Allowed = slices.Clone(opts.Origins.Allowed)
	for _, origin := range cfg.Origins {
		if !strings.Contains(strings.Replace(origin, "://*.", "://", 1), "*") {
			opts.Origins.Allowed = append(opts.Origins.Allowed, origin)
		}
	}
	return opts
}
