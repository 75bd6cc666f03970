package pipeline

import (
	"net/http"

	"github.com/speakingtube/speakingtube/branch"
)

// Map adds a branch for requests on or below prefix. The branch is a pipeline
// of its own, configured at once; it sees the path without the prefix (see
// package branch for the rules) and ends in its own 404: a request that took it
// never falls back to the main line.
func (b *Builder) Map(prefix string, configure func(*Builder)) *Builder {
	s := step{kind: kindMap, at: caller(), label: prefix, prefix: prefix}
	b.addBranch(s, configure)
	return b
}

// MapWhen adds a branch for requests for which p holds. The path stays as it
// is. Like that of Map, the branch never falls back to the main line.
func (b *Builder) MapWhen(p branch.Predicate, configure func(*Builder)) *Builder {
	s := step{kind: kindMapWhen, at: caller(), label: funcName(p), pred: p}
	b.addBranch(s, configure)
	return b
}

// UseWhen adds components that only requests for which p holds run through;
// they rejoin the main line afterwards, unless a component of the branch
// answers by itself.
func (b *Builder) UseWhen(p branch.Predicate, configure func(*Builder)) *Builder {
	s := step{kind: kindUseWhen, at: caller(), label: funcName(p), pred: p}
	b.addBranch(s, configure)
	return b
}

// Mount adds a branch that is a single handler: a *wsmanager.Manager, a
// ServeMux, a pipeline that was built elsewhere. It is Map with nothing but Run.
func (b *Builder) Mount(prefix string, h http.Handler) *Builder {
	b.add(step{kind: kindMount, at: caller(), label: prefix, prefix: prefix, handler: h})
	return b
}

func (b *Builder) addBranch(s step, configure func(*Builder)) {
	s.sub = NewWith(b.opts)
	if configure == nil {
		s.bad = errNoConfigure
	} else {
		configure(s.sub)
	}
	b.add(s)
}
