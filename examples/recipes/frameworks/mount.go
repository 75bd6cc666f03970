// Package frameworks is the recipe for sockets in other frameworks: how a Manager (at /ws)
// and a hub (at /events, with its negotiation) are mounted in gin, echo and chi, and below
// middleware for net/http. Its tests check that the client gets one 101 below all of them,
// on both drivers, and that their observers get the right status.
//
// The routes accept every method: over HTTP/2 a WebSocket is a CONNECT.
//
// This is a module of its own, so that neither the library nor the other recipes require
// these dependencies.
package frameworks

import (
	"net/http"
	"time"

	"github.com/NYTimes/gziphandler"
	"github.com/gin-gonic/gin"
	"github.com/go-chi/chi/v5"
	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"
)

// Gin mounts them in gin.
func Gin(r gin.IRoutes, chat, events http.Handler) {
	r.Any("/ws", gin.WrapH(chat))
	r.Any("/events", gin.WrapH(events))
	r.Any("/events/negotiate", gin.WrapH(events))
}

// Echo mounts them in echo.
func Echo(e *echo.Echo, chat, events http.Handler) {
	e.Any("/ws", echo.WrapHandler(chat))
	e.Any("/events", echo.WrapHandler(events))
	e.Any("/events/negotiate", echo.WrapHandler(events))
}

// EchoBeside keeps echo's middleware away from sockets: below Timeout they can't be
// hijacked, and Gzip sends its status when the handler has returned, which net/http logs as
// an error.
func EchoBeside(e *echo.Echo) {
	sockets := func(c echo.Context) bool { return c.IsWebSocket() }
	e.Use(middleware.GzipWithConfig(middleware.GzipConfig{Skipper: sockets}))
	e.Use(middleware.TimeoutWithConfig(middleware.TimeoutConfig{Skipper: sockets, Timeout: 10 * time.Second}))
}

// Chi mounts them in chi.
func Chi(r chi.Router, chat, events http.Handler) {
	r.Handle("/ws", chat)
	r.Handle("/events", events)
	r.Handle("/events/negotiate", events)
}

// Mux mounts them in net/http's ServeMux, for everything that wraps a handler:
// gorilla/handlers, gziphandler, gzhttp, negroni, scs, rs/cors.
func Mux(mux *http.ServeMux, chat, events http.Handler) {
	mux.Handle("/ws", chat)
	mux.Handle("/events", events)
	mux.Handle("/events/negotiate", events)
}

// GzipBeside excludes sockets from gziphandler, for the same reason as EchoBeside.
func GzipBeside(pages, chat http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", gziphandler.GzipHandler(pages))
	mux.Handle("/ws", chat)
	return mux
}
