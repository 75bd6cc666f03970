// Package early sets GODEBUG before net/http reads it.
//
// A package is initialised as soon as its imports are, in the order of import paths (the Go
// specification, "Program initialization"; the order of the paths is defined by cmd/go).
// This package imports only os, which net/http imports too, and its path sorts before
// "net/http". So it is always initialised first. It must not import anything else.
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
	before string // the value of the variable
	was    bool   // the variable was set
	added  bool   // the setting was added
)

func init() {
	before, was = os.LookupEnv(variable)
	if strings.Contains(before, setting+"=") {
		return // the environment decides
	}
	value := setting + "=1"
	if before != "" {
		value = before + "," + value
	}
	added = os.Setenv(variable, value) == nil
}

// Restore removes the setting, so that child processes don't inherit it.
func Restore() {
	switch {
	case !added:
	case was:
		_ = os.Setenv(variable, before) // can't fail: the same value was set before
	default:
		_ = os.Unsetenv(variable) // can't fail: the name is valid
	}
}
