package hub

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// maxHTTPRedirects limits the HTTP redirects of one request if the caller's HTTPClient has no limit of its own. It is
// net/http's.
const maxHTTPRedirects = 10

var errWeakerScheme = errors.New("the negotiation redirects from https to http")

// credentials are the access token and headers of a client, and where they may be sent.
type credentials struct {
	header   http.Header // of the caller, for the host of origin
	origin   *url.URL    // that the caller named
	token    string
	tokenFor *url.URL // whose host may read the token: origin, or the URL that a redirection gave together with the token
}

// headerFor returns the headers for a request to a URL. Another host gets none of the caller's headers, because any of
// them may be a credential.
func (cr *credentials) headerFor(at *url.URL) http.Header {
	h := make(http.Header)
	if mayRead(cr.origin, at) && cr.header != nil {
		h = cr.header.Clone()
	}
	if cr.token != "" && mayRead(cr.tokenFor, at) {
		h.Set("Authorization", "Bearer "+cr.token)
	}
	return h
}

// mayRead reports whether credentials for one URL may be sent to another that the server has named in its answer: to the
// same host, on any port, and not over a weaker scheme.
func mayRead(owner, at *url.URL) bool {
	return strings.EqualFold(owner.Hostname(), at.Hostname()) && !isWeaker(owner, at)
}

func isWeaker(before, after *url.URL) bool {
	return before.Scheme == "https" && after.Scheme != "https"
}

// isSameOrigin reports whether two URLs have the same scheme, host and port. The step from http to https on their default
// ports is no other origin.
func isSameOrigin(a, b *url.URL) bool {
	if !strings.EqualFold(a.Hostname(), b.Hostname()) {
		return false
	}
	pa, pb := portOf(a), portOf(b)
	return a.Scheme == b.Scheme && pa == pb || a.Scheme == "http" && pa == "80" && b.Scheme == "https" && pb == "443"
}

func portOf(u *url.URL) string {
	switch port := u.Port(); {
	case port != "":
		return port
	case u.Scheme == "https":
		return "443"
	}
	return "80"
}

// follow follows the url of an answer to a negotiation.
func (cr *credentials) follow(answer *negotiationAnswer, at *url.URL) (*url.URL, error) {
	next, err := parseURL(answer.URL)
	switch {
	case err != nil:
		return nil, inContext("following a redirection", err)
	case isWeaker(at, next):
		return nil, errWeakerScheme
	case next.User != nil:
		return nil, errors.New("the negotiation redirects to a URL with a user")
	}
	if answer.AccessToken != "" {
		cr.token, cr.tokenFor = answer.AccessToken, next
	}
	return next, nil
}

// redirectGuard is the CheckRedirect of one request. HTTP redirects may come from a component in front of the hub that
// knows less than the hub, so only the origin that was asked gets the headers of the request.
type redirectGuard struct {
	check      func(*http.Request, []*http.Request) error // of the caller's client; nil for the default
	redirected bool
}

func (g *redirectGuard) checkRedirect(req *http.Request, via []*http.Request) error {
	first, last := via[0], via[len(via)-1]
	if req.Method != first.Method {
		return http.ErrUseLastResponse // a negotiation is a POST: after 301, 302 and 303 it would be a GET
	}
	g.redirected = true
	if isWeaker(last.URL, req.URL) || isWeaker(first.URL, req.URL) {
		return errWeakerScheme
	}
	req.Header.Del("Referer") // it has the query
	for _, before := range via {
		if !isSameOrigin(before.URL, req.URL) {
			req.Header = http.Header{"X-Requested-With": {"XMLHttpRequest"}}
			req.Host, req.URL.User = "", nil
			break
		}
	}
	switch {
	case g.check != nil:
		return g.check(req, via)
	case len(via) >= maxHTTPRedirects:
		return fmt.Errorf("more than %d HTTP redirects", maxHTTPRedirects)
	}
	return nil
}
