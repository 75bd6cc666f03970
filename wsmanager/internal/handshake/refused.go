package handshake

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// RefusedError is an answer other than a 101, from the server or from a proxy.
type RefusedError struct {
	StatusCode int
	Header     http.Header
	Body       []byte // at most the first 4 KiB; incomplete if it came too slowly
	Proxy      bool   // the proxy's answer to CONNECT
	Detail     RefusedDetail
}

// RefusedDetail is for the text of a RefusedError.
type RefusedDetail struct {
	ProxyHost   string // host and port of the proxy
	NotFollowed string // why a redirect is not followed; "" if none are
}

// maxRefusedBody is the maximal length of RefusedError.Body.
const maxRefusedBody = 4 << 10

// Error implements error. It quotes the first line of a short text, and of the target of a
// redirect only the parts that are not secret.
func (e *RefusedError) Error() string {
	by := "server"
	if e.Proxy {
		by = strings.TrimSpace("proxy " + e.Detail.ProxyHost)
	}
	s := fmt.Sprintf("the %s refused with %d %s", by, e.StatusCode, http.StatusText(e.StatusCode))
	why := e.Detail.NotFollowed
	if location := e.Header.Get("Location"); location != "" {
		if why != "" {
			why = ": " + why
		}
		s += fmt.Sprintf(" (to %q, which is not followed%s)", redact(location), why)
	} else if why != "" {
		s += fmt.Sprintf(" (which is not followed: %s)", why)
	}
	text, _, _ := strings.Cut(strings.TrimSpace(string(e.Body)), "\n")
	if text != "" && len(text) <= 200 && strings.HasPrefix(e.Header.Get("Content-Type"), "text/plain") {
		s += fmt.Sprintf(": %q", text)
	}
	return s
}

// redact returns a URL reference without user, query and fragment: a server that redirects
// often copies secrets of the request into them.
func redact(ref string) string {
	u, err := url.Parse(ref)
	if err != nil {
		return "…"
	}
	u.User, u.RawQuery, u.ForceQuery, u.Fragment, u.RawFragment = nil, "", false, "", ""
	return u.String()
}

// newRefusedError reads the beginning of the body. It does not close the body, because that
// would read the rest of it, which may have no end.
func newRefusedError(res *http.Response) *RefusedError {
	body, _ := io.ReadAll(io.LimitReader(res.Body, maxRefusedBody)) // an incomplete body is better than none
	return &RefusedError{StatusCode: res.StatusCode, Header: res.Header, Body: body}
}
