package pipeline

import (
	"cmp"
	"errors"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"github.com/justinas/alice"

	"github.com/speakingtube/speakingtube/branch"
)

// Build checks the whole pipeline, including branches, and returns the handler. It finds
// all mistakes at once and returns them joined, each with the file:line of the call: nil
// components and handlers, components after Run, a second Run, invalid prefixes, prefixes
// that are never reached, two HealthChecks for one path, a name given twice, and options that a middleware refuses by
// panicking with a [*ConfigError].
//
// A prefix is never reached if an earlier Map or Mount takes all of its requests (one that
// matches case takes only some requests of a later one that does not), or if it is inside a
// branch with PreservePath and can't match together with that branch's prefix. A component
// in between ends the check, because it may rewrite the path.
//
// Components are constructed once per Build; if a builder is built twice, they are
// constructed twice. The handler is safe for concurrent use if the components are.
//
// Unclean paths never reach a component: the handler redirects (status 307) to the clean
// path as http.ServeMux does. The answer is 400 for dot segments beside an escaped slash,
// NUL bytes in the path, and CONNECT except for the extended CONNECT of HTTP/2, and 405 for
// the target "*" except for OPTIONS. Other escaped slashes are data and pass, but the answer
// is 400 if such a slash would decide whether a Map, a Mount or another component that
// matches the path takes the request. See [branch.CleanPaths] and [Options.OnRefused].
func (b *Builder) Build() (http.Handler, error) {
	bd := &build{}
	h := bd.handler(b, notFound, pathFacts{}, &level{})
	bd.checkOnePath()
	if len(bd.mistakes) > 0 {
		slices.SortStableFunc(bd.mistakes, func(a, b numberedMistake) int { return cmp.Compare(a.seq, b.seq) })
		errs := make([]error, len(bd.mistakes))
		for i, m := range bd.mistakes {
			errs[i] = m.err
		}
		return nil, errors.Join(errs...)
	}
	if !b.opts.DangerouslyAllowUncleanPaths {
		h = branch.CleanPathsWith(branch.CleanPathsOptions{
			OnRefused:   newRefusals(b.opts).report,
			PreferOuter: b.opts.OnRefused == nil && b.opts.Logger == nil,
		}, h)
	}
	return h, nil
}

// MustBuild is Build for pipelines written as literals: it panics with all mistakes.
func (b *Builder) MustBuild() http.Handler {
	h, err := b.Build()
	if err != nil {
		panic(err)
	}
	return h
}

var notFound = http.HandlerFunc(http.NotFound)

// build is one run of Build over a tree of builders.
type build struct {
	mistakes []numberedMistake
	uses     []pathUse
}

// numberedMistake is a mistake with the number of the call that made it.
type numberedMistake struct {
	seq int64
	err error
}

func (bd *build) fail(s *step, format string, args ...any) {
	bd.mistakes = append(bd.mistakes, numberedMistake{s.seq, mistake(s, format, args...)})
}

// handler returns the pipeline of b in front of end, which Run replaces. It continues after
// a mistake, so that all are found; the result is not usable then.
func (bd *build) handler(b *Builder, end http.Handler, from pathFacts, lv *level) http.Handler {
	at := bd.checkOrder(b, from)
	var chain []alice.Constructor
	for i := range b.steps {
		s := &b.steps[i]
		if s.bad != nil {
			bd.fail(s, "%w", s.bad)
		}
		switch s.kind {
		case kindUse:
			if s.mw != nil {
				chain = append(chain, bd.constructor(s, lv, i))
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
				h = bd.handler(s.sub, notFound, at[i].below(s), lv.below(s, i))
			} else if isNil(h) {
				bd.fail(s, "the handler is nil")
				continue
			}
			if s.kind == kindMount && (s.prefix == "" || s.prefix == "/") {
				bd.fail(s, "the prefix is %q: it would match every request; use Run, which ends the pipeline with a handler", s.prefix)
				continue
			}
			if err := branch.CheckPrefixWith(s.prefix, s.opts); err != nil {
				bd.fail(s, "%w", err)
				continue
			}
			label := &branchRoute{next: h}
			if s.opts.PreservePath {
				label.prefix = strings.ToLower(s.prefix)
			}
			chain = append(chain, branch.MapWith(s.prefix, s.opts, label))
		case kindMapWhen:
			h := bd.handler(s.sub, notFound, at[i], lv.below(s, i))
			if s.pred == nil {
				bd.fail(s, "the predicate is nil")
				continue
			}
			label := &branchRoute{next: h, name: "MapWhen(" + s.label + ")"}
			chain = append(chain, branch.When(s.pred, label))
		case kindUseWhen:
			side := func(next http.Handler) http.Handler { return bd.handler(s.sub, next, at[i], lv.below(s, i)) }
			if s.pred == nil {
				bd.fail(s, "the predicate is nil")
				side(end) // finds the mistakes inside
				continue
			}
			chain = append(chain, branch.UseWhen(s.pred, side))
		}
	}
	return alice.New(chain...).Then(end)
}

// checkOrder finds the mistakes that involve several steps. It returns the facts about the
// requests at each step, given those at the first.
func (bd *build) checkOrder(b *Builder, known pathFacts) []pathFacts {
	var run *step
	names := map[string]*step{}
	at := make([]pathFacts, len(b.steps))
	for i := range b.steps {
		s := &b.steps[i]
		at[i] = known
		if s.kind == kindUse || s.kind == kindUseWhen {
			known = pathFacts{} // the component may rewrite the path: later prefixes may be reached
		}
		switch {
		case run != nil && s.kind == kindRun:
			bd.fail(s, "a second Run is never reached: the first is at %s", run.at)
		case run != nil:
			bd.fail(s, "a component after Run is never reached: move it before the Run at %s", run.at)
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
		if (s.kind == kindMap || s.kind == kindMount) && branch.CheckPrefixWith(s.prefix, s.opts) == nil {
			if problem := known.problem(s); problem != "" {
				bd.fail(s, "never reached: %s", problem)
			}
			known = known.after(s)
		}
	}
	return at
}

// constructor returns the component of s, step i, with its failures caught. If it fails, its
// next handler takes its place, so that the rest of the chain is checked too.
func (bd *build) constructor(s *step, lv *level, i int) alice.Constructor {
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
		h = s.mw(next)
		if isNil(h) {
			bd.fail(s, "the component made a nil handler")
			return next
		}
		bd.note(h, next, s, lv, i)
		return h
	}
}

// isNil also detects a nil func or pointer inside the interface.
func isNil(h http.Handler) bool {
	if h == nil {
		return true
	}
	v := reflect.ValueOf(h)
	return (v.Kind() == reflect.Func || v.Kind() == reflect.Pointer) && v.IsNil()
}
