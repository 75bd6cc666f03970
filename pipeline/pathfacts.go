package pipeline

import (
	"fmt"
	"slices"

	"github.com/speakingtube/speakingtube/branch"
)

// pathFacts are what the Maps and Mounts on the way say about the paths of the
// requests that get to a step.
type pathFacts struct {
	taken []*step // these have taken theirs: what they match does not get here
	kept  []*step // branches with PreservePath around: only what they match gets here
}

// after is what is known behind s.
func (k pathFacts) after(s *step) pathFacts {
	k.taken = append(slices.Clip(k.taken), s) // clipped: branches share the beginning
	return k
}

// below is what is known inside the branch of s.
func (k pathFacts) below(s *step) pathFacts {
	if !s.opts.PreservePath {
		return pathFacts{} // another path
	}
	k.kept = append(slices.Clip(k.kept), s)
	return k
}

// problem says why no request reaches s, or returns "".
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

// overlap reports whether some path is matched by both.
func overlap(a, b *step) bool {
	opts := branch.MapOptions{MatchCase: a.opts.MatchCase && b.opts.MatchCase}
	return branch.CoversWith(a.prefix, opts, b.prefix, opts) || branch.CoversWith(b.prefix, opts, a.prefix, opts)
}
