package hub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/hub/internal/token"
)

// ServeHTTP serves the two requests of a client: the POST to …/negotiate, and the handshake of a WebSocket, with or without
// the token of a negotiation.
//
// Pages of other origins need a CORS component in front of the hub for the negotiation (with credentials), and
// Options.WebSocket.Origins for the WebSocket.
func (h *Hub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasSuffix(r.URL.Path, "/negotiate") {
		closeAfterUpgrade(w, r)
		h.negotiate(w, r)
		return
	}
	h.serve.ServeHTTP(w, r)
}

// closeAfterUpgrade ends the connection after the answer to a request for an upgrade, to any protocol, as wsmanager refuses
// handshakes.
func closeAfterUpgrade(w http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor == 1 && r.Header.Get("Upgrade") != "" {
		w.Header().Set("Connection", "close")
	}
}

// serveOther answers requests without a WebSocket: attempts to use another transport, and stray requests.
func (h *Hub) serveOther(w http.ResponseWriter, r *http.Request) {
	closeAfterUpgrade(w, r)
	switch id := query(r, "id"); {
	case id == "":
		http.Error(w, "Connection ID required", http.StatusBadRequest)
	default:
		text := "No Connection with that ID"
		if h.tickets.find(id) != nil {
			text = "This hub serves WebSockets only."
		}
		http.Error(w, text, http.StatusNotFound)
	}
}

// negotiation is the answer that tells a client how to connect.
type negotiation struct {
	NegotiateVersion     int         `json:"negotiateVersion"`
	ConnectionID         string      `json:"connectionId"`
	ConnectionToken      string      `json:"connectionToken,omitempty"`
	AvailableTransports  []transport `json:"availableTransports"`
	UseStatefulReconnect bool        `json:"useStatefulReconnect,omitempty"`
}

type transport struct {
	Transport       string   `json:"transport"`
	TransferFormats []string `json:"transferFormats"`
}

// redirection is the answer that sends a client to another server.
type redirection struct {
	URL         string `json:"url"`
	AccessToken string `json:"accessToken,omitempty"`
}

func (h *Hub) negotiate(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "A negotiation is a POST request.", http.StatusMethodNotAllowed)
		return
	}
	if h.isDraining() {
		http.Error(w, "The server is shutting down.", http.StatusServiceUnavailable)
		return
	}
	identity, err := h.authenticate(r)
	if err != nil {
		h.refuse(w, r, err)
		return
	}
	version := 0
	if v := query(r, "negotiateVersion"); v != "" {
		version, err = strconv.Atoi(v)
		if err != nil || version < 0 {
			writeJSON(w, map[string]string{"error": fmt.Sprintf("The client requested an invalid protocol version '%s'", v)})
			return
		}
	}
	version = min(version, 1)
	if h.opts.Redirect != nil {
		to, token, err := h.opts.Redirect(r, identity)
		if text, public := publicText(err); public {
			writeJSON(w, map[string]string{"error": text})
			return
		}
		if err != nil {
			h.refuse(w, r, err)
			return
		}
		if to != "" {
			writeJSON(w, redirection{to, token})
			return
		}
	}
	stateful := version > 0 && h.opts.StatefulReconnect && strings.EqualFold(query(r, "useStatefulReconnect"), "true")
	h.counters.negotiations.Add(1)
	text, id := h.tickets.issue(identity.User, version, stateful)
	answer := negotiation{
		NegotiateVersion:     version,
		ConnectionID:         id,
		AvailableTransports:  []transport{{"WebSockets", []string{"Text", "Binary"}}},
		UseStatefulReconnect: stateful,
	}
	if version > 0 {
		answer.ConnectionToken = text
	}
	writeJSON(w, answer)
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store") // a token is a secret
	_ = json.NewEncoder(w).Encode(v)            // an error means that the client has left
}

// refuse answers a request that Authenticate or Redirect has refused, in the same way as wsmanager answers handshakes.
func (h *Hub) refuse(w http.ResponseWriter, r *http.Request, err error) {
	status, text, ok := wsmanager.Rejection(err)
	if !ok {
		status, text = http.StatusInternalServerError, "The server failed to negotiate."
		h.logger().ErrorContext(r.Context(), "hub negotiation failed", slog.Any("err", logged(err)))
	}
	w.Header().Set("Cache-Control", "no-store")
	http.Error(w, text, status)
}

func (h *Hub) authenticate(r *http.Request) (Identity, error) {
	if h.opts.Authenticate == nil {
		return Identity{}, nil
	}
	identity, err := h.opts.Authenticate(r, accessToken(r))
	if err == nil && identity.expired() {
		err = errIdentityExpired
	}
	return identity, err
}

// accessToken returns the bearer token of a request.
func accessToken(r *http.Request) string {
	if scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok && strings.EqualFold(scheme, "Bearer") {
		return strings.TrimSpace(token)
	}
	return query(r, "access_token")
}

// query returns a value of the query. Names match case-insensitively, as in ASP.NET Core.
func query(r *http.Request, name string) string {
	values, _ := url.ParseQuery(r.URL.RawQuery) // skips values that cannot be parsed
	if v := values.Get(name); v != "" {
		return v
	}
	for n, v := range values {
		if strings.EqualFold(n, name) {
			return v[0]
		}
	}
	return ""
}

// connContext returns the context of a new connection.
func (h *Hub) connContext(r *http.Request) (context.Context, error) {
	ctx := h.baseContext()
	if h.opts.ConnContext != nil {
		if ctx = h.opts.ConnContext(ctx, r); ctx == nil {
			return nil, errors.New("hub: Options.ConnContext returned nil")
		}
	}
	return ctx, nil
}

// accept handles wsmanager's OnAccept.
func (h *Hub) accept(r *http.Request) (wsmanager.Accept, error) {
	identity, err := h.authenticate(r)
	if err != nil {
		return wsmanager.Accept{}, err
	}
	id := query(r, "id")
	if id == "" {
		return h.acceptNew(r, identity, nil)
	}
	k := h.tickets.find(id)
	if k == nil {
		return wsmanager.Accept{}, errNoSuchConnection
	}
	if !k.IsFor(identity.User) {
		return wsmanager.Accept{}, wsmanager.Reject(http.StatusForbidden, "The connection was negotiated by another user.")
	}
	switch c, state := h.tickets.claim(k); {
	case state == token.Invalid:
		return wsmanager.Accept{}, errNoSuchConnection
	case state == token.Fresh, k.Stateful && (state == token.Claimed || awaitsHandshake(c)):
		return h.acceptNew(r, identity, k)
	case state == token.Claimed, !c.resumable():
		return wsmanager.Accept{}, wsmanager.Reject(http.StatusConflict, "The connection is in use.")
	case !c.session.replay.mayResume():
		return wsmanager.Accept{}, wsmanager.Reject(http.StatusTooManyRequests, "The connection was resumed too often.")
	default:
		renewed := identity // on the heap only if it is needed
		socket := &serverSocket{conn: c, attempt: h.attempts.Add(1), renewed: &renewed}
		return wsmanager.Accept{Value: socket, Deferred: true}, nil
	}
}

var errNoSuchConnection = wsmanager.Reject(http.StatusNotFound, "No Connection with that ID")

// acceptNew accepts the first socket of a connection. k is nil if the connection was not negotiated.
func (h *Hub) acceptNew(r *http.Request, identity Identity, k *ticket) (wsmanager.Accept, error) {
	ctx, err := h.connContext(r)
	if err != nil {
		h.tickets.remove(k)
		return wsmanager.Accept{}, err
	}
	socket := &serverSocket{conn: h.newConn(ctx, identity, k), attempt: h.attempts.Add(1)}
	return wsmanager.Accept{User: identity.User, Value: socket, Deferred: true}, nil
}
