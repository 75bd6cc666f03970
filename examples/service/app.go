package main

import (
	"crypto/subtle"
	"embed"
	"io/fs"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/jub0bs/cors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/speakingtube/speakingtube/branch"
	"github.com/speakingtube/speakingtube/middleware"
	"github.com/speakingtube/speakingtube/pipeline"
	"github.com/speakingtube/speakingtube/wsmanager"
)

//go:embed web
var web embed.FS

type service struct {
	log     *slog.Logger
	origin  string
	token   string // of administrators; "" refuses them all
	notes   *notes
	chat    *wsmanager.Manager
	metrics *metrics
}

func newService(log *slog.Logger, origin, token string) *service {
	chat := newChat(log, origin)
	return &service{log, origin, token, newNotes(), chat, newMetrics(chat)}
}

func (s *service) handler() (http.Handler, error) {
	site, _ := fs.Sub(web, "web") // fails for an invalid name only
	allowOrigin, err := cors.NewMiddleware(cors.Config{Origins: []string{s.origin}, Methods: []string{"DELETE"}, RequestHeaders: []string{"Content-Type"}})
	if err != nil {
		return nil, err
	}
	app := pipeline.NewWith(pipeline.Options{Logger: s.log})
	app.Use(
		middleware.Recover(middleware.RecoverOptions{Logger: s.log}),
		middleware.SecurityHeaders(middleware.SecurityHeadersOptions{ContentSecurityPolicy: "default-src 'self'"}),
		middleware.RequestID(middleware.RequestIDOptions{}),
		middleware.AccessLog(middleware.AccessLogOptions{Logger: s.log, Quiet: branch.Or(branch.Path("/health"), branch.Path("/metrics"))}),
		pipeline.Observe(s.metrics.measure),
		middleware.HealthChecks(middleware.HealthChecksOptions{Path: "/health", Checks: []*middleware.HealthCheck{{Name: "notes", Check: middleware.Ping(s.notes.ping)}}}),
	)
	app.Mount("/metrics", promhttp.HandlerFor(s.metrics.registry, promhttp.HandlerOpts{}))
	app.Mount("/chat", s.chat)
	app.Mount("/events", http.HandlerFunc(s.notes.events))
	app.Map("/api", func(api *pipeline.Builder) {
		api.Use(allowOrigin.Wrap, middleware.BodyLimit(64<<10), middleware.Timeout(5*time.Second), middleware.Endpoints(s.notes.api(s.log)))
	})
	app.Map("/admin", func(admin *pipeline.Builder) { admin.Use(s.requireToken, middleware.Endpoints(s.admin())) })
	app.Use(middleware.StaticFiles(middleware.StaticFilesOptions{FS: site, Fallback: "index.html"}))
	return app.Build()
}

// requireToken lets administrators through.
func (s *service) requireToken(next http.Handler) http.Handler {
	return middleware.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !ok || s.token == "" || subtle.ConstantTimeCompare([]byte(token), []byte(s.token)) == 0 {
			return &middleware.Problem{Status: http.StatusUnauthorized, Header: http.Header{"WWW-Authenticate": {"Bearer"}}}
		}
		next.ServeHTTP(w, r)
		return nil
	})
}

// admin has the endpoints of administrators, behind requireToken.
func (s *service) admin() *http.ServeMux {
	mux := http.NewServeMux()
	mux.Handle("GET /chat", middleware.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) error {
		return middleware.WriteJSON(w, http.StatusOK, map[string]int{"connections": s.chat.All().Len()})
	}))
	mux.Handle("DELETE /chat", middleware.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		s.log.WarnContext(r.Context(), "an administrator closes the chat")
		_ = s.chat.All().Close(wsmanager.StatusPolicyViolation, "closed by an administrator")
		w.WriteHeader(http.StatusNoContent)
		return nil
	}))
	return mux
}
