// Package early sets GODEBUG before net/http reads it.
//
// Packages are initialised as soon as all that they import is, in the order of
// their paths (the Go specification, "Program initialization"; the order of the
// paths is cmd/go's). This one imports only os, which net/http imports as well, and
// its path comes before "net/http": so it is always first. It must stay so small.
package early

import (
	"os"
	"strings"
)

const (
	variable = "GODEBUG"
	setting  = "http2xconnect"
)

var (
	before string // the variable's value
	was    bool   // there was one
	added  bool   // the setting
)

func init() {
	before, was = os.LookupEnv(variable)
	if strings.Contains(before, setting+"=") {
		return // whoever starts the process has decided
	}
	value := setting + "=1"
	if before != "" {
		value = before + "," + value
	}
	added = os.Setenv(variable, value) == nil
}

// Restore takes the setting back, so that child processes don't inherit it.
func Restore() {
	switch {
	case !added:
	case was:
		_ = os.Setenv(variable, before) // it was there before
	default:
		_ = os.Unsetenv(variable) // has no error for a name that could be set
	}
}
