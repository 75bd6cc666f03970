package middleware

import (
	"fmt"
	"strings"

	"github.com/speakingtube/speakingtube/pipeline"
)

// configProblems collects what is wrong with the options of a component, so
// that whoever wrote them reads it all at once.
type configProblems []string

func (p *configProblems) addf(format string, args ...any) {
	*p = append(*p, fmt.Sprintf(format, args...))
}

// report panics with the problems, if there are any.
func (p configProblems) report(component string) {
	if len(p) > 0 {
		panic(&pipeline.ConfigError{Component: component, Problem: strings.Join(p, "; ")})
	}
}
