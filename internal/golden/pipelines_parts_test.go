package golden_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/speakingtube/speakingtube/branch"
	"github.com/speakingtube/speakingtube/middleware"
	"github.com/speakingtube/speakingtube/pipeline"
	"github.com/speakingtube/speakingtube/wsmanager"
)

func (e *env) check(name string, status middleware.HealthStatus) *middleware.HealthCheck {
	return &middleware.HealthCheck{Name: name, Tags: []string{name}, Check: func(context.Context) (middleware.HealthResult, error) {
		e.event("check %s", name)
		return middleware.HealthResult{Status: status}, nil
	}}
}

// timeout is that of the pipeline timeouts. The programs that were recorded had 300 ms. Here
// it is longer, so that a slow machine is quick enough.
const timeout = 1500 * time.Millisecond

func addParts(pipelines map[string]func(*env, *builder)) {
	static := func(e *env) pipeline.Middleware {
		return middleware.StaticFiles(middleware.StaticFilesOptions{FS: os.DirFS(e.root)})
	}
	pipelines["static"] = func(e *env, app *builder) { app.Use(static(e)).RunFunc(info("fell")) }
	pipelines["staticmap"] = func(e *env, app *builder) {
		app.Map("/files", func(b *builder) { b.Use(static(e)) })
		app.RunFunc(info("main"))
	}
	pipelines["health"] = func(e *env, app *builder) {
		checks := []*middleware.HealthCheck{e.check("ok", middleware.Healthy), e.check("slow", middleware.Degraded), e.check("bad", middleware.Unhealthy),
			{Name: "throws", Tags: []string{"throws"}, Check: func(context.Context) (middleware.HealthResult, error) {
				return middleware.HealthResult{}, errors.New("broken")
			}}}
		at := func(path string, port int, filter func(*middleware.HealthCheck) bool) pipeline.Middleware {
			return middleware.HealthChecks(middleware.HealthChecksOptions{Path: path, Port: port, Checks: checks, Filter: filter})
		}
		only := func(names ...string) func(*middleware.HealthCheck) bool {
			return func(c *middleware.HealthCheck) bool { return slices.Contains(names, c.Name) }
		}
		app.Use(
			at("/health", 0, only("ok")),
			at("/live", 0, only()),
			at("/degraded", 0, only("ok", "slow")),
			at("/unhealthy", 0, only("ok", "bad", "slow")),
			at("/throws", 0, only("throws")),
			at("/port", e.port, only("ok")),
			at("/wrongport", 1, only("ok")),
			middleware.HealthChecks(middleware.HealthChecksOptions{Path: "/teapot", Checks: checks, Filter: only("slow"), AllowCaching: true,
				StatusCodes: middleware.HealthStatusCodes{Healthy: 200, Degraded: 218, Unhealthy: 500}}),
			middleware.HealthChecks(middleware.HealthChecksOptions{Path: "/custom", Checks: checks, Filter: only("ok"),
				Render: func(_ *http.Request, rep middleware.HealthReport) (string, []byte, error) {
					return "text/x-custom", []byte("is " + rep.Status.String()), nil
				}}),
		)
		app.Map("/in", func(b *builder) { b.Use(at("/health", 0, only("ok"))) })
		app.RunFunc(info("fell"))
	}
	seen := func(w http.ResponseWriter, r *http.Request) {
		h := r.Header
		text(w, fmt.Sprintf("remote=[%s] scheme=[%s] host=[%s] base=[%s] path=[%s] for=[%s] proto=[%s] fhost=[%s] prefix=[%s]",
			r.RemoteAddr, middleware.Scheme(r), r.Host, branch.PathBase(r), path(r),
			strings.Join(h["X-Forwarded-For"], "|"), strings.Join(h["X-Forwarded-Proto"], "|"),
			strings.Join(h["X-Forwarded-Host"], "|"), strings.Join(h["X-Forwarded-Prefix"], "|")))
	}
	loopback := []string{"127.0.0.0/8", "::1"}
	three := []string{"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host"}
	pipelines["forwarded"] = func(e *env, app *builder) {
		app.Use(middleware.Forwarded(middleware.ForwardedOptions{Trusted: loopback, Headers: three}))
		app.RunFunc(seen)
	}
	pipelines["forwarded3"] = func(e *env, app *builder) {
		app.Use(middleware.Forwarded(middleware.ForwardedOptions{
			Trusted: append([]string{"10.0.0.1", "10.0.0.2"}, loopback...),
			Headers: append([]string{"X-Forwarded-Prefix"}, three...), Limit: 3,
			AllowedHosts: []string{"good.example", "*.wild.example"},
		}))
		app.RunFunc(seen)
	}
	echo := func(opts wsmanager.Options) func(e *env, app *builder) {
		return func(e *env, app *builder) {
			m := wsmanager.MustNew(wsmanager.Callbacks{
				OnAccept: func(r *http.Request) (wsmanager.Accept, error) {
					var a wsmanager.Accept
					for _, line := range r.Header["Sec-Websocket-Protocol"] {
						for p := range strings.SplitSeq(line, ",") {
							if strings.TrimSpace(p) == "chat" {
								a.Subprotocol = "chat"
							}
						}
					}
					return a, nil
				},
				OnConnect: func(c *wsmanager.Conn) error { e.event("connected"); return nil },
				OnMessage: func(c *wsmanager.Conn, msg wsmanager.Message) error {
					e.event("message %d bytes", len(msg.Payload))
					return c.Send(msg)
				},
				OnClose: func(c *wsmanager.Conn, err error) { e.event("closed") },
			}, opts)
			e.drain = append(e.drain, m.Shutdown)
			app.UseFunc(func(w http.ResponseWriter, r *http.Request, n next) {
				w.Header().Set("X-Above", "1")
				n.ServeHTTP(w, r)
			})
			app.Mount("/ws", m)
			app.RunFunc(info("main"))
		}
	}
	pipelines["ws"] = echo(wsmanager.Options{})
	pipelines["wsorigin"] = echo(wsmanager.Options{Origins: wsmanager.Origins{Allowed: []string{"https://good.example"}}})
	pipelines["timeouts"] = func(e *env, app *builder) {
		app.Use(middleware.Timeout(timeout))
		app.Use(func(http.Handler) http.Handler {
			return middleware.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
				wait := func(d time.Duration) error {
					select {
					case <-r.Context().Done():
						e.event("cancelled")
						return r.Context().Err()
					case <-time.After(d):
						e.event("waited")
						return nil
					}
				}
				switch r.URL.Path {
				case "/slow":
					return wait(3 * timeout)
				case "/started":
					text(w, "part ")
					flush(w)
					_ = wait(3 * timeout)
					text(w, "rest")
				case "/started-throw":
					text(w, "part ")
					flush(w)
					return wait(2 * timeout)
				case "/swallow":
					_ = wait(3 * timeout)
				case "/swallow-status":
					_ = wait(3 * timeout)
					w.WriteHeader(418)
				case "/swallow-text":
					_ = wait(3 * timeout)
					text(w, "after all")
				case "/ignore":
					time.Sleep(2 * timeout)
					text(w, "late")
				case "/ignore-empty":
					time.Sleep(2 * timeout)
				case "/disable":
					e.event("disabled %t", middleware.DisableTimeout(r))
					if err := wait(2 * timeout); err != nil {
						return err
					}
					text(w, "took its time")
				default:
					text(w, "quick")
				}
				return nil
			})
		})
	}
	pipelines["bodylimit"] = func(e *env, app *builder) {
		app.Use(middleware.BodyLimit(10))
		raise := func(n int64) func(*builder) {
			return func(b *builder) { b.Use(middleware.BodyLimit(n)).Run(middleware.HandlerFunc(e.readBody)) }
		}
		app.Map("/more", raise(100))
		app.Map("/less", raise(5))
		app.Map("/unread", func(b *builder) { b.RunFunc(say("not read")) })
		app.Map("/silent", func(b *builder) {
			b.RunFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.ReadAll(r.Body) })
		})
		app.Run(middleware.HandlerFunc(e.readBody))
	}
	pipelines["bodylimithandled"] = func(e *env, app *builder) {
		app.Use(e.handled())
		app.Use(middleware.BodyLimit(10))
		app.Run(middleware.HandlerFunc(e.readBody))
	}
	pipelines["oddities"] = func(e *env, app *builder) {
		app.RunFunc(func(w http.ResponseWriter, r *http.Request) {
			n, err := io.Copy(io.Discard, r.Body)
			e.event("request %s", r.Method)
			text(w, fmt.Sprintf("%s path=[%s] query=[%s] host=[%s] proto=%s body=%d error=%t x=[%s]",
				r.Method, r.URL.Path, r.URL.RawQuery, r.Host, r.Proto, n, err != nil, strings.Join(r.Header["X"], "|")))
		})
	}
}

func (e *env) readBody(w http.ResponseWriter, r *http.Request) error {
	b, err := io.ReadAll(r.Body)
	if err != nil {
		e.event("read failed")
		return err
	}
	text(w, fmt.Sprintf("read %d", len(b)))
	return nil
}
