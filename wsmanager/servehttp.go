package wsmanager

import (
	"errors"
	"net/http"

	"github.com/speakingtube/speakingtube/wsmanager/internal/counters"
	"github.com/speakingtube/speakingtube/wsmanager/internal/handshake"
)

// ServeHTTP accepts a WebSocket handshake (RFC 6455, section 4.2) and returns as soon as
// the connection is handed over to its driver. A request that can't become a connection
// is answered over HTTP: 426 for a request that is not a handshake, or is one of another
// version; 405 or 400 for a malformed one; 403 for a foreign origin; 503 during Shutdown
// or above Options.MaxConnections; the status of [Reject] if OnAccept returns it. Headers
// that outer components have set are in the 101.
//
// Over HTTP/1.1 the connection is closed after an answer other than a 101, which has the
// header "Connection: close", and "Connection: Upgrade" on a second line if the status is 426.
// So a proxy that forwards everything after a handshake can't be used to send requests that
// it does not check.
//
// w may be any http.ResponseWriter that is an http.Hijacker, itself or by Unwrap methods.
// net/http's own for HTTP/1.1 is one. Below http.TimeoutHandler there is none, and the
// answer is 500. The client gets one 101, whether the outer writers forward a status,
// store it, or send it when they are hijacked. w and the writers that it unwraps to see
// the 101 by WriteHeader; other writers see it if these forward it. If net/http's own
// writer can't be found below w, for example because it is in a closure, no writer sees
// the 101. A writer that stores the status and writes it when its handler has returned,
// as some compressors do, makes net/http log a superfluous call. If the 101 can't be sent,
// no callback runs, and the log names the writers.
//
// Over HTTP/2 a handshake is an extended CONNECT (RFC 8441), which reaches handlers only in
// a process that has switched it on: see package extendedconnect. The answer is a 200. A
// malformed handshake gets 400, another protocol than WebSocket 501. ServeHTTP returns
// when the connection has ended and its callbacks have returned, because the stream
// belongs to the request. w must lead to net/http's own writer by Unwrap methods.
func (m *Manager) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := m.serve(w, r); err != nil {
		m.refuse(w, r, err)
	}
}

// Middleware accepts handshakes as ServeHTTP does, and passes requests that do not ask for
// a WebSocket to next.
func (m *Manager) Middleware(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !handshake.WantsWebSocket(r) {
			next.ServeHTTP(w, r)
			return
		}
		m.ServeHTTP(w, r)
	})
}

var errClientManager = errors.New("this Manager belongs to a client: it accepts no connections")

// serve does one handshake: decision, answer, registration, start of the driver.
func (m *Manager) serve(w http.ResponseWriter, r *http.Request) error {
	if m.keys != nil {
		return handshake.Failure(errClientManager)
	}
	req, a, err := m.decide(w, r)
	if err != nil {
		return err
	}
	handedOver := false
	defer func() {
		if handedOver {
			return
		}
		m.admission.Release()
		if err == nil { // an outer component has panicked, and another one may answer
			handshake.CloseAfterAnswer(w, r, http.StatusInternalServerError)
		}
	}()
	c, d, early, err := m.acceptConn(w, r, &req, a)
	if err != nil {
		return err
	}
	handedOver = true
	if m.opts.Block {
		d.serve(c, early)
	} else {
		d.start(c, early)
	}
	return nil
}

// decide does the part of a handshake before the answer: validation, admission, OnAccept. If
// the error is nil, the caller has a slot of m.admission.
//
// A panic of the application counts as a refusal, and goes on to the caller of ServeHTTP.
func (m *Manager) decide(w http.ResponseWriter, r *http.Request) (req handshake.Request, a Accept, err error) {
	admitted, decided := false, false
	defer func() {
		if admitted && (!decided || err != nil) {
			m.admission.Release()
		}
		if !decided {
			m.counters.Refuse(counters.Failed)
			handshake.CloseAfterAnswer(w, r, http.StatusInternalServerError) // an outer component may answer
		}
	}()
	if req, err = handshake.Check(w, r, &m.handshake); err == nil {
		err = acquireSlot(m)
		admitted = err == nil
	}
	if err == nil {
		a, err = m.accept(r)
	}
	decided = true
	return req, a, err
}
