package wsmanager

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"

	"github.com/speakingtube/speakingtube/internal/httpx"
	"github.com/speakingtube/speakingtube/internal/logattrs"
	"github.com/speakingtube/speakingtube/wsmanager/internal/transport"
)

// maxLogged limits the bytes of a value that a client has chosen in a log record.
const maxLogged = 256

// recoverLoggerPanic is deferred where a record is written on a goroutine of this package,
// or for a connection that no driver reads yet: a panic of a slog.Handler would end the
// process, or leave the connection open.
func recoverLoggerPanic() {
	if v := recover(); v != nil {
		fmt.Fprintf(os.Stderr, "wsmanager: the Logger panicked: %v\n", v)
	}
}

// logLoop logs an error of an event loop.
func (m *Manager) logLoop(format string, args ...any) {
	defer recoverLoggerPanic()
	m.logger().Error("websocket event loop", "err", fmt.Sprintf(format, args...))
}

// requestAttrs returns the attributes of Options.LogAttrs. A panic there must not end a
// handshake, or replace its answer.
func (s *settings) requestAttrs(r *http.Request) (attrs []slog.Attr) {
	if s.LogAttrs == nil {
		return nil
	}
	defer func() {
		if v := recover(); v != nil {
			fmt.Fprintf(os.Stderr, "wsmanager: Options.LogAttrs panicked: %v\n", v)
		}
	}()
	return s.LogAttrs(r)
}

// loggedValue is the value of a connection that has attributes of Options.LogAttrs. They are
// here so that connections without attributes need no room for them.
type loggedValue struct {
	value any
	attrs []slog.Attr
}

// withLogAttrs returns a value that also has the attributes.
func withLogAttrs(value any, attrs []slog.Attr) any {
	if len(attrs) == 0 {
		return value
	}
	return &loggedValue{value, attrs}
}

// connAttrs returns the attributes of a record about the connection: its id, more, the
// user, those of Options.LogAttrs, and the peer's address. LogAttrs may know that better: over
// HTTP/2 it comes from the request, in which a component may have replaced it.
func connAttrs(c *Conn, more ...slog.Attr) []slog.Attr {
	attrs := make([]slog.Attr, 0, 12)
	attrs = append(attrs, slog.String("conn", c.id))
	attrs = append(attrs, more...)
	if c.who.user != "" {
		attrs = append(attrs, slog.String("user", httpx.Truncate(c.who.user, maxLogged)))
	}
	if l, ok := c.who.value.(*loggedValue); ok {
		attrs = logattrs.Merge(attrs, l.attrs)
	}
	return logattrs.Merge(attrs, []slog.Attr{slog.String("peer", c.RemoteAddr().String())})
}

// logStart writes a record with level Debug.
func logStart(c *Conn) {
	defer recoverLoggerPanic()
	ctx, logger := c.m.opts.BaseContext, c.m.logger()
	if logger.Enabled(ctx, slog.LevelDebug) {
		logger.LogAttrs(ctx, slog.LevelDebug, "websocket connected", connAttrs(c)...)
	}
}

// logEnd writes the one record of a connection that has ended.
func logEnd(c *Conn, cause *CloseError) {
	defer recoverLoggerPanic()
	c.mu.Lock()
	stack, secondary := c.life.cold.stack, c.life.takeSecondaryErr()
	c.mu.Unlock()
	if errors.Is(secondary, ErrClosed) {
		secondary = nil // a callback has returned the error of its send; the cause of that is logged
	}
	for _, err := range []error{cause.Err, secondary} {
		if p := transport.AsPanic(err); p != nil && stack == nil {
			stack = p.Stack
		}
	}
	level := slog.LevelInfo
	switch {
	case stack != nil:
		level = slog.LevelError
	case cause.Code == StatusInternalError && !cause.Remote:
		level = slog.LevelError
	case secondary != nil, cause.Err != nil && !cause.Remote && !errors.Is(cause.Err, ErrShutdown) && !errors.Is(cause.Err, ErrExpired):
		level = slog.LevelWarn
	}
	ctx, logger := c.m.opts.BaseContext, c.m.logger()
	if !logger.Enabled(ctx, level) {
		return
	}
	by := "server"
	if c.m.keys != nil {
		by = "client"
	}
	if cause.Remote {
		by = "peer"
	}
	attrs := connAttrs(c,
		slog.Int("code", int(cause.Code)),
		slog.String("by", by),
		slog.Duration("lasted", c.m.wheel.Elapsed()-c.since))
	if cause.Reason != "" {
		attrs = append(attrs, slog.String("reason", cause.Reason))
	}
	if cause.Err != nil {
		attrs = append(attrs, slog.Any("err", cause.Err))
	}
	if secondary != nil {
		attrs = append(attrs, slog.Any("secondary_err", secondary))
	}
	if stack != nil {
		attrs = append(attrs, slog.String("stack", string(stack)))
	}
	logger.LogAttrs(ctx, level, "websocket closed", attrs...)
}

// logClosingPanic logs a panic in closing the transport, after the record of the connection.
func logClosingPanic(c *Conn, err error) {
	defer recoverLoggerPanic()
	c.m.logger().Error("closing a websocket panicked", "conn", c.id, "err", err, "stack", string(transport.AsPanic(err).Stack))
}

// logClosePanic logs a panic of OnClose, after the record of the connection.
func logClosePanic(c *Conn, err error) {
	defer recoverLoggerPanic()
	c.m.logger().Error("OnClose panicked", "conn", c.id, "err", err, "stack", string(c.life.cold.stack))
}
