// Package extendedconnect switches on extended CONNECT (RFC 8441) in net/http's
// HTTP/2 server, for the whole process, by being imported:
//
// # Usage
//
//	import _ "github.com/speakingtube/speakingtube/wsmanager/extendedconnect"
//
// Browsers then open their WebSockets as streams of the HTTP/2 connection that they
// have to the server already, and a wsmanager.Manager accepts them as it accepts
// those over HTTP/1.1. Without it they open a connection of HTTP/1.1 for each
// WebSocket, and nothing else changes.
//
// Import it in package main only, and only if everything in the process that serves
// WebSockets over HTTP/2 connections understands extended CONNECT: a browser that is
// told of it uses it for every WebSocket to the same origin, and does not try
// HTTP/1.1 where that is refused. Managers do; most other libraries don't. That is
// why net/http has it off, and why importing wsmanager does not switch it on.
//
// # How it works
//
// Go 1.26 and 1.27 have no API for it. net/http reads the environment variable GODEBUG when
// it is initialised and looks for http2xconnect=1; a //go:debug line in the source
// can't say that, as the go command does not know the setting. This package sets the
// variable before net/http reads it, and puts the old value back afterwards, so that
// child processes don't inherit it. A process that is started with GODEBUG=http2xconnect=0
// keeps it off: so it can be switched off without a new build.
//
// With Go 1.26 the server of golang.org/x/net/http2 (http2.ConfigureServer,
// h2c.NewHandler) reads the variable for itself, later: for that, start the process with
// GODEBUG=http2xconnect=1. From Go 1.27 on that server is net/http's. net/http serves HTTP/2 with and without TLS by itself
// (http.Server.Protocols).
//
// # Concurrency
//
// All is done before main begins. [Check] is safe for concurrent use.
//
// # Failure
//
// That it works can be checked: [Check], and wsmanager's Options.RequireHTTP2. Where it
// does not, browsers use HTTP/1.1.
//
// # Testing
//
// A test binary is a process: import the package in a _test.go file, as in package main.
package extendedconnect

import (
	_ "net/http" // is initialised before this package

	"github.com/speakingtube/speakingtube/wsmanager/extendedconnect/internal/early"
	"github.com/speakingtube/speakingtube/wsmanager/internal/xconnect"
)

func init() { early.Restore() }

// Check returns an error if net/http's HTTP/2 server does not offer extended CONNECT
// in this process all the same: because it was started with GODEBUG=http2xconnect=0,
// or a newer Go works in another way. It asks such a server, in memory, once.
func Check() error { return xconnect.Check() }
