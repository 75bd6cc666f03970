package wsmanager

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/speakingtube/speakingtube/internal/httpx"
	"github.com/speakingtube/speakingtube/internal/logattrs"
	"github.com/speakingtube/speakingtube/wsmanager/internal/counters"
	"github.com/speakingtube/speakingtube/wsmanager/internal/handshake"
)

// refusal is a handshake that is answered with an HTTP error.
type refusal struct {
	reason counters.RefusalReason
	status int
	text   string // the body of the answer
	err    error  // for the log
}

func (e *refusal) Error() string { return e.err.Error() }
func (e *refusal) Unwrap() error { return e.err }

// handshakeReasons are the counters of the refusals of package handshake.
var handshakeReasons = [...]counters.RefusalReason{
	handshake.NotWebSocket:  counters.NotWebSocket,
	handshake.Malformed:     counters.Malformed,
	handshake.ForeignOrigin: counters.Origin,
	handshake.Failed:        counters.Failed,
}

// refusalOf returns the refusal that an error of serve stands for, or nil if the answer had
// begun.
func refusalOf(err error) *refusal {
	var own *refusal
	var theirs *handshake.Refusal
	switch {
	case errors.As(err, &own):
		return own
	case errors.As(err, &theirs):
		return &refusal{handshakeReasons[theirs.Reason], theirs.Status, theirs.Text, theirs.Err}
	case errors.Is(err, ErrShutdown):
		return &refusal{counters.ShuttingDown, http.StatusServiceUnavailable, "The server is shutting down.", err}
	}
	return nil
}

// refuseAccept is the refusal for an error of OnAccept, or in its result.
func refuseAccept(err error) error {
	var rej *rejection
	if errors.As(err, &rej) {
		return &refusal{counters.Rejected, rej.status, rej.text, err}
	}
	return handshake.Failure(inContext("OnAccept", err))
}

// refuseLimit is the refusal above Options.MaxConnections.
func refuseLimit(limit int) error {
	return &refusal{counters.Limit, http.StatusServiceUnavailable, "There are too many connections.", fmt.Errorf("the limit of %d connections is reached", limit)}
}

// refuse answers a handshake that has failed.
func (m *Manager) refuse(w http.ResponseWriter, r *http.Request, err error) {
	ref := refusalOf(err)
	if ref == nil {
		m.abortHandshake(w, r, err)
		return
	}
	m.counters.Refuse(ref.reason)
	level := slog.LevelInfo
	switch {
	case ref.status == http.StatusForbidden:
		level = slog.LevelWarn
	case ref.status == http.StatusInternalServerError:
		level = slog.LevelError
	}
	m.logRefusal(r, level, ref.status, ref.err)
	handshake.CloseAfterAnswer(w, r, ref.status)
	w.Header().Set("Cache-Control", "no-store")
	http.Error(w, ref.text, ref.status)
}

// abortHandshake ends a request whose answer had begun. The connection must not continue
// as HTTP: a proxy in front takes it for a tunnel and does not check requests in it.
func (m *Manager) abortHandshake(w http.ResponseWriter, r *http.Request, err error) {
	m.counters.Refuse(counters.BrokenOff)
	status := http.StatusSwitchingProtocols
	if r.ProtoMajor == 2 {
		status = http.StatusOK
	}
	m.logRefusal(r, slog.LevelWarn, status, err)
	if !handshake.IsClosed(err) {
		handshake.CloseAfterAnswer(w, r, status) // a component may recover from the panic and answer
		panic(http.ErrAbortHandler)
	}
}

func (m *Manager) logRefusal(r *http.Request, level slog.Level, status int, err error) {
	logger := m.logger()
	if !logger.Enabled(r.Context(), level) {
		return
	}
	attrs := []slog.Attr{
		logattrs.Group(logattrs.Request,
			slog.String(logattrs.RequestPath, httpx.Truncate(httpx.RequestPath(r), maxLogged)),
			slog.String(logattrs.RequestOrigin, httpx.Truncate(r.Header.Get("Origin"), maxLogged)),
			slog.String(logattrs.RequestRemote, httpx.Truncate(r.RemoteAddr, maxLogged))),
		logattrs.Group(logattrs.Response, slog.Int(logattrs.ResponseStatus, status)),
		slog.Any("err", err),
	}
	logger.LogAttrs(r.Context(), level, "websocket refused", logattrs.Merge(attrs, m.opts.requestAttrs(r))...)
}
