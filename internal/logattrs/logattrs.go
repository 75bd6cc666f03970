// Package logattrs has the names of the log attributes that several packages write in groups,
// and merges attributes of an application with those of a record.
//
// The other attributes have no group, and their names are literals at the calls of log/slog.
// docs/operations.md lists all names with their meanings, and a test compares the list with
// the source of each package.
package logattrs

import (
	"log/slog"
	"slices"
)

// Request is the group of attributes of a request. Their names follow.
const (
	Request          = "request"
	RequestID        = "id"
	RequestMethod    = "method"
	RequestURL       = "url"    // with the query
	RequestPath      = "path"   // without the query
	RequestRemote    = "remote" // the client's address, which a proxy may have forwarded
	RequestRoute     = "route"
	RequestOrigin    = "origin"
	RequestHost      = "host"
	RequestProtocol  = "protocol"
	RequestUserAgent = "user_agent"
)

// Response is the group of attributes of a response. Their names follow.
const (
	Response         = "response"
	ResponseStatus   = "status"
	ResponseStarted  = "started"
	ResponseBytes    = "bytes"
	ResponseTook     = "took"
	ResponseUpgraded = "upgraded"
	ResponseAborted  = "aborted"
)

// Group returns the attribute of a group.
func Group(name string, attrs ...slog.Attr) slog.Attr {
	return slog.Attr{Key: name, Value: slog.GroupValue(attrs...)}
}

// Merge appends attributes to attrs. Groups with the same name become one, and of two other
// attributes with the same name the first one counts: a JSON object must not have a name
// twice. Merge may change attrs, and changes no slice of a group.
func Merge(attrs, more []slog.Attr) []slog.Attr {
	for _, m := range more {
		isGroup := m.Value.Kind() == slog.KindGroup
		if m.Key == "" && isGroup { // handlers write the members without a group
			attrs = Merge(attrs, m.Value.Group())
			continue
		}
		i := slices.IndexFunc(attrs, func(a slog.Attr) bool { return a.Key == m.Key })
		switch {
		case i < 0:
			attrs = append(attrs, m)
		case isGroup && attrs[i].Value.Kind() == slog.KindGroup:
			attrs[i].Value = slog.GroupValue(Merge(slices.Clone(attrs[i].Value.Group()), m.Value.Group())...)
		}
	}
	return attrs
}
