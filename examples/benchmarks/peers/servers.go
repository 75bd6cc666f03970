//go:build linux

package main

import (
	"context"
	"debug/buildinfo"
	"slices"
	"strings"

	"github.com/speakingtube/speakingtube/examples/benchmarks/internal/harness"
)

// server is a program that is measured.
type server struct {
	name    string
	pkg     string // its folder
	args    []string
	library string // module path of the measured library
}

const servers = "examples/benchmarks/peers/servers/"

var all = []server{
	{name: "Speaking Tube, event loop", pkg: "examples/echo", args: []string{"-addr", "127.0.0.1:0", "-driver", "eventloop"}},
	{name: "Speaking Tube, goroutines", pkg: "examples/echo", args: []string{"-addr", "127.0.0.1:0", "-driver", "goroutine"}},
	{name: "gws", pkg: servers + "gws", library: "github.com/lxzan/gws"},
	{name: "gorilla", pkg: servers + "gorilla", library: "github.com/gorilla/websocket"},
	{name: "coder", pkg: servers + "coder", library: "github.com/coder/websocket"},
	{name: "melody", pkg: servers + "melody", library: "github.com/olahol/melody"},
	{name: "gobwas/ws alone", pkg: servers + "gobwas", library: "github.com/gobwas/ws"},
}

// chosen returns the servers whose names contain one of the texts.
func chosen(texts []string) []server {
	return slices.DeleteFunc(slices.Clone(all), func(s server) bool {
		return !slices.ContainsFunc(texts, func(text string) bool { return strings.Contains(s.name, text) })
	})
}

// build builds the programs and returns their paths by folder, and the versions of their
// libraries by name.
func build(ctx context.Context, dir string, list []server) (programs, versions map[string]string, err error) {
	programs, versions = map[string]string{}, map[string]string{}
	for _, s := range list {
		if programs[s.pkg] != "" {
			continue
		}
		if programs[s.pkg], err = harness.Build(ctx, dir, s.pkg); err != nil {
			return nil, nil, err
		}
		info, err := buildinfo.ReadFile(programs[s.pkg])
		if err != nil {
			return nil, nil, err
		}
		for _, module := range info.Deps {
			if module.Path == s.library {
				versions[s.name] = module.Version
			}
		}
	}
	return programs, versions, nil
}
