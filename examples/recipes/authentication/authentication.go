// Package authentication is the recipe for finding out who asks, before a
// WebSocket is upgraded too. It needs no library, only the standard one's
// primitives; what a library for OpenID Connect, say, finds out goes the same way.
//
// # Order
//
// [Require] stands behind CORS (preflights carry no credentials) and rate limits,
// and in front of everything that it guards. Components in front of it see the
// 401s; AccessLog logs the user by [LogUser].
//
// # WebSockets
//
// The handshake is an ordinary request: refused with a 401 it never becomes a
// socket. Of its request nothing survives but what OnAccept returns, so [Accept]
// takes the identity along.
//
// Browsers' WebSocket sends cookies, but lets scripts set no headers. So:
//
//   - a session cookie works as it is. It also goes with handshakes from foreign
//     pages: wsmanager's check of the origin is what refuses these, never switch
//     it off here;
//   - a token may come in the query as access_token (RFC 6750, section 2.3), for
//     handshakes only. URLs end up in logs and histories. AccessLog redacts the
//     parameter, the proxy in front may not;
//   - a ticket, fetched with the credentials that scripts can send and good for one
//     handshake within seconds, is worthless in a log: see [Tickets].
//
// # Traps
//
//   - Secrets are compared in constant time, by their hashes, so that neither
//     content nor length shows. Passwords of people want a slow hash besides, such
//     as those of golang.org/x/crypto.
//   - A socket outlives the session that opened it. Whoever logs out, or loses
//     rights, has his sockets closed by the application.
//   - A script that opened a socket learns of no status, only that it failed. Ask
//     an endpoint over HTTP for the reason.
//   - A component that copies the request, as one with a context value does, must
//     hand up what net/http and routers have put into the copy; see Require.
package authentication

import (
	"context"
	"errors"
	"log/slog"
	"net/http"

	"github.com/speakingtube/speakingtube/pipeline"
	"github.com/speakingtube/speakingtube/wsmanager"
)

// Identity is who asks.
type Identity struct{ Name string }

// Scheme is one way to tell who asks.
type Scheme struct {
	// Challenge is what a 401 says in WWW-Authenticate (RFC 9110, section
	// 11.6.1); "" for a scheme that HTTP has no name for.
	Challenge string

	// Identify returns who asks, and false if the request does not say so, or
	// can't prove it.
	Identify func(*http.Request) (Identity, bool)
}

type identityKey struct{}

// Require refuses requests with 401 that none of the schemes identifies. For the
// others the identity is in the request's context: see [From].
//
//go:noinline
func Require(schemes ...Scheme) pipeline.Middleware {
	return func(next http.Handler) http.Handler {
		if len(schemes) == 0 {
			panic(&pipeline.ConfigError{Component: "authentication.Require", Problem: "no scheme is given: nobody would get in"})
		}
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			id, ok := identify(r, schemes)
			if !ok {
				refuse(w, schemes)
				return
			}
			if res, ok := pipeline.ResponseFrom(r); ok {
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

// From returns who sent the request; false outside of Require.
func From(r *http.Request) (Identity, bool) {
	id, ok := r.Context().Value(identityKey{}).(Identity)
	return id, ok
}

// Accept is an OnAccept for a manager behind Require: the identity becomes the
// connection's value. A handshake that came by another way is refused.
func Accept(r *http.Request) (wsmanager.Accept, error) {
	id, ok := From(r)
	if !ok {
		return wsmanager.Accept{}, errors.New("authentication: the manager is not behind Require")
	}
	return wsmanager.Accept{Value: id}, nil
}

// LogUser is for middleware.AccessLogOptions.Attrs: it adds the user, where there
// is one.
func LogUser(_ *http.Request, res *pipeline.Response) []slog.Attr {
	id, ok := res.Value(identityKey{}).(Identity)
	if !ok {
		return nil
	}
	return []slog.Attr{slog.String("user", id.Name)}
}
