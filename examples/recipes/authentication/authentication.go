// Package authentication is the recipe for authentication, also before a WebSocket is
// upgraded. It needs no library, only the standard library's primitives; the result of a
// library, for example for OpenID Connect, is used in the same way.
//
// # Order
//
// [Require] belongs behind CORS (preflights carry no credentials) and rate limits, and in
// front of everything that it guards. Components in front of it see the 401s; AccessLog
// logs the user with [LogUser].
//
// # WebSockets
//
// The handshake is an ordinary request: if it is refused with a 401, no socket is opened.
// Of its request only the result of OnAccept survives, so [Accept] stores the identity in
// it.
//
// Browsers' WebSocket sends cookies, but scripts can't set headers. So:
//
//   - a session cookie needs no change. Browsers also send it with handshakes from foreign
//     pages: wsmanager's check of the origin refuses these, so never disable it;
//   - a token may come in the query as access_token (RFC 6750, section 2.3), for handshakes
//     only. URLs end up in logs and histories. AccessLog redacts the parameter, the proxy
//     in front may not;
//   - a ticket, fetched with the credentials that scripts can send and valid for one
//     handshake within seconds, is worthless in a log: see [Tickets].
//
// # Traps
//
//   - Secrets are compared in constant time, by their hashes, so that neither content nor
//     length is revealed. Users' passwords additionally need a slow hash, such as those of
//     golang.org/x/crypto.
//   - A socket outlives the session that opened it. The application has to close the
//     sockets of a user that logs out or loses rights.
//   - A script can't read the status of a refused handshake. Offer an HTTP endpoint for the
//     reason.
//   - A component that copies the request, for example to add a context value, must copy
//     the fields that net/http and routers set on the copy back to the original; see
//     Require.
package authentication

import (
	"context"
	"errors"
	"log/slog"
	"net/http"

	"github.com/speakingtube/speakingtube/pipeline"
	"github.com/speakingtube/speakingtube/wsmanager"
)

// Identity is an authenticated user.
type Identity struct{ Name string }

// Scheme is one way of authentication.
type Scheme struct {
	// Challenge returns the scheme's challenge for WWW-Authenticate in a 401 (RFC 9110,
	// section 11.6.1); "" for a scheme without an HTTP name.
	Challenge string

	// Identify returns the identity of the request's sender, and false if the request has
	// no credentials or invalid ones.
	Identify func(*http.Request) (Identity, bool)
}

type identityKey struct{}

// Require refuses requests that none of the schemes identifies with 401. For the others the
// identity is in the request's context: see [From].
//
//go:noinline
func Require(schemes ...Scheme) pipeline.Middleware {
	return func(next http.Handler) http.Handler {
		if len(schemes) == 0 {
			panic(&pipeline.ConfigError{Component: "authentication.Require", Problem: "no scheme is given: every request would be refused"})
		}
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			id, ok := identify(r, schemes)
			if !ok {
				refuse(w, schemes)
				return
			}
			if res, ok := pipeline.ResponseFrom(r.Context()); ok {
				res.SetValue(identityKey{}, id) // for the components above: the context is for those below
			}
			inside := r.WithContext(context.WithValue(r.Context(), identityKey{}, id))
			defer func() {
				r.Pattern = inside.Pattern // for logs and telemetry
				if r.MultipartForm == nil {
					r.MultipartForm = inside.MultipartForm // net/http removes its files
				}
			}()
			next.ServeHTTP(w, inside)
		})
	}
}

func identify(r *http.Request, schemes []Scheme) (Identity, bool) {
	for _, s := range schemes {
		if id, ok := s.Identify(r); ok {
			return id, true
		}
	}
	return Identity{}, false
}

func refuse(w http.ResponseWriter, schemes []Scheme) {
	for _, s := range schemes {
		if s.Challenge != "" {
			w.Header().Add("WWW-Authenticate", s.Challenge)
		}
	}
	w.Header().Set("Cache-Control", "no-store")
	http.Error(w, http.StatusText(http.StatusUnauthorized), http.StatusUnauthorized)
}

// From returns the identity of the request's sender; false outside of Require.
func From(r *http.Request) (Identity, bool) {
	id, ok := r.Context().Value(identityKey{}).(Identity)
	return id, ok
}

// Accept is an OnAccept for a manager behind Require: the identity becomes the connection's
// value. A handshake that did not pass Require is refused.
func Accept(r *http.Request) (wsmanager.Accept, error) {
	id, ok := From(r)
	if !ok {
		return wsmanager.Accept{}, errors.New("authentication: the manager is not behind Require")
	}
	return wsmanager.Accept{Value: id}, nil
}

// LogUser is for middleware.AccessLogOptions.Attrs: it adds the user, if known.
func LogUser(_ *http.Request, res *pipeline.Response) []slog.Attr {
	id, ok := res.Value(identityKey{}).(Identity)
	if !ok {
		return nil
	}
	return []slog.Attr{slog.String("user", id.Name)}
}
