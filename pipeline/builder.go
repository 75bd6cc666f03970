package pipeline

import (
	"fmt"
	"net/http"
	"sync/atomic"

	"github.com/speakingtube/speakingtube/branch"
)

// Middleware is a component: given the next handler, it makes the handler that
// stands in front of it. It is an alias, so alice constructors and the
// middleware of any other package fit as they are.
type Middleware = func(http.Handler) http.Handler

// Options change how a Builder behaves. The zero value is right for almost
// everybody. Branches inherit the options of the builder they belong to.
type Options struct {
	// DangerouslyAllowUncleanPaths lets paths with empty and dot segments
	// through to the components instead of redirecting to the clean path. Then
	// a guard that looks at the path can be walked around: with a file server
	// on the main line, GET /x/../admin/secret is not below Map("/admin") to
	// every component, but names the file behind it. Only for pipelines that
	// stand behind something that has cleaned the path already.
	DangerouslyAllowUncleanPaths bool
}

// Builder collects the components of a pipeline; Build turns them into an
// http.Handler. Its methods return the builder, so that calls can be chained.
//
// A Builder is not safe for concurrent use, and is no handler itself: an
// unbuilt pipeline can't be served by mistake.
type Builder struct {
	opts   Options
	steps  []step
	inside *step // the branch that is being configured, by a function with a builder of its own
}

// New returns an empty builder with the default options.
func New() *Builder { return &Builder{} }

// NewWith returns an empty builder with the options given.
func NewWith(opts Options) *Builder { return &Builder{opts: opts} }

// Use adds components. A request runs through them in the order added, and the
// response comes back in reverse. A component that does not call its next
// handler short-circuits the pipeline.
func (b *Builder) Use(mw ...Middleware) *Builder {
	at := caller()
	for _, m := range mw {
		b.add(step{kind: kindUse, at: at, label: funcName(m), mw: m})
	}
	if len(mw) == 0 {
		b.add(step{kind: kindUse, at: at, label: "nothing", bad: errNothing})
	}
	return b
}

// UseNamed adds a component under a name that [Builder.Has] finds and
// [Builder.String] prints. A name may be given once in a builder; branches are
// builders of their own.
func (b *Builder) UseNamed(name string, mw Middleware) *Builder {
	s := step{kind: kindUse, at: caller(), label: name, name: name, mw: mw}
	if name == "" {
		s.label, s.bad = "(no name)", errNoName
	}
	b.add(s)
	return b
}

// Run ends the pipeline with h. A pipeline without Run ends in 404.
func (b *Builder) Run(h http.Handler) *Builder {
	b.add(step{kind: kindRun, at: caller(), label: handlerName(h), handler: h})
	return b
}

// RunFunc is Run for a function.
func (b *Builder) RunFunc(f func(http.ResponseWriter, *http.Request)) *Builder {
	s := step{kind: kindRun, at: caller(), label: funcName(f)}
	if f != nil {
		s.handler = http.HandlerFunc(f)
	}
	b.add(s)
	return b
}

// Has reports whether a component was added to this builder under the name with
// UseNamed. It does not look into branches, nor up from one.
func (b *Builder) Has(name string) bool {
	for i := range b.steps {
		if b.steps[i].name == name && name != "" {
			return true
		}
	}
	return false
}

// kind is what a step does to a request.
type kind string

const (
	kindUse     kind = "Use"
	kindRun     kind = "Run"
	kindMap     kind = "Map"
	kindMapWhen kind = "MapWhen"
	kindUseWhen kind = "UseWhen"
	kindMount   kind = "Mount"
)

// step is one call to the builder. What it was given is checked by Build.
type step struct {
	kind  kind
	at    string // file:line of the call
	seq   int64  // in the order of the calls
	label string // for printing
	name  string // given with UseNamed
	bad   error  // a mistake that the call itself could see

	mw      Middleware               // kindUse
	handler http.Handler             // kindRun, kindMount
	prefix  string                   // kindMap, kindMount
	opts    branch.MapOptions        // kindMap, kindMount
	pred    func(*http.Request) bool // kindMapWhen, kindUseWhen
	sub     *Builder                 // kindMap, kindMapWhen, kindUseWhen
}

// sequence numbers the calls to all builders, so that Build lists mistakes in the
// order in which they were made.
var sequence atomic.Int64

func (b *Builder) add(s step) {
	if s.seq == 0 {
		s.seq = sequence.Add(1)
	}
	if in := b.inside; in != nil && s.bad == nil {
		s.bad = fmt.Errorf("called on the builder around the branch, inside the function that configures %s(%s) at %s: use that function's own builder", in.kind, in.label, in.at)
	}
	b.steps = append(b.steps, s)
}
