package middleware

import (
	"context"
	"log/slog"
	"slices"

	"github.com/speakingtube/speakingtube/internal/logattrs"
)

// LogHandler returns a handler that adds the id of [RequestID] to each record whose context
// is, or is derived from, that of a request: request.id, the name that [AccessLog] uses. So
// all records of a request have its id if they are logged with its context:
//
//	slog.SetDefault(slog.New(middleware.LogHandler(slog.NewJSONHandler(os.Stderr, nil))))
//	...
//	slog.InfoContext(r.Context(), "order placed", "order", id)
//
// The id is at the top level even if the logger has groups (slog.Logger.WithGroup), and is
// added to a group "request" of the record. An id in that group stays, and so does an
// attribute "request" that is no group, without the id. Records without a request, and those
// of requests without an id, are passed on unchanged.
//
// LogHandler panics if next is nil. A record with an id costs a few allocations more than
// next's.
func LogHandler(next slog.Handler) slog.Handler {
	if next == nil {
		panic("middleware.LogHandler: the handler is nil")
	}
	return &logHandler{next: next}
}

// logHandler keeps groups to itself: next would put an attribute that is added at the top
// level into the group that was opened last.
type logHandler struct {
	next   slog.Handler
	attrs  []slog.Attr // at the top level, of groups named "request": one record has one such group
	groups []openGroup // the outermost first
}

// openGroup is a group of slog.Logger.WithGroup with the attributes that were added to it.
type openGroup struct {
	name  string
	attrs []slog.Attr
}

// Enabled implements slog.Handler.
func (h *logHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.next.Enabled(ctx, level)
}

// Handle implements slog.Handler.
func (h *logHandler) Handle(ctx context.Context, record slog.Record) error {
	id := RequestIDFrom(ctx)
	if id == "" && len(h.attrs) == 0 && len(h.groups) == 0 {
		return h.next.Handle(ctx, record)
	}
	attrs := make([]slog.Attr, 0, record.NumAttrs()+2)
	record.Attrs(func(a slog.Attr) bool {
		if a.Key == logattrs.Request {
			a.Value = a.Value.Resolve() // it may become a group
		}
		attrs = append(attrs, a)
		return true
	})
	for _, g := range slices.Backward(h.groups) {
		attrs = append(slices.Clone(g.attrs), attrs...)
		attrs = []slog.Attr{{Key: g.name, Value: slog.GroupValue(attrs...)}}
	}
	attrs = logattrs.Merge(slices.Clone(h.attrs), attrs)
	if id != "" {
		attrs = logattrs.Merge(attrs, []slog.Attr{logattrs.Group(logattrs.Request, slog.String(logattrs.RequestID, id))})
	}
	out := slog.NewRecord(record.Time, record.Level, record.Message, record.PC)
	out.AddAttrs(attrs...)
	return h.next.Handle(ctx, out)
}

// WithAttrs implements slog.Handler.
func (h *logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	if len(attrs) == 0 {
		return h
	}
	c := *h
	if n := len(h.groups); n > 0 {
		c.groups = slices.Clone(h.groups)
		last := &c.groups[n-1]
		last.attrs = append(slices.Clone(last.attrs), attrs...)
		return &c
	}
	var fixed []slog.Attr // next formats them once
	c.attrs = slices.Clone(h.attrs)
	for _, a := range attrs {
		// The value may be a group only after LogValue, and a group without a name has the
		// members at this level.
		if a.Key == logattrs.Request || a.Key == "" {
			a.Value = a.Value.Resolve()
			c.attrs = logattrs.Merge(c.attrs, []slog.Attr{a})
		} else {
			fixed = append(fixed, a)
		}
	}
	if len(fixed) > 0 {
		c.next = h.next.WithAttrs(fixed)
	}
	return &c
}

// WithGroup implements slog.Handler.
func (h *logHandler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	c := *h
	c.groups = append(slices.Clone(h.groups), openGroup{name: name})
	return &c
}
