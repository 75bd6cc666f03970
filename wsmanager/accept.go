package wsmanager

import (
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"

	"github.com/speakingtube/speakingtube/internal/httpx"
)

// ServeHTTP accepts a WebSocket handshake (RFC 6455, section 4.2) and returns as
// soon as the connection is handed over. What is wrong with a request is
// answered over HTTP: 426 for one that is no handshake, or of another version;
// 405, 400 for a malformed one; 403 for a foreign origin; 503 during Shutdown;
// what OnAccept says. Headers that components above have set are in the 101.
//
// w may be any http.ResponseWriter that is an http.Hijacker, itself or by Unwrap
// methods; net/http's own for HTTP/1.1 is one, below http.TimeoutHandler there is none,
// and the answer is 500. The client gets one 101, whether the writers above pass a
// status on, keep it, or send it when they are hijacked. w and what it unwraps to see
// the 101 by WriteHeader, all others as well if they pass it on; none does where what
// w writes to at last can't be found, in a closure for instance. A writer that keeps the
// status and writes it when its handler has returned, as some compressors do, makes
// net/http log a superfluous call. If the 101 can't be sent, no callback runs, and the
// log says which writer is in the way.
//
// Over HTTP/2 a handshake is an extended CONNECT (RFC 8441), which reaches handlers
// only in a process that has switched it on: see package extendedconnect. The answer
// is a 200, a malformed handshake gets 400, another protocol than WebSocket 501. There
// ServeHTTP returns when the connection has ended and its callbacks have returned: the
// stream is the request's. w must lead to net/http's own writer by Unwrap methods.
func (m *Manager) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := m.serve(w, r); err != nil {
		m.refuse(w, r, err)
	}
}

// Middleware accepts handshakes as ServeHTTP does, and passes requests that ask
// for no WebSocket on to next.
func (m *Manager) Middleware(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !wantsWebSocket(r) {
			next.ServeHTTP(w, r)
			return
		}
		m.ServeHTTP(w, r)
	})
}

func (m *Manager) serve(w http.ResponseWriter, r *http.Request) error {
	if m.keys != nil {
		return internal(errors.New("this Manager belongs to a client: it accepts nothing"))
	}
	var key string
	var err error
	overStream := overStream(r)
	if overStream {
		err = checkConnect(w, r)
	} else {
		key, err = checkHandshake(w, r)
	}
	if err != nil {
		return err
	}
	extensions, err := m.negotiate(r)
	if err != nil {
		return err
	}
	if err := m.opts.checkOrigin(r); err != nil {
		return &refusal{refusedOrigin, http.StatusForbidden, "This origin may not connect.", err}
	}
	if err := m.admit(); err != nil {
		return err
	}
	handedOver := false
	defer func() {
		if !handedOver {
			m.dismiss()
		}
	}()
	accept, err := m.accept(r)
	if err != nil {
		return err
	}
	var c *Conn
	var d driver
	var early []byte
	if overStream {
		c, d, err = m.acceptH2(w, r, extensions, accept)
	} else {
		c, d, early, err = m.acceptH1(w, r, key, extensions, accept)
	}
	if err != nil {
		return err
	}
	handedOver = true
	m.stats.accepted.Add(1)
	if m.opts.Block {
		d.serve(c, early)
	} else {
		d.start(c, early)
	}
	return nil
}

// accept asks OnAccept and checks its answer.
func (m *Manager) accept(r *http.Request) (Accept, error) {
	if m.callbacks.OnAccept == nil {
		return Accept{}, nil
	}
	a, err := m.callOnAccept(r)
	if err != nil {
		var rej *rejection
		if errors.As(err, &rej) {
			return Accept{}, &refusal{refusedRejected, rej.status, rej.text, err}
		}
		return Accept{}, internal(fmt.Errorf("OnAccept: %w", err))
	}
	if a.Subprotocol != "" && !slices.Contains(slices.Collect(httpx.ListItems(r.Header["Sec-Websocket-Protocol"])), a.Subprotocol) {
		return Accept{}, internal(fmt.Errorf("OnAccept chose the sub-protocol %q, which the client did not offer", httpx.Truncate(a.Subprotocol, maxLogged)))
	}
	if a.Subprotocol != "" && !httpx.IsToken(a.Subprotocol) {
		return Accept{}, internal(fmt.Errorf("OnAccept chose the sub-protocol %q, which is no token (RFC 6455, section 4.1)", httpx.Truncate(a.Subprotocol, maxLogged)))
	}
	for name, values := range a.Header {
		canonical := http.CanonicalHeaderKey(name)
		if !httpx.IsToken(name) || slices.ContainsFunc(values, func(v string) bool { return !httpx.IsFieldValue(v) }) {
			return Accept{}, internal(fmt.Errorf("OnAccept set the header %q to something that no header can be", name))
		}
		if canonical == "Connection" || canonical == "Upgrade" || strings.HasPrefix(canonical, "Sec-Websocket-") {
			return Accept{}, internal(fmt.Errorf("OnAccept set the header %s, which belongs to the handshake", canonical))
		}
	}
	if err := m.checkAccept(a); err != nil {
		return Accept{}, internal(fmt.Errorf("OnAccept: %w", err))
	}
	return a, nil
}

// callOnAccept counts the calls, and those that don't return: their panic goes on
// to who serves the request.
func (m *Manager) callOnAccept(r *http.Request) (Accept, error) {
	returned := false
	m.accepting.Add(1)
	defer func() {
		m.accepting.Add(-1)
		if !returned {
			m.stats.refused[refusedFailed].Add(1)
		}
	}()
	a, err := m.callbacks.OnAccept(r)
	returned = true
	return a, err
}

// checkAccept finds what OnAccept can't ask for.
func (m *Manager) checkAccept(a Accept) error {
	for _, name := range a.Groups {
		if err := checkGroupName(name); err != nil {
			return err
		}
	}
	switch {
	case len(a.Groups) > m.opts.MaxGroups:
		return fmt.Errorf("%d groups: %w", len(a.Groups), ErrTooManyGroups)
	case a.Variant >= MaxVariants:
		return fmt.Errorf("variant %d: there are %d", a.Variant, MaxVariants)
	case a.SlowConsumer != 0 && !a.SlowConsumer.valid():
		return fmt.Errorf("there is no SlowConsumer %d", a.SlowConsumer)
	}
	return nil
}

const expected = `This is a WebSocket endpoint. Connect to it with a WebSocket client, which sends
a GET request over HTTP/1.1 with the headers "Connection: Upgrade",
"Upgrade: websocket", "Sec-WebSocket-Version: 13" and a "Sec-WebSocket-Key".`

// checkHandshake returns the key of a valid handshake (RFC 6455, section
// 4.2.1). It sets the headers that the answer to an invalid one needs.
func checkHandshake(w http.ResponseWriter, r *http.Request) (key string, err error) {
	h := r.Header
	if p := connectProtocol(r); p != "" { // RFC 9220, section 3, says what RFC 8441 does not
		return "", &refusal{refusedNotWebSocket, http.StatusNotImplemented, "This is a WebSocket endpoint.", fmt.Errorf("the request asks for the protocol %q", p)}
	}
	if !wantsWebSocket(r) || !httpx.ListContains(h["Connection"], "upgrade") {
		// RFC 9110, section 15.5.22: a 426 says what to upgrade to.
		if r.ProtoMajor == 1 {
			w.Header().Set("Connection", "Upgrade")
			w.Header().Set("Upgrade", "websocket")
		}
		return "", &refusal{refusedNotWebSocket, http.StatusUpgradeRequired, expected, errors.New("the request asks for no WebSocket")}
	}
	if r.Method != http.MethodGet {
		w.Header().Set("Allow", http.MethodGet)
		return "", &refusal{refusedMalformed, http.StatusMethodNotAllowed, "A WebSocket handshake is a GET request.", errors.New("the method is " + httpx.Truncate(r.Method, maxLogged))}
	}
	if !r.ProtoAtLeast(1, 1) {
		return "", &refusal{refusedMalformed, http.StatusBadRequest, "A WebSocket handshake needs HTTP/1.1.", errors.New("the request is " + r.Proto)}
	}
	if v := h["Sec-Websocket-Version"]; len(v) != 1 || strings.TrimSpace(v[0]) != "13" {
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", "websocket")
		w.Header().Set("Sec-WebSocket-Version", "13")
		return "", &refusal{refusedMalformed, http.StatusUpgradeRequired, "This server speaks version 13 of the WebSocket protocol (RFC 6455).", fmt.Errorf("the version is %q", httpx.Truncate(strings.Join(v, ", "), maxLogged))}
	}
	if r.ContentLength != 0 {
		// The hijack would wait for the body, without any time-out of ours.
		w.Header().Set("Connection", "close")
		return "", &refusal{refusedMalformed, http.StatusBadRequest, "A WebSocket handshake has no body.", errors.New("the request has a body")}
	}
	keys := h["Sec-Websocket-Key"]
	if len(keys) != 1 {
		return "", &refusal{refusedMalformed, http.StatusBadRequest, "A WebSocket handshake has one Sec-WebSocket-Key.", fmt.Errorf("there are %d keys", len(keys))}
	}
	key = strings.TrimSpace(keys[0])
	if nonce, err := base64.StdEncoding.DecodeString(key); err != nil || len(nonce) != 16 {
		return "", &refusal{refusedMalformed, http.StatusBadRequest, "The Sec-WebSocket-Key must be 16 bytes in base64.", errors.New("the key is malformed")}
	}
	return key, nil
}

// wantsWebSocket reports whether the request asks for a WebSocket, well or badly.
func wantsWebSocket(r *http.Request) bool {
	return httpx.ListContains(r.Header["Upgrade"], "websocket") || overStream(r)
}

// refusal is a handshake that ends in an HTTP status: what the client reads, and
// what the log gets.
type refusal struct {
	reason refusedReason
	status int
	text   string
	err    error
}

func (e *refusal) Error() string { return e.err.Error() }
func (e *refusal) Unwrap() error { return e.err }

func refuseDraining() error {
	return &refusal{refusedShuttingDown, http.StatusServiceUnavailable, "The server is shutting down.", errors.New("the manager is shutting down")}
}

// internal is a refusal that tells the client nothing.
func internal(err error) error {
	return &refusal{refusedFailed, http.StatusInternalServerError, "The server failed to accept the connection.", err}
}

func (m *Manager) refuse(w http.ResponseWriter, r *http.Request, err error) {
	var ref *refusal
	if !errors.As(err, &ref) {
		// The handshake broke off after its answer had begun. The connection must
		// not go on as an HTTP one: whoever is in front of us takes it for a
		// tunnel by now, and checks no requests in it.
		m.stats.refused[refusedBrokenOff].Add(1)
		status := http.StatusSwitchingProtocols
		if overStream(r) {
			status = http.StatusOK
		}
		m.logRefusal(r, slog.LevelWarn, status, err)
		if errors.As(err, new(hungUp)) {
			return // nothing of the connection is left for anybody
		}
		panic(http.ErrAbortHandler)
	}
	m.stats.refused[ref.reason].Add(1)
	level := slog.LevelInfo
	switch {
	case ref.status == http.StatusForbidden:
		level = slog.LevelWarn
	case ref.status == http.StatusInternalServerError:
		level = slog.LevelError
	}
	m.logRefusal(r, level, ref.status, ref.err)
	w.Header().Set("Cache-Control", "no-store")
	http.Error(w, ref.text, ref.status)
}

func (m *Manager) logRefusal(r *http.Request, level slog.Level, status int, err error) {
	m.logger().LogAttrs(r.Context(), level, "websocket refused",
		slog.Int("status", status), slog.String("path", httpx.Truncate(httpx.RequestPath(r), maxLogged)),
		slog.String("origin", httpx.Truncate(r.Header.Get("Origin"), maxLogged)), slog.String("remote", httpx.Truncate(r.RemoteAddr, maxLogged)),
		slog.Any("err", err))
}

// setAnswer puts into the answer's headers what OnAccept and the negotiation say.
// Whoever above has set what the protocol is agreed by does not speak it.
func setAnswer(h http.Header, a Accept, extensions string) {
	for name, values := range a.Header {
		for _, v := range values {
			h.Add(name, v)
		}
	}
	h.Del("Sec-WebSocket-Extensions")
	h.Del("Sec-WebSocket-Protocol")
	if extensions != "" {
		h.Set("Sec-WebSocket-Extensions", extensions)
	}
	if a.Subprotocol != "" {
		h.Set("Sec-WebSocket-Protocol", a.Subprotocol)
	}
}
