// Package httpx has the helpers for headers, requests and response writers that the
// packages of this module share. Each function is small, keeps no state and is safe
// for concurrent use.
//
// It knows no component, no WebSocket and no response of this module, and it imports
// only the standard library, because package branch uses it. golang.org/x/net/http/httpguts
// has some of the checks, but it would link the tables of package idna into every
// program.
package httpx
