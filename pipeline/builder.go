package pipeline

import (
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"

	"github.com/speakingtube/speakingtube/branch"
)

// Middleware is a component: it gets the next handler and returns the handler that stands
// in front of it. It is an alias, so alice constructors and the middleware of other
// packages can be used directly.
type Middleware = func(http.Handler) http.Handler

// Options configure a Builder. The zero value suits almost all applications. Branches
// inherit the options of their builder.
type Options struct {
	// DangerouslyAllowUncleanPaths passes paths with empty and dot segments to the
	// components instead of redirecting to the clean path. A guard that checks the path can
	// then be bypassed: with a file server on the main line, GET /x/../admin/secret is not
	// below Map("/admin") for every component, but names the file behind it. Use it only if
	// something in front of the pipeline has already cleaned the path.
	DangerouslyAllowUncleanPaths bool

	// OnRefused, if set, is called for each request that the pipeline does not pass to its
	// components because of its path or target, or redirects to the clean path, and for
	// each that a component refuses because an escaped slash would decide whether it
	// matches. It is meant for counters, and is called before the answer is sent. It must
	// be safe for concurrent use and must not change r, which is the request as the
	// refusing component has it. Reason is one of few constant texts.
	//
	// In a pipeline inside another one, the innermost OnRefused is called for what happens
	// inside it.
	OnRefused func(r *http.Request, refusal Refusal)

	// Logger gets a record for each such request: level WARN, "request path refused", or
	// INFO, "request path redirected", with the method, the path (escaped, at most 256
	// bytes), the reason and the client's address (of the socket, if the request has not
	// passed middleware.Forwarded yet). At most 50 records are written at once and 5 in a
	// second; the next one says how many were left out. Default: slog.Default.
	Logger *slog.Logger
}

// Builder collects the components of a pipeline; Build turns them into an http.Handler. Its
// methods return the builder, so that calls can be chained.
//
// A Builder is not safe for concurrent use. It is not a handler, so an unbuilt pipeline
// can't be served by mistake.
type Builder struct {
	opts   Options
	steps  []step
	inside *step // the branch that is being configured by a function with its own builder
}

// New returns an empty builder with the default options.
func New() *Builder { return &Builder{} }

// NewWith returns an empty builder with the given options.
func NewWith(opts Options) *Builder { return &Builder{opts: opts} }

// Use adds components. A request passes through them in the order added, and the response
// comes back in reverse. A component that does not call its next handler short-circuits the
// pipeline.
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

// UseNamed adds a component under a name that [Builder.Has] finds and [Builder.String]
// prints. A name must be unique within a builder; each branch has its own builder.
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

// Has reports whether a component was added to this builder under the name with UseNamed.
// It does not search branches or the builder around a branch.
func (b *Builder) Has(name string) bool {
	for i := range b.steps {
		if b.steps[i].name == name && name != "" {
			return true
		}
	}
	return false
}

// kind is the kind of call that added a step.
type kind string

const (
	kindUse     kind = "Use"
	kindRun     kind = "Run"
	kindMap     kind = "Map"
	kindMapWhen kind = "MapWhen"
	kindUseWhen kind = "UseWhen"
	kindMount   kind = "Mount"
)

// step is one call to the builder. Build checks its arguments.
type step struct {
	kind  kind
	at    string // file:line of the call
	seq   int64  // position among all calls
	label string // for printing
	name  string // from UseNamed
	bad   error  // a mistake that the call itself detected

	mw      Middleware               // kindUse
	handler http.Handler             // kindRun, kindMount
	prefix  string                   // kindMap, kindMount
	opts    branch.MapOptions        // kindMap, kindMount
	pred    func(*http.Request) bool // kindMapWhen, kindUseWhen
	sub     *Builder                 // kindMap, kindMapWhen, kindUseWhen
}

// sequence numbers the calls to all builders, so that Build lists mistakes in the order of
// the calls.
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

// UseFunc adds a component written as one function. It gets the next handler and may work
// before and after next.ServeHTTP(w, r), or not call it at all:
//
//	app.UseFunc(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
//		start := time.Now()
//		next.ServeHTTP(w, r)
//		log.Print(time.Since(start))
//	})
//
// It corresponds to ASP.NET Core's inline Use.
func (b *Builder) UseFunc(f func(w http.ResponseWriter, r *http.Request, next http.Handler)) *Builder {
	s := step{kind: kindUse, at: caller(), label: funcName(f)}
	if f != nil {
		s.mw = func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { f(w, r, next) })
		}
	}
	b.add(s)
	return b
}
