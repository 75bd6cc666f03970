package pipeline

import (
	"net/http"
	"reflect"

	"github.com/speakingtube/speakingtube/branch"
)

// onePathHandler is a component's handler that answers all requests for one path, such as
// that of middleware.HealthChecks. A second one for the same path is never reached.
type onePathHandler interface {
	// OnePath returns the path that the handler compares by the rules of branch.Map, "" for
	// the root, and the local port that it is limited to, or 0.
	OnePath() (path string, port int)
}

// level is the place of one builder in the tree.
type level struct {
	parent *level // nil if the branch has other paths than the builder around
	at     int    // index of the branch's step in the parent
}

// below returns the level of the branch of s, step i.
func (lv *level) below(s *step, i int) *level {
	if s.kind == kindMap && !s.opts.PreservePath {
		return &level{}
	}
	return &level{parent: lv, at: i}
}

// pathUse is a handler that answers one path, and its place.
type pathUse struct {
	step *step
	lv   *level
	at   int // index of the step in its builder
	path string
	port int
}

// note remembers a component's handler if it answers one path. A component that returns the
// next handler itself does not count.
func (bd *build) note(h, next http.Handler, s *step, lv *level, at int) {
	one, ok := h.(onePathHandler)
	if !ok || reflect.TypeOf(h).Comparable() && h == next {
		return
	}
	path, port := one.OnePath()
	bd.uses = append(bd.uses, pathUse{s, lv, at, path, port})
}

// checkOnePath finds components that are never reached because an earlier one, on the way of
// the same requests, answers all of them.
func (bd *build) checkOnePath() {
	for _, later := range bd.uses {
		for _, earlier := range bd.uses {
			if earlier.takes(later) {
				bd.fail(later.step, "never reached: %s(%s) at %s answers the same path; give this one another path, or put both into one", earlier.step.kind, earlier.step.label, earlier.step.at)
				break
			}
		}
	}
}

// takes reports whether u answers all requests that would reach other.
func (u pathUse) takes(other pathUse) bool {
	if u.port != 0 && u.port != other.port || len(u.path) != len(other.path) || !branch.Covers(u.path, other.path) {
		return false
	}
	at := other.at
	for lv := other.lv; lv != nil; lv = lv.parent {
		if lv == u.lv {
			return u.at < at
		}
		at = lv.at
	}
	return false
}
