package handshake

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// errFollow is returned by exchange if hops has moved to the target of a redirect.
var errFollow = errors.New("the server redirects")

// RedirectedError is an error of a server other than the first.
type RedirectedError struct {
	To  string // its URL, without the parts that may be secret
	Err error
}

// Error implements error.
func (e *RedirectedError) Error() string { return "redirected to " + e.To + ": " + e.Err.Error() }

// Unwrap returns the error of the server.
func (e *RedirectedError) Unwrap() error { return e.Err }

// hops are the servers of one attempt, of which each but the last has redirected.
type hops struct {
	target *Target // the present one
	seen   []string
	max    int // redirects
}

func newHops(t *Target, maxRedirects int) *hops {
	return &hops{target: t, seen: []string{t.url.String()}, max: maxRedirects}
}

// wrap adds the present URL to an error, if it is not the first.
func (h *hops) wrap(err error) error {
	if err != nil && len(h.seen) > 1 {
		return &RedirectedError{h.target.RedactedURL(), err}
	}
	return err
}

// refused returns errFollow for a redirect that is followed, and a *RefusedError for any other
// answer. The body of the former is not read: the connection ends.
func (h *hops) refused(res *http.Response) error {
	if h.max == 0 || !isRedirect(res.StatusCode) {
		return newRefusedError(res)
	}
	next, err := h.next(res.Header.Values("Location"))
	if err != nil {
		refused := newRefusedError(res)
		refused.Detail.NotFollowed = err.Error()
		return refused
	}
	h.target = next
	h.seen = append(h.seen, next.url.String())
	return errFollow
}

// isRedirect reports whether a status asks to repeat a GET request elsewhere (RFC 9110,
// section 15.4).
func isRedirect(status int) bool {
	switch status {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return true
	}
	return false
}

// next returns the target of a redirect, or the reason why it is not followed.
func (h *hops) next(locations []string) (*Target, error) {
	for _, l := range locations {
		if l != locations[0] {
			return nil, errors.New("the answer has different headers Location")
		}
	}
	if len(locations) == 0 || locations[0] == "" {
		return nil, errors.New("the answer has no header Location")
	}
	if len(h.seen) > h.max {
		return nil, fmt.Errorf("it is redirect number %d, and at most %d are followed", len(h.seen), h.max)
	}
	ref, err := url.Parse(locations[0])
	if err != nil {
		return nil, errors.New("it is not a URL")
	}
	next, err := h.target.redirect(ref)
	if err == nil && slices.Contains(h.seen, next.url.String()) {
		err = errors.New("it is a loop")
	}
	return next, err
}

// redirect returns the target at a reference, which is relative to the URL.
func (t *Target) redirect(ref *url.URL) (*Target, error) {
	u := t.url.ResolveReference(ref)
	// RFC 9110, section 10.2.2: a fragment is for the client. The URL of a WebSocket has none.
	u.Fragment, u.RawFragment = "", ""
	if err := checkURL(u); err != nil {
		return nil, fmt.Errorf("it %w", err)
	}
	switch {
	case u.User != nil: // credentials of the server's choice
		return nil, errors.New("it contains a user")
	case t.IsTLS() && u.Scheme == "ws":
		return nil, errors.New("its scheme is without TLS, unlike the scheme before")
	}
	next := &Target{url: u, header: t.header, host: t.host, foreign: t.foreign}
	if ref.Host != "" {
		next.host = "" // the redirect names the host
	}
	if next.foreign = t.foreign || !sameServer(t.url, u); next.foreign {
		next.host = ""
		next.header = harmless(t.header)
	}
	return next, nil
}

// sameServer reports whether credentials for a are sent to b. Their hosts and ports must be
// equal. The default port of TLS counts as equal to the default port without TLS: a server
// that redirects from one to the other is the common case.
func sameServer(a, b *url.URL) bool {
	if !strings.EqualFold(a.Hostname(), b.Hostname()) {
		return false
	}
	portA, portB := port(a), port(b)
	return portA == portB || portA == "80" && portB == "443" && a.Scheme == "ws" && b.Scheme == "wss"
}

// harmless returns the headers that another server may get: an application can have put a
// credential into any other.
func harmless(h http.Header) http.Header {
	out := make(http.Header)
	for _, name := range []string{"Accept", "Accept-Language", "Cache-Control", "Origin", "Pragma", "User-Agent"} {
		if values, ok := h[name]; ok {
			out[name] = values
		}
	}
	return out
}
