package pipeline

import (
	"fmt"
	"slices"

	"github.com/speakingtube/speakingtube/branch"
)

// pathFacts are facts about the paths of the requests that reach a step, from the Maps and
// Mounts before it.
type pathFacts struct {
	taken []*step // earlier steps: requests that they match do not reach the step
	kept  []*step // enclosing branches with PreservePath: only requests that they match reach the step
}

// after returns the facts behind s.
func (k pathFacts) after(s *step) pathFacts {
	k.taken = append(slices.Clip(k.taken), s) // clipped, because branches share the beginning
	return k
}

// below returns the facts inside the branch of s.
func (k pathFacts) below(s *step) pathFacts {
	if !s.opts.PreservePath {
		return pathFacts{} // the path differs inside
	}
	k.kept = append(slices.Clip(k.kept), s)
	return k
}

// problem returns the reason why no request reaches s, or "".
func (k pathFacts) problem(s *step) string {
	for _, t := range k.taken {
		if branch.CoversWith(t.prefix, t.opts, s.prefix, s.opts) {
			return fmt.Sprintf("%s(%s) at %s takes all of its requests; move this one before it, or into it", t.kind, t.prefix, t.at)
		}
	}
	for _, o := range k.kept {
		if !overlap(o, s) {
			return fmt.Sprintf("the branch of %s(%s) at %s keeps the path (PreservePath): write %q, or do without PreservePath", o.kind, o.prefix, o.at, o.prefix+s.prefix)
		}
	}
	return ""
}

// overlap reports whether a and b match a common path.
func overlap(a, b *step) bool {
	opts := branch.MapOptions{MatchCase: a.opts.MatchCase && b.opts.MatchCase}
	return branch.CoversWith(a.prefix, opts, b.prefix, opts) || branch.CoversWith(b.prefix, opts, a.prefix, opts)
}
