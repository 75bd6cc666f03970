package hub

import (
	"context"
	"log/slog"
	"runtime/debug"

	"github.com/speakingtube/speakingtube/wsmanager"
)

// runConnected calls Options.Connected before the first call begins.
func (c *conn) runConnected() {
	err := errExited // if the hook ends the goroutine
	defer func() { endConnected(c, err) }()
	err = c.hub.callConnected(c)
}

// endConnected lets the calls begin, or closes the connection because of the error of Options.Connected.
func endConnected(c *conn, err error) {
	if err != nil {
		text, public := publicText(err)
		if !public {
			text = "The server failed to accept the connection."
		}
		// Closes before connecting is cleared: no queued call may begin.
		c.close(&Close{Error: c.hub.detailed(text, err, public)}, wsmanager.StatusInternalError, err)
	}
	c.mu.Lock()
	c.connecting = false
	c.startCallsLocked()
	c.changed.Broadcast()
	c.mu.Unlock()
}

func (h *Hub) callConnected(c *conn) (err error) {
	if h.opts.Connected == nil {
		return nil
	}
	defer func() {
		if v := recover(); v != nil {
			err = h.hookPanicked("Connected", c, v)
		}
	}()
	return h.opts.Connected(&Context{Context: c.ctx, c: c})
}

func (h *Hub) callDisconnected(c *conn, cause error) {
	switch {
	case h.opts.Disconnected == nil:
	case h.opts.DisconnectedAfterCalls:
		h.running.run(func() { // the caller may be the goroutine that serves other sockets
			c.waitForCalls()
			h.runDisconnected(c, cause)
		})
	default:
		h.runDisconnected(c, cause)
	}
}

// waitForCalls waits until all calls that have begun have returned. The connection has ended, so no other call begins.
func (c *conn) waitForCalls() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for int(c.pendingCalls) > len(c.queue) {
		c.changed.Wait()
	}
}

func (h *Hub) runDisconnected(c *conn, cause error) {
	defer func() {
		if v := recover(); v != nil {
			_ = h.hookPanicked("Disconnected", c, v) // the log record is all that can be done
		}
	}()
	h.opts.Disconnected(&Context{Context: context.WithoutCancel(c.ctx), c: c}, cause)
}

func (h *Hub) hookPanicked(hook string, c *conn, v any) error {
	err := &panicError{v, debug.Stack()}
	h.logger().LogAttrs(c.ctx, slog.LevelError, "hub hook panicked", slog.String("hook", hook), c.logID(),
		slog.Any("err", logged(err)), slog.String("stack", string(err.stack)))
	return err
}
