// Package crossorigin is the recipe for CORS with github.com/jub0bs/cors.
//
// # Order
//
// Inside Recover or outside: the headers that CORS sets are on the answers that
// Recover writes either way, and on 404s. Before authentication: a preflight
// carries no credentials, so a guard in front of CORS refuses it. Preflights are
// answered here and never reach what is behind.
//
// For one part of a service only, put it into that branch. It must not stand
// behind something that answers first, such as a router that knows no OPTIONS.
//
// # Traps
//
//   - CORS refuses no request. It tells browsers which pages may read the
//     answers; a page that may not has still sent its request, cookies and all,
//     and the handler has run. What keeps foreign pages from changing something is
//     SameSite cookies and http.CrossOriginProtection.
//   - WebSockets are not subject to CORS at all. wsmanager checks the origin by
//     itself: same host, or Options.AllowedOrigins, which [Options] fills from the
//     same list.
//   - Scripts read no header but a few well-known ones: name others, such as
//     X-Request-Id or X-Response-Time, in Config.ResponseHeaders.
//   - A pipeline redirects paths that are not clean before its first component, so
//     those redirects carry no CORS headers: a script that asks for //api fails.
package crossorigin

import (
	"net/http"
	"slices"
	"strings"

	"github.com/jub0bs/cors"

	"github.com/speakingtube/speakingtube/pipeline"
	"github.com/speakingtube/speakingtube/wsmanager"
)

// CORS makes the component. What is wrong with cfg is reported by the pipeline's
// Build, with all other mistakes.
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

// Options returns opts with the origins of cfg allowed for WebSockets as well.
// wsmanager takes no patterns: of cfg's only full origins count, such as
// "https://app.example.com", and not "*" or "https://*.example.com".
func Options(cfg cors.Config, opts wsmanager.Options) wsmanager.Options {
	opts.AllowedOrigins = slices.Clone(opts.AllowedOrigins)
	for _, origin := range cfg.Origins {
		if !strings.Contains(origin, "*") {
			opts.AllowedOrigins = append(opts.AllowedOrigins, origin)
		}
	}
	return opts
}
