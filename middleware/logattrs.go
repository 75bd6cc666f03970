package middleware

import (
	"log/slog"
	"net/http"

	"github.com/speakingtube/speakingtube/internal/httpx"
	"github.com/speakingtube/speakingtube/internal/logattrs"
)

// LogAttrs returns attributes that identify a request in the log: a group "request" with the
// id of [RequestID] and the client's address. If that comes from [Forwarded], peer is the
// address of the proxy, as [PeerAddr] returns it. The names are those of [AccessLog]. It is meant for records that outlive the request, such as
// those of WebSockets:
//
//	wsmanager.Options{LogAttrs: middleware.LogAttrs}
//
// The attributes do not refer to the request.
func LogAttrs(r *http.Request) []slog.Attr {
	attrs := make([]slog.Attr, 0, 2)
	if id := RequestIDFrom(r.Context()); id != "" {
		attrs = append(attrs, slog.String(logattrs.RequestID, id))
	}
	attrs = append(attrs, slog.String(logattrs.RequestRemote, httpx.Truncate(r.RemoteAddr, maxLogged)))
	group := logattrs.Group(logattrs.Request, attrs...)
	if peer := PeerAddr(r); peer != r.RemoteAddr {
		return []slog.Attr{group, slog.String("peer", httpx.Truncate(peer, maxLogged))}
	}
	return []slog.Attr{group}
}
