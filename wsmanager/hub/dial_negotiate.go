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

// Bounds of a negotiation's answer, and of how often it may lead elsewhere.
const (
	maxNegotiation  = 64 << 10
	maxRedirections = 100
)

// agreement is what a negotiation ends in: how to connect.
type agreement struct {
	url      string // of the WebSocket
	header   http.Header
	id       string // the connection's, "" if it is not known
	stateful bool
}

// offer is the answer to a negotiation.
type offer struct {
	negotiation
	redirection
	Error string `json:"error"`
}

// negotiate finds out where to connect.
func (c *Connection) negotiate(ctx context.Context) (*agreement, error) {
	token := ""
	if c.opts.AccessToken != nil {
		var err error
		if token, err = c.opts.AccessToken(ctx); err != nil {
			return nil, fmt.Errorf("the access token: %w", err)
		}
	}
	at := *c.target
	if c.opts.SkipNegotiation {
		return c.agree(at, token, ""), nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, c.opts.HandshakeTimeout, ErrHandshakeTimeout)
	defer cancel()
	for range maxRedirections {
		o, err := c.offered(ctx, at, token)
		switch {
		case err != nil:
			if ctx.Err() != nil {
				err = context.Cause(ctx)
			}
			return nil, err
		case o.Error != "":
			return nil, &RemoteError{"negotiate", o.Error}
		case o.URL != "":
			next, err := parseURL(o.URL)
			if err != nil {
				return nil, fmt.Errorf("the negotiation leads elsewhere: %w", err)
			}
			if next.Scheme == "http" && at.Scheme == "https" {
				return nil, errors.New("the negotiation leads from https to http")
			}
			at = *next
			if o.AccessToken != "" {
				token = o.AccessToken
			}
			continue
		}
		if err := c.check(o); err != nil {
			return nil, err
		}
		id := o.ConnectionID
		if o.NegotiateVersion > 0 {
			id = o.ConnectionToken
		}
		a := c.agree(at, token, id)
		a.id, a.stateful = o.ConnectionID, o.UseStatefulReconnect && c.opts.StatefulReconnect
		return a, nil
	}
	return nil, errors.New("the negotiation leads elsewhere again and again")
}

// check reports what is missing in an offer.
func (c *Connection) check(o *offer) error {
	format := "Text"
	if c.protocol.MessageType() == wsmanager.BinaryMessage {
		format = "Binary"
	}
	for _, t := range o.AvailableTransports {
		if t.Transport != "WebSockets" {
			continue
		}
		if !slices.Contains(t.TransferFormats, format) {
			return fmt.Errorf("the server offers WebSockets for %v, the protocol %q needs %s", t.TransferFormats, c.protocol.Name(), format)
		}
		if o.ConnectionID == "" || o.NegotiateVersion > 0 && o.ConnectionToken == "" {
			return errors.New("the server's offer has no id")
		}
		return nil
	}
	return errors.New("the server offers no WebSockets")
}

// agree makes the request for the WebSocket.
func (c *Connection) agree(at url.URL, token, id string) *agreement {
	if id != "" {
		addQuery(&at, "id="+url.QueryEscape(id))
	}
	return &agreement{url: at.String(), header: c.header(token)}
}

func addQuery(u *url.URL, more string) {
	if u.RawQuery != "" {
		u.RawQuery += "&"
	}
	u.RawQuery += more
}

func (c *Connection) header(token string) http.Header {
	h := c.opts.WebSocket.Header.Clone()
	if h == nil {
		h = make(http.Header)
	}
	if token != "" {
		h.Set("Authorization", "Bearer "+token)
	}
	return h
}

// offered asks once.
func (c *Connection) offered(ctx context.Context, at url.URL, token string) (*offer, error) {
	if at.RawPath != "" {
		at.RawPath = strings.TrimSuffix(at.RawPath, "/") + "/negotiate"
	}
	at.Path = strings.TrimSuffix(at.Path, "/") + "/negotiate"
	addQuery(&at, "negotiateVersion=1")
	if c.opts.StatefulReconnect {
		addQuery(&at, "useStatefulReconnect=true")
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, at.String(), nil)
	if err != nil {
		return nil, err
	}
	req.Header = c.header(token)
	if host := req.Header.Get("Host"); host != "" {
		req.Host = host
	}
	req.Header.Del("Host")
	req.Header.Set("X-Requested-With", "XMLHttpRequest") // lets servers tell it from a form's post
	res, err := c.opts.HTTPClient.Do(req)
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err // without the URL, which may have secrets in its query
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
		return nil, errors.New("the answer to the negotiation is too long")
	}
	o := &offer{}
	if err := json.Unmarshal(body, o); err != nil {
		return nil, fmt.Errorf("the answer to the negotiation: %w", err)
	}
	return o, nil
}
