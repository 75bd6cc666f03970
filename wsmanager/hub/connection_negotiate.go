package hub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/speakingtube/speakingtube/wsmanager"
)

const (
	maxNegotiation  = 64 << 10 // bytes of an answer
	maxRedirections = 100
)

// negotiator negotiates connections for a [Connection].
type negotiator struct {
	opts   *DialOptions
	target *url.URL // scheme http or https
}

// endpoint is the result of a negotiation: where and how to connect.
type endpoint struct {
	url      string // of the WebSocket
	header   http.Header
	id       string // of the connection; "" if it is not known
	stateful bool

	at          *url.URL // url without the id
	credentials credentials
}

// negotiationAnswer is the server's answer: a negotiation, a redirection or an error.
type negotiationAnswer struct {
	negotiation
	redirection
	Error string `json:"error"`
}

// negotiate returns where to connect. It follows redirections.
func (n *negotiator) negotiate(ctx context.Context) (*endpoint, error) {
	cr := credentials{header: n.opts.WebSocket.Handshake.Header, origin: n.target, tokenFor: n.target}
	var err error
	if cr.token, err = n.accessToken(ctx); err != nil {
		return nil, err
	}
	at := n.target
	if n.opts.SkipNegotiation {
		return newEndpoint(at, &cr, ""), nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, n.opts.HandshakeTimeout, ErrHandshakeTimeout)
	defer cancel()
	for range maxRedirections {
		answer, err := n.request(ctx, *at, &cr)
		switch {
		case err != nil && ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case err != nil:
			return nil, err
		case answer.Error != "":
			return nil, &RemoteError{"negotiate", answer.Error}
		case answer.URL == "":
			return n.accept(answer, at, &cr)
		}
		if at, err = cr.follow(answer, at); err != nil {
			return nil, err
		}
	}
	return nil, errors.New("the negotiation redirects too often")
}

// accessToken gets a token of the caller, or "".
func (n *negotiator) accessToken(ctx context.Context) (string, error) {
	if n.opts.AccessToken == nil {
		return "", nil
	}
	token, err := n.opts.AccessToken(ctx)
	if err != nil {
		return "", fmt.Errorf("getting the access token: %w", err)
	}
	return token, nil
}

// renew returns the endpoint for a socket that resumes, with a new token of the caller: the one that began the connection
// may have expired. A token of a redirection stays.
func (n *negotiator) renew(ctx context.Context, e *endpoint) (*endpoint, error) {
	if n.opts.AccessToken == nil || e.credentials.tokenFor != n.target {
		return e, nil
	}
	renewed := *e
	var err error
	if renewed.credentials.token, err = n.accessToken(ctx); err != nil {
		return nil, err
	}
	renewed.header = renewed.credentials.headerFor(e.at)
	return &renewed, nil
}

// accept makes the endpoint of a negotiation.
func (n *negotiator) accept(answer *negotiationAnswer, at *url.URL, cr *credentials) (*endpoint, error) {
	if err := n.check(answer); err != nil {
		return nil, err
	}
	id := answer.ConnectionID
	if answer.NegotiateVersion > 0 {
		id = answer.ConnectionToken
	}
	e := newEndpoint(at, cr, id)
	e.id = answer.ConnectionID
	e.stateful = answer.UseStatefulReconnect && n.opts.StatefulReconnect
	return e, nil
}

// check reports whether the server offers WebSockets for the protocol.
func (n *negotiator) check(answer *negotiationAnswer) error {
	format := "Text"
	if n.opts.Protocol.MessageType() == wsmanager.BinaryMessage {
		format = "Binary"
	}
	for _, t := range answer.AvailableTransports {
		if t.Transport != "WebSockets" {
			continue
		}
		if !slices.Contains(t.TransferFormats, format) {
			return fmt.Errorf("the server offers WebSockets for %v, but the protocol %q needs %s", t.TransferFormats, n.opts.Protocol.Name(), format)
		}
		if answer.ConnectionID == "" || answer.NegotiateVersion > 0 && answer.ConnectionToken == "" {
			return errors.New("the server's answer to the negotiation has no id")
		}
		return nil
	}
	return errors.New("the server offers no WebSockets")
}

func newEndpoint(at *url.URL, cr *credentials, id string) *endpoint {
	u := *at
	if id != "" {
		addQuery(&u, "id="+url.QueryEscape(id))
	}
	return &endpoint{url: u.String(), header: cr.headerFor(at), at: at, credentials: *cr}
}

func addQuery(u *url.URL, more string) {
	if u.RawQuery != "" {
		u.RawQuery += "&"
	}
	u.RawQuery += more
}

// request sends one request and reads its answer.
func (n *negotiator) request(ctx context.Context, at url.URL, cr *credentials) (*negotiationAnswer, error) {
	if at.RawPath != "" {
		at.RawPath = strings.TrimSuffix(at.RawPath, "/") + "/negotiate"
	}
	at.Path = strings.TrimSuffix(at.Path, "/") + "/negotiate"
	addQuery(&at, "negotiateVersion=1")
	if n.opts.StatefulReconnect {
		addQuery(&at, "useStatefulReconnect=true")
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, at.String(), nil)
	if err != nil {
		return nil, err
	}
	req.Header = cr.headerFor(&at)
	if host := req.Header.Get("Host"); host != "" {
		req.Host = host
	}
	req.Header.Del("Host")
	req.Header.Set("X-Requested-With", "XMLHttpRequest") // Microsoft's clients send it; an HTML form cannot
	client, guard := *n.opts.HTTPClient, &redirectGuard{check: n.opts.HTTPClient.CheckRedirect}
	client.CheckRedirect = guard.checkRedirect
	res, err := client.Do(req)
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err // without the URL: its query may have secrets
		}
		return nil, fmt.Errorf("negotiating: %w", err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxNegotiation+1))
	switch {
	case res.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("negotiating: %w", &wsmanager.RefusedError{StatusCode: res.StatusCode, Header: res.Header, Body: body[:min(len(body), 4<<10)]})
	case err != nil:
		return nil, fmt.Errorf("negotiating: %w", err)
	case len(body) > maxNegotiation:
		return nil, fmt.Errorf("negotiating: the answer is longer than %d bytes", maxNegotiation)
	}
	answer := &negotiationAnswer{}
	if err := json.Unmarshal(body, answer); err != nil {
		return nil, fmt.Errorf("negotiating: decoding the answer: %w", err)
	}
	if answer.URL != "" && guard.redirected && !n.opts.AllowRedirectedURL {
		return nil, errors.New("negotiating: the answer to a redirected request redirects to another hub: see DialOptions.AllowRedirectedURL")
	}
	return answer, nil
}
