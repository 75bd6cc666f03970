//go:build linux

package main

import (
	"context"
	"debug/buildinfo"
	"path/filepath"
	"slices"
	"strings"

	"github.com/speakingtube/speakingtube/examples/benchmarks/internal/harness"
)

// server is one that is measured.
type server struct {
	name    string
	key     string // its program: examples/echo, or a folder of servers
	args    []string
	library string // module path of what is measured
	limit   bool   // it is no WebSocket server but what they are held against
}

var servers = []server{
	{name: "Speaking Tube, event loop", key: "echo", args: []string{"-addr", "127.0.0.1:0", "-driver", "eventloop"}},
	{name: "Speaking Tube, goroutines", key: "echo", args: []string{"-addr", "127.0.0.1:0", "-driver", "goroutine"}},
	{name: "gws", key: "gws", library: "github.com/lxzan/gws"},
	{name: "gorilla", key: "gorilla", library: "github.com/gorilla/websocket"},
	{name: "coder", key: "coder", library: "github.com/coder/websocket"},
	{name: "melody", key: "melody", library: "github.com/olahol/melody"},
	{name: "gobwas/ws alone", key: "gobwas", library: "github.com/gobwas/ws"},
	{name: "plain TCP, goroutines", key: "rawtcp", args: []string{"-mode", "goroutine"}, limit: true},
	{name: "plain TCP, epoll", key: "rawtcp", args: []string{"-mode", "epoll"}, limit: true},
}

// chosen returns the servers whose names contain one of the texts; all for none.
func chosen(texts []string) []server {
	if len(texts) == 0 {
		return servers
	}
	return slices.DeleteFunc(slices.Clone(servers), func(s server) bool {
		return !slices.ContainsFunc(texts, func(text string) bool { return strings.Contains(s.name, text) })
	})
}

// build builds the programs of servers into dir and returns their paths by key, and the
// versions of their libraries.
func build(ctx context.Context, dir string, servers []server) (programs, versions map[string]string, err error) {
	programs, versions = map[string]string{}, map[string]string{}
	for _, s := range servers {
		if programs[s.key] != "" {
			continue
		}
		if s.key == "echo" {
			programs[s.key], err = harness.Build(ctx, dir, s.key)
		} else {
			programs[s.key] = filepath.Join(dir, s.key)
			_, err = harness.Command(ctx, "go", "build", "-o", programs[s.key], "github.com/speakingtube/speakingtube/examples/benchmarks/peers/servers/"+s.key)
		}
		if err != nil {
			return nil, nil, err
		}
		info, err := buildinfo.ReadFile(programs[s.key])
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
