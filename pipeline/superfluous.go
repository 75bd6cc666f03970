package pipeline

import (
	"log"
	"net/http"
	"path"
	"reflect"
	"runtime"
	"strings"
)

// warnSuperfluous is called for a status that comes after the first one. net/http would
// ignore it and log the caller of its own WriteHeader, which is this package; the warning
// should name the handler. So warnSuperfluous logs instead, with the text of net/http and
// to its log, and returns true. It returns false for a writer that is not net/http's own,
// which may do something else about a second status.
func (res *Response) warnSuperfluous() bool {
	if outer, ok := res.http1.(*http1Writer); ok {
		return outer.res().Started() && outer.res().warnSuperfluous()
	}
	srv, ok := res.parent.Value(http.ServerContextKey).(*http.Server)
	if !ok || res.isComplete() || reflect.TypeOf(res.http1).String() != "*http.response" {
		return false
	}
	printf := log.Printf
	if srv.ErrorLog != nil {
		printf = srv.ErrorLog.Printf
	}
	text := "superfluous response.WriteHeader call"
	if res.wasHijacked() {
		text = "response.WriteHeader on hijacked connection"
	}
	f := handlerFrame()
	printf("http: %s from %s (%s:%d)", text, f.Function, path.Base(f.File), f.Line)
	return true
}

// wasHijacked reports whether a handler has the connection, or had it.
func (res *Response) wasHijacked() bool {
	res.mu.Lock()
	defer res.mu.Unlock()
	return res.taken
}

// handlerFrame returns the innermost caller that is neither in net/http nor in a package of
// this module that wraps writers.
func handlerFrame() (f runtime.Frame) {
	var pcs [64]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs[:])])
	for more := true; more; {
		f, more = frames.Next()
		if !isWrapper(f.Function) {
			return f
		}
	}
	return f
}

// wrappers are the packages whose functions stand between a handler and net/http's writer.
var wrappers = []string{"net/http.", "github.com/felixge/httpsnoop.", modulePath + "/pipeline.", modulePath + "/middleware."}

const modulePath = "github.com/speakingtube/speakingtube"

func isWrapper(function string) bool {
	for _, w := range wrappers {
		if strings.HasPrefix(function, w) {
			return true
		}
	}
	return false
}
