package wsmanager

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
)

// maxLogged is how much of a value that a client chooses a record has.
const maxLogged = 256

// spared is deferred where a record is written on a goroutine of ours, or when a
// connection has begun and nobody drives it yet: a slog.Handler that panics there would
// take the process along, or leave the connection behind.
func spared() {
	if v := recover(); v != nil {
		fmt.Fprintf(os.Stderr, "wsmanager: the Logger panicked: %v\n", v)
	}
}

// logLoop writes what an event loop can tell nobody else.
func (m *Manager) logLoop(format string, args ...any) {
	defer spared()
	m.logger().Error("websocket event loop", "err", fmt.Sprintf(format, args...))
}

// logStart notes a connection for those who want to know everything.
func (c *Conn) logStart() {
	defer spared()
	ctx, logger := c.m.opts.BaseContext, c.m.logger()
	if logger.Enabled(ctx, slog.LevelDebug) {
		logger.DebugContext(ctx, "websocket connected", "id", c.id, "remote", c.RemoteAddr().String())
	}
}

// logEnd writes the connection's one record.
func (c *Conn) logEnd(cause *CloseError) {
	defer spared()
	c.mu.Lock()
	stack, late := c.rare.stack, c.rare.late
	c.mu.Unlock()
	if errors.Is(late, ErrClosed) {
		late = nil // a callback that returned what its send said: the end is its reason
	}
	level := slog.LevelInfo
	switch {
	case stack != nil:
		level = slog.LevelError
	case cause.Code == StatusInternalError && !cause.Remote:
		level = slog.LevelError
	case late != nil, cause.Err != nil && !cause.Remote && !errors.Is(cause.Err, ErrShutdown):
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
	attrs := []slog.Attr{
		slog.String("id", c.id),
		slog.Int("code", int(cause.Code)),
		slog.String("by", by),
		slog.Duration("lasted", c.m.wheel.Elapsed()-c.since),
		slog.String("remote", c.RemoteAddr().String()),
	}
	if cause.Reason != "" {
		attrs = append(attrs, slog.String("reason", cause.Reason))
	}
	if cause.Err != nil {
		attrs = append(attrs, slog.Any("err", cause.Err))
	}
	if late != nil { // came when the connection was closing already
		attrs = append(attrs, slog.Any("late_err", late))
	}
	if stack != nil {
		attrs = append(attrs, slog.String("stack", string(stack)))
	}
	logger.LogAttrs(ctx, level, "websocket closed", attrs...)
}

// logClosePanic writes that OnClose has panicked, behind the connection's own record.
func (c *Conn) logClosePanic(err error) {
	defer spared()
	c.m.logger().Error("OnClose panicked", "id", c.id, "err", err, "stack", string(c.rare.stack))
}
