package pipeline

import (
	"errors"
	"net/http"
	"reflect"

	"github.com/justinas/alice"

	"github.com/speakingtube/speakingtube/branch"
)

// Build checks the whole pipeline, branches included, and makes the handler.
// It finds every mistake at once and returns them joined, each with the
// file:line of the call that made it: nil components and handlers, components
// behind Run, a second Run, bad prefixes, prefixes that an earlier Map or Mount
// shadows with no component in between, a name given twice, and options that a
// middleware refused by panicking with a [*ConfigError].
//
// Components are constructed once per Build; a builder that is built twice
// constructs them twice. The handler is safe for concurrent use as far as the
// components are.
//
// Paths that are not clean never reach a component: the handler redirects
// (status 307) to the clean path as http.ServeMux does, or answers 400 where
// only interpreting an escaped slash would make the path clean, and for CONNECT.
func (b *Builder) Build() (http.Handler, error) {
	bd := &build{}
	h := bd.handler(b, http.HandlerFunc(http.NotFound))
	if len(bd.errs) > 0 {
		return nil, errors.Join(bd.errs...)
	}
	if !b.opts.DangerouslyAllowUncleanPaths {
		h = cleanPaths(h)
	}
	return h, nil
}

// MustBuild is Build for pipelines written as literals: it panics with all the
// mistakes.
func (b *Builder) MustBuild() http.Handler {
	h, err := b.Build()
	if err != nil {
		panic(err)
	}
	return h
}

// build is one run of Build over a tree of builders.
type build struct{ errs []error }

func (bd *build) fail(s *step, format string, args ...any) {
	bd.errs = append(bd.errs, mistake(s, format, args...))
}

// handler makes the pipeline of b in front of end, which Run replaces. It goes
// on after a mistake, so that all are found; the result is good for nothing
// then.
func (bd *build) handler(b *Builder, end http.Handler) http.Handler {
	bd.checkOrder(b)
	var chain []alice.Constructor
	for i := range b.steps {
		s := &b.steps[i]
		if s.bad != nil {
			bd.fail(s, "%w", s.bad)
		}
		switch s.kind {
		case kindUse:
			if s.mw != nil {
				chain = append(chain, bd.constructor(s, s.mw))
			} else if s.bad == nil {
				bd.fail(s, "the component is nil")
			}
		case kindRun:
			if isNil(s.handler) {
				bd.fail(s, "the handler is nil")
			} else {
				end = s.handler
			}
		case kindMap, kindMount:
			h := s.handler
			if s.kind == kindMap {
				h = bd.handler(s.sub, http.HandlerFunc(http.NotFound))
			} else if isNil(h) {
				bd.fail(s, "the handler is nil")
				continue
			}
			if err := branch.CheckPrefix(s.prefix); err != nil {
				bd.fail(s, "%w", err)
				continue
			}
			chain = append(chain, branch.Map(s.prefix, h))
		case kindMapWhen:
			h := bd.handler(s.sub, http.HandlerFunc(http.NotFound))
			if s.pred == nil {
				bd.fail(s, "the predicate is nil")
				continue
			}
			chain = append(chain, branch.When(s.pred, h))
		case kindUseWhen:
			side := func(next http.Handler) http.Handler { return bd.handler(s.sub, next) }
			if s.pred == nil {
				bd.fail(s, "the predicate is nil")
				side(end) // for the mistakes inside
				continue
			}
			chain = append(chain, branch.UseWhen(s.pred, side))
		}
	}
	return alice.New(chain...).Then(end)
}

// checkOrder finds what only a look at several steps can find.
func (bd *build) checkOrder(b *Builder) {
	var run *step
	names := map[string]*step{}
	var maps []*step
	for i := range b.steps {
		s := &b.steps[i]
		if s.kind == kindUse || s.kind == kindUseWhen {
			maps = nil // it may rewrite the path: what follows may be reached
		}
		switch {
		case run != nil && s.kind == kindRun:
			bd.fail(s, "a second Run is never reached: the first is at %s", run.at)
		case run != nil:
			bd.fail(s, "a component behind Run is never reached: move it before the Run at %s", run.at)
		case s.kind == kindRun:
			run = s
		}
		if s.name != "" {
			if first := names[s.name]; first != nil {
				bd.fail(s, "the name is taken by the component added at %s; ask Has before adding", first.at)
			} else {
				names[s.name] = s
			}
		}
		if (s.kind == kindMap || s.kind == kindMount) && branch.CheckPrefix(s.prefix) == nil {
			for _, m := range maps {
				if branch.Covers(m.prefix, s.prefix) {
					bd.fail(s, "never reached: %s(%s) at %s takes all of its requests; move this one before it, or into it", m.kind, m.prefix, m.at)
					break
				}
			}
			maps = append(maps, s)
		}
	}
}

// constructor is mw with its failures caught. On failure it makes its next
// handler stand in, so that the rest of the chain is tried as well.
func (bd *build) constructor(s *step, mw Middleware) alice.Constructor {
	return func(next http.Handler) (h http.Handler) {
		defer func() {
			if v := recover(); v != nil {
				if err, ok := v.(error); ok {
					bd.fail(s, "%w", err)
				} else {
					bd.fail(s, "the component panicked when it was constructed: %v", v)
				}
				h = next
			}
		}()
		h = mw(next)
		if isNil(h) {
			bd.fail(s, "the component made a nil handler")
			return next
		}
		return h
	}
}

// isNil also sees a nil func or pointer inside the interface.
func isNil(h http.Handler) bool {
	if h == nil {
		return true
	}
	v := reflect.ValueOf(h)
	return (v.Kind() == reflect.Func || v.Kind() == reflect.Pointer) && v.IsNil()
}
