package middleware

import (
	"fmt"
	"strings"

	"github.com/speakingtube/speakingtube/pipeline"
)

// configProblems collects all problems of a component's options, so that they are reported
// at once.
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
