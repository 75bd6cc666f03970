package pipeline

import (
	"net/http"
	"strings"

	"github.com/speakingtube/speakingtube/branch"
	"github.com/speakingtube/speakingtube/internal/httpx"
)

// SetRoute sets the route that the request took, which components above read with Route:
// for example the pattern of the endpoint, behind the prefixes of the branches that led to
// it. The last call wins.
func (res *Response) SetRoute(pattern string) {
	res.mu.Lock()
	defer res.mu.Unlock()
	res.route, res.routed = pattern, true
}

// Route returns the route of the request, for a log or as the label of a metric: it has few
// different values, whatever clients send. It is
//
//   - the route of the last SetRoute of a component below, such as middleware.Endpoints;
//   - otherwise the pattern that an http.ServeMux at the end of a branch has matched, behind
//     the prefixes, once the handlers have returned;
//   - otherwise the innermost branch that the request took: "/api" for Map and Mount, with the
//     prefixes of the branches around, and "MapWhen(main.isMobile)" for MapWhen, behind the
//     route outside.
//
// It is "" on the main line. Letters of prefixes are in lower case, however the client wrote
// them.
func (res *Response) Route() string {
	res.mu.Lock()
	defer res.mu.Unlock()
	return res.route
}

// setBranch sets the route to a branch unless SetRoute was called.
func (res *Response) setBranch(route string) {
	res.mu.Lock()
	defer res.mu.Unlock()
	if !res.routed {
		res.route = route
	}
}

// setPattern sets the route to the pattern that a router has matched, unless SetRoute was
// called.
func (res *Response) setPattern(r *http.Request, pattern string) {
	res.mu.Lock()
	defer res.mu.Unlock()
	if !res.routed {
		res.route, res.routed = httpx.RouteBelow(branch.PathBase(r), pattern), true
	}
}

// branchRoute is the handler of a branch, and labels the requests that take it.
type branchRoute struct {
	next   http.Handler
	prefix string // of a Map or Mount with PreservePath, in lower case
	name   string // of a MapWhen
}

func (b *branchRoute) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	res, ok := ResponseFrom(r.Context())
	if !ok {
		b.next.ServeHTTP(w, r)
		return
	}
	switch outside := res.Route(); {
	case b.name == "":
		res.setBranch(strings.ToLower(branch.PathBase(r)) + b.prefix)
	case outside == "":
		res.setBranch(b.name)
	default:
		res.setBranch(outside + " " + b.name)
	}
	before := r.Pattern
	defer func() { // also after a panic, for the log
		if r.Pattern != before && r.Pattern != "" {
			res.setPattern(r, r.Pattern)
		}
	}()
	b.next.ServeHTTP(w, r)
}
