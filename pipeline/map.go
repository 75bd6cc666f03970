package pipeline

import (
	"net/http"

	"github.com/speakingtube/speakingtube/branch"
)

// Map adds a branch for requests on or below prefix. The branch is a pipeline of its own,
// and configure is called at once. It sees the path without the prefix (see package branch
// for the rules) and ends with its own 404: a request that took it never falls back to the
// main line.
func (b *Builder) Map(prefix string, configure func(*Builder)) *Builder {
	s := step{kind: kindMap, at: caller(), label: prefix, prefix: prefix}
	b.addBranch(s, configure)
	return b
}

// MapWith is Map with options: with PreservePath the path stays unchanged, so that the
// branch and the Maps in it use the full path; MatchCase and Literal change how the prefix
// is interpreted.
func (b *Builder) MapWith(prefix string, opts branch.MapOptions, configure func(*Builder)) *Builder {
	s := step{kind: kindMap, at: caller(), label: prefix, prefix: prefix, opts: opts}
	b.addBranch(s, configure)
	return b
}

// MapWhen adds a branch for requests for which p holds. The path stays unchanged. As with
// Map, the branch never falls back to the main line.
func (b *Builder) MapWhen(p branch.Predicate, configure func(*Builder)) *Builder {
	s := step{kind: kindMapWhen, at: caller(), label: funcName(p), pred: p}
	b.addBranch(s, configure)
	return b
}

// UseWhen adds components for requests for which p holds. These requests rejoin the main
// line afterwards, unless a component of the branch answers.
func (b *Builder) UseWhen(p branch.Predicate, configure func(*Builder)) *Builder {
	s := step{kind: kindUseWhen, at: caller(), label: funcName(p), pred: p}
	b.addBranch(s, configure)
	return b
}

// Mount adds a branch that is a single handler: a *wsmanager.Manager, a ServeMux, a
// pipeline built elsewhere. It is Map with only a Run: it takes the requests below prefix
// too, and h may call branch.Exact.
func (b *Builder) Mount(prefix string, h http.Handler) *Builder {
	b.add(step{kind: kindMount, at: caller(), label: prefix, prefix: prefix, handler: h})
	return b
}

// MountWith is Mount with options. PreservePath is for handlers that want the full path,
// such as an http.ServeMux with full patterns.
func (b *Builder) MountWith(prefix string, opts branch.MapOptions, h http.Handler) *Builder {
	b.add(step{kind: kindMount, at: caller(), label: prefix, prefix: prefix, opts: opts, handler: h})
	return b
}

func (b *Builder) addBranch(s step, configure func(*Builder)) {
	s.seq = sequence.Add(1) // before the calls inside the branch
	s.sub = NewWith(b.opts)
	if configure == nil {
		s.bad = errNoConfigure
	} else {
		around := b.inside
		b.inside = &s
		configure(s.sub)
		b.inside = around
	}
	b.add(s)
}
