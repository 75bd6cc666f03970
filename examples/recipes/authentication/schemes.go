package authentication

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Equal compares secrets without revealing, by its duration, where they differ or how long
// they are.
func Equal(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

// Basic is user name and password (RFC 7617), over TLS only. Browsers ask for them in a
// window of their own, also if a script's request was refused. check must compare in
// constant time: see [Equal].
func Basic(realm string, check func(user, password string) bool) Scheme {
	return Scheme{
		Challenge: fmt.Sprintf(`Basic realm=%q, charset="UTF-8"`, realm),
		Identify: func(r *http.Request) (Identity, bool) {
			user, password, ok := r.BasicAuth()
			if !ok || !check(user, password) {
				return Identity{}, false
			}
			return Identity{user}, true
		},
	}
}

// Tokens are secrets that each stand for a user, known beforehand.
type Tokens struct{ list []token }

type token struct {
	sum [sha256.Size]byte
	id  Identity
}

// NewTokens takes tokens and their users. It keeps only the tokens' hashes.
func NewTokens(tokens map[string]Identity) *Tokens {
	t := &Tokens{}
	for secret, id := range tokens {
		t.list = append(t.list, token{sha256.Sum256([]byte(secret)), id})
	}
	return t
}

// find compares with all of them, so that the duration is the same for each.
func (t *Tokens) find(secret string) (id Identity, ok bool) {
	sum := sha256.Sum256([]byte(secret))
	for _, have := range t.list {
		if subtle.ConstantTimeCompare(sum[:], have.sum[:]) == 1 {
			id, ok = have.id, true
		}
	}
	return id, ok
}

// Bearer is a token in the header Authorization (RFC 6750, section 2.1).
func (t *Tokens) Bearer() Scheme {
	return Scheme{
		Challenge: "Bearer",
		Identify: func(r *http.Request) (Identity, bool) {
			scheme, secret, ok := strings.Cut(r.Header.Get("Authorization"), " ")
			if !ok || !strings.EqualFold(scheme, "Bearer") {
				return Identity{}, false
			}
			return t.find(secret)
		},
	}
}

// Query is a token in the query parameter access_token, for handshakes only: the links of
// pages and downloads are stored, shared and sent as Referer.
func (t *Tokens) Query() Scheme {
	return Scheme{Identify: func(r *http.Request) (Identity, bool) {
		if !isHandshake(r) {
			return Identity{}, false
		}
		return t.find(r.URL.Query().Get("access_token"))
	}}
}

func isHandshake(r *http.Request) bool { return r.Header.Get("Upgrade") != "" }

// Sessions are cookies that contain the user and an expiry time, under a MAC. The server
// stores nothing, so a single session can't be revoked: keep Lifetime short, or keep a
// list.
type Sessions struct {
	key      []byte
	lifetime time.Duration
}

// NewSessions makes sessions with a key of 32 random bytes, which all nodes of a service
// share and keep secret.
func NewSessions(key [32]byte, lifetime time.Duration) *Sessions {
	return &Sessions{key[:], lifetime}
}

// sessionCookie's prefix binds it to this host and to TLS.
const sessionCookie = "__Host-session"

// Begin sets the cookie. With its SameSite mode browsers omit it from requests of foreign
// pages, except for links; not every browser omits it from handshakes, and none does within
// the same site.
func (s *Sessions) Begin(w http.ResponseWriter, id Identity) {
	expires := time.Now().Add(s.lifetime)
	value := base64.RawURLEncoding.EncodeToString([]byte(id.Name)) + "." + strconv.FormatInt(expires.Unix(), 10)
	http.SetCookie(w, &http.Cookie{
		Name: sessionCookie, Value: value + "." + s.mac(value), Path: "/", Expires: expires,
		Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
}

func (s *Sessions) mac(value string) string {
	mac := hmac.New(sha256.New, s.key)
	mac.Write([]byte(value))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// Cookie is the scheme.
func (s *Sessions) Cookie() Scheme {
	return Scheme{Identify: func(r *http.Request) (Identity, bool) {
		c, err := r.Cookie(sessionCookie)
		if err != nil {
			return Identity{}, false
		}
		cut := strings.LastIndexByte(c.Value, '.')
		if cut < 0 || !hmac.Equal([]byte(c.Value[cut+1:]), []byte(s.mac(c.Value[:cut]))) {
			return Identity{}, false
		}
		name, expires, _ := strings.Cut(c.Value[:cut], ".") // our own value, by the MAC
		at, err := strconv.ParseInt(expires, 10, 64)
		if err != nil || time.Now().Unix() >= at {
			return Identity{}, false
		}
		plain, err := base64.RawURLEncoding.DecodeString(name)
		return Identity{string(plain)}, err == nil
	}}
}
