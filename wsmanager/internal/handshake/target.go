package handshake

import (
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/speakingtube/speakingtube/internal/httpx"
)

// Target is what a client does a handshake with.
type Target struct {
	url     *url.URL // of scheme ws or wss, without a user
	header  http.Header
	host    string // for the Host header; "" for the URL's
	foreign bool   // a redirect has led to it from another server
}

// ParseURL parses the URL of a server. Unlike that of url.Parse, the text of its error
// does not quote the URL, which may contain a password.
func ParseURL(rawURL string) (*url.URL, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		var ue *url.Error
		if !errors.As(err, &ue) {
			return nil, errors.New("can't be parsed")
		}
		text := ue.Err.Error() // may quote the part of the URL that is invalid
		if from, to := strings.IndexByte(text, '"'), strings.LastIndexByte(text, '"'); from < to {
			text = text[:from] + "…" + text[to+1:]
		}
		return nil, fmt.Errorf("can't be parsed: %s", text)
	}
	return u, nil
}

// NewTarget checks a URL and the headers to send, neither of which it changes or keeps. It
// returns all mistakes, those in the headers apart. If u is nil, it checks only the headers,
// and the Target is nil.
func NewTarget(u *url.URL, h http.Header) (_ *Target, headerErrs []error, urlErr error) {
	t := &Target{}
	if u != nil {
		copied := *u
		t.url = &copied
		if err := checkURL(t.url); err != nil {
			urlErr = fmt.Errorf("the URL %w", err)
		}
	}
	t.header, t.host, headerErrs = requestHeader(h)
	if len(headerErrs) > 0 || urlErr != nil || t.url == nil {
		return nil, headerErrs, urlErr
	}
	if user := t.url.User; user != nil {
		if t.header.Get("Authorization") == "" {
			t.header.Set("Authorization", basicAuth(user))
		}
		t.url.User = nil
	}
	return t, nil, nil
}

// IsTLS reports whether the server is reached with TLS.
func (t *Target) IsTLS() bool { return t.url.Scheme == "wss" }

// RedactedURL returns the URL without the parts that may be secret: user and query.
func (t *Target) RedactedURL() string {
	return t.url.Scheme + "://" + t.url.Host + t.url.EscapedPath()
}

// checkURL checks a URL. It changes its scheme to ws or wss, and escapes spaces in its query,
// which url.Parse accepts and which would end the target of the request.
func checkURL(u *url.URL) error {
	switch u.Scheme {
	case "ws", "wss":
	case "http":
		u.Scheme = "ws"
	case "https":
		u.Scheme = "wss"
	default:
		return fmt.Errorf("has the scheme %q: it must be ws or wss", u.Scheme)
	}
	u.RawQuery = strings.ReplaceAll(u.RawQuery, " ", "%20")
	switch {
	case u.Hostname() == "":
		return errors.New("names no host")
	case strings.ContainsFunc(u.Host+u.RequestURI(), httpx.IsControl): // url.Parse refuses this
		return errors.New("has a control character")
	case strings.ContainsFunc(u.Host, func(r rune) bool { return r > 0x7f }):
		return errors.New("has a host that is not ASCII: write it in its ASCII form (xn--…)")
	case u.Fragment != "":
		return errors.New("has a fragment, which the URL of a WebSocket can't have (RFC 6455, section 3)")
	}
	return nil
}

// requestHeader returns the headers to send and the value of Host.
func requestHeader(h http.Header) (out http.Header, host string, errs []error) {
	wrong := func(name, why string) { errs = append(errs, fmt.Errorf("the header %q %s", name, why)) }
	out = make(http.Header, len(h)+1)
	for _, name := range slices.Sorted(maps.Keys(h)) {
		values := h[name]
		canonical := http.CanonicalHeaderKey(name)
		switch {
		case !httpx.IsToken(name):
			wrong(name, "has an invalid name")
			continue
		case isOfHandshake(canonical):
			wrong(name, "belongs to the handshake")
			continue
		case canonical == "Content-Length", canonical == "Transfer-Encoding", canonical == "Trailer":
			wrong(name, "describes a body, which a handshake does not have")
			continue
		}
		for _, v := range values {
			if !httpx.IsFieldValue(v) {
				wrong(name, "has a control character in its value")
				continue
			}
			if canonical == "Host" {
				host = v
			} else {
				out[canonical] = append(out[canonical], v)
			}
		}
	}
	return out, host, errs
}

// CheckSubprotocols returns all mistakes in the sub-protocols that a client offers.
func CheckSubprotocols(names []string) (errs []error) {
	seen := make(map[string]bool, len(names))
	for _, name := range names {
		switch {
		case !httpx.IsToken(name):
			errs = append(errs, fmt.Errorf("the sub-protocol %q is not a token (RFC 6455, section 4.1)", name))
		case seen[name]:
			errs = append(errs, fmt.Errorf("the sub-protocol %q is offered twice", name))
		}
		seen[name] = true
	}
	return errs
}

func basicAuth(u *url.Userinfo) string {
	password, _ := u.Password()
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(u.Username()+":"+password))
}
