// Package extendedconnect enables extended CONNECT (RFC 8441) in net/http's HTTP/2 server,
// for the whole process, when it is imported:
//
// # Usage
//
//	import _ "github.com/speakingtube/speakingtube/wsmanager/extendedconnect"
//
// Browsers then open WebSockets as streams of the HTTP/2 connection that they already have
// to the server, and a wsmanager.Manager accepts them like those over HTTP/1.1. Without the
// import, browsers open one HTTP/1.1 connection for each WebSocket; nothing else differs.
//
// Import it in package main only, and only if everything in the process that serves
// WebSockets over HTTP/2 connections understands extended CONNECT: a browser that sees the
// setting uses extended CONNECT for every WebSocket to the same origin, and does not fall
// back to HTTP/1.1 if it is refused. Managers understand it; most other libraries don't.
// For that reason net/http disables it by default, and importing wsmanager does not enable
// it.
//
// # How it works
//
// Go 1.26 and 1.27 have no API for it. net/http reads the environment variable GODEBUG when
// it is initialised and looks for http2xconnect=1. A //go:debug line in the source can't
// set it, because the go command does not know the setting. This package sets the variable
// before net/http reads it, and restores the old value afterwards, so that child processes
// don't inherit it. A process that is started with GODEBUG=http2xconnect=0 keeps extended
// CONNECT disabled; so it can be disabled without a new build.
//
// With Go 1.26 the server of golang.org/x/net/http2 (http2.ConfigureServer, h2c.NewHandler)
// reads the variable itself, later. For that server, start the process with
// GODEBUG=http2xconnect=1. From Go 1.27 on that server is net/http's. net/http serves
// HTTP/2 with and without TLS itself (http.Server.Protocols).
//
// # Concurrency
//
// The package does its work before main begins. [Check] is safe for concurrent use.
//
// # Failure
//
// Use [Check] or wsmanager's Options.RequireHTTP2 to verify that it works. If it does not,
// browsers use HTTP/1.1.
//
// # Testing
//
// A test binary is a process of its own: import the package in a _test.go file, as in
// package main.
package extendedconnect

import (
	_ "net/http" // is initialised before this package

	"github.com/speakingtube/speakingtube/wsmanager/extendedconnect/internal/early"
	"github.com/speakingtube/speakingtube/wsmanager/internal/extconnect"
)

func init() { early.Restore() }

// Check returns an error if net/http's HTTP/2 server does not offer extended CONNECT in
// this process although the package is imported: the process was started with
// GODEBUG=http2xconnect=0, or a later Go release works differently. The first call connects
// to such a server in memory; later calls return the same result.
func Check() error { return extconnect.Check() }
