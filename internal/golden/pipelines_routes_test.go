package golden_test

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/speakingtube/speakingtube/branch"
	"github.com/speakingtube/speakingtube/middleware"
	"github.com/speakingtube/speakingtube/pipeline"
)

type builder = pipeline.Builder

func addRoutes(pipelines map[string]func(*env, *builder)) {
	pipelines["order"] = func(e *env, app *builder) {
		around := func(before, after string) {
			app.UseFunc(func(w http.ResponseWriter, r *http.Request, n next) {
				e.event("%s", before)
				text(w, before)
				n.ServeHTTP(w, r)
				e.event("%s", after)
				text(w, after)
			})
		}
		around("1", "8")
		around("2", "7")
		around("3", "6")
		app.UseFunc(func(w http.ResponseWriter, _ *http.Request, _ next) {
			e.event("4")
			text(w, "4")
			e.event("5")
			text(w, "5")
		})
		app.UseFunc(func(w http.ResponseWriter, r *http.Request, n next) {
			e.event("never")
			n.ServeHTTP(w, r)
		})
		app.RunFunc(say("never"))
	}
	pipelines["hello"] = func(e *env, app *builder) {
		app.UseFunc(func(w http.ResponseWriter, r *http.Request, n next) {
			fmt.Fprint(w, "===")
			n.ServeHTTP(w, r)
			fmt.Fprint(w, "===")
		})
		app.UseFunc(func(w http.ResponseWriter, r *http.Request, n next) {
			fmt.Fprint(w, ">>>>>> ")
			n.ServeHTTP(w, r)
			fmt.Fprint(w, " <<<<<<")
		})
		app.RunFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "Hello World!") })
	}
	pipelines["maps"] = func(e *env, app *builder) {
		app.Map("/map1", func(b *builder) {
			b.Map("/nested", func(b *builder) { b.RunFunc(say("nested")) })
			b.RunFunc(say("Map Test 1"))
		})
		app.Map("/map2", func(b *builder) { b.RunFunc(say("Map Test 2")) })
		app.MapWhen(branch.Query("branch"), func(b *builder) { b.RunFunc(say("MapBranch Test")) })
		app.RunFunc(say("Hello from non-Map delegate. <p>"))
	}
	pipelines["maporder"] = func(e *env, app *builder) {
		app.UseFunc(e.note("use1"))
		app.MapWhen(branch.Query("q1"), func(b *builder) { b.RunFunc(say("q1")) })
		app.Map("/m", func(b *builder) {
			b.UseFunc(e.note("m"))
			b.Map("/n", func(b *builder) { b.RunFunc(say("m n")) })
			b.MapWhen(branch.Query("q3"), func(b *builder) { b.RunFunc(say("m q3")) })
			b.RunFunc(say("m"))
		})
		app.UseFunc(e.note("use2"))
		app.MapWhen(branch.Query("q2"), func(b *builder) { b.Map("/k", func(b *builder) { b.RunFunc(say("q2 k")) }) })
		app.Map("/mm", func(b *builder) { b.RunFunc(say("mm")) })
		app.MapWhen(branch.Method("PUT"), func(b *builder) { b.RunFunc(say("put")) })
		app.MapWhen(branch.Header("X-Branch", "yes"), func(b *builder) { b.RunFunc(say("header")) })
		app.MapWhen(branch.Host("example.com"), func(b *builder) { b.RunFunc(say("host")) })
		app.MapWhen(branch.And(branch.Query("port"), branch.Port(e.port)), func(b *builder) { b.RunFunc(say("port")) })
		app.MapWhen(branch.Path("/pred"), func(b *builder) { b.RunFunc(info("pred")) })
		app.UseFunc(e.note("use3"))
		app.RunFunc(say("main"))
	}
	pipelines["pathbase"] = func(e *env, app *builder) {
		app.UseFunc(func(w http.ResponseWriter, r *http.Request, n next) {
			n.ServeHTTP(w, r)
			e.event("after base=[%s] path=[%s]", branch.PathBase(r), path(r))
		})
		app.Map("/a", func(b *builder) {
			b.Map("/b", func(b *builder) {
				b.Map("/c/d", func(b *builder) { b.RunFunc(info("abcd")) })
				b.RunFunc(info("ab"))
			})
			b.RunFunc(info("a"))
		})
		app.Map("/sp ace", func(b *builder) { b.RunFunc(info("space")) })
		app.Map("/über", func(b *builder) { b.RunFunc(info("uber")) })
		app.Map("/dot.ted", func(b *builder) { b.RunFunc(info("dotted")) })
		app.Map("/x-y_z~1", func(b *builder) { b.RunFunc(info("marks")) })
		app.Map("/throw", func(b *builder) { b.RunFunc(func(http.ResponseWriter, *http.Request) { panic("thrown") }) })
		app.RunFunc(info("main"))
	}
	pipelines["preserve"] = func(e *env, app *builder) {
		app.MapWith("/a", branch.MapOptions{PreservePath: true}, func(b *builder) {
			b.Map("/a/b", func(b *builder) { b.RunFunc(info("moved")) })
			b.RunFunc(info("kept"))
		})
		app.RunFunc(info("main"))
	}
	pipelines["usepathbase"] = func(e *env, app *builder) {
		app.Use(branch.UsePathBase("/base"))
		app.Map("/x", func(b *builder) { b.RunFunc(info("x")) })
		app.Map("/m", func(b *builder) { b.Use(branch.UsePathBase("/inner")).RunFunc(info("m")) })
		app.RunFunc(info("main"))
	}
	pipelines["usewhen"] = func(e *env, app *builder) {
		set := func(name string) func(*builder) {
			return func(b *builder) {
				b.UseFunc(func(w http.ResponseWriter, r *http.Request, n next) {
					w.Header().Set(name, "1")
					e.event("%s in", name)
					n.ServeHTTP(w, r)
					e.event("%s out", name)
				})
			}
		}
		app.UseWhen(branch.Query("u"), set("X-U"))
		app.UseWhen(branch.Query("stop"), func(b *builder) {
			b.UseFunc(func(w http.ResponseWriter, _ *http.Request, _ next) { text(w, "stopped") })
		})
		app.Map("/m", func(b *builder) {
			b.UseWhen(branch.Query("v"), func(b *builder) {
				set("X-V")(b)
				b.UseWhen(branch.Query("w"), set("X-W"))
			})
			b.RunFunc(info("m"))
		})
		app.UseWhen(branch.Path("/p"), set("X-P"))
		app.UseWhen(branch.Query("mapped"), func(b *builder) {
			b.Map("/inside", func(b *builder) { b.RunFunc(info("inside")) })
		})
		app.RunFunc(info("main"))
	}
	pipelines["shortcircuit"] = func(e *env, app *builder) {
		app.UseFunc(e.note("outer"))
		app.UseFunc(func(w http.ResponseWriter, r *http.Request, n next) {
			switch r.URL.Path {
			case "/deny":
				w.WriteHeader(403)
			case "/nothing":
			case "/204":
				w.WriteHeader(204)
			case "/401":
				w.Header().Set("WWW-Authenticate", "Basic")
				w.WriteHeader(401)
			case "/text":
				text(w, "short")
			case "/redirect":
				w.Header().Set("Location", "/elsewhere")
				w.WriteHeader(302)
			case "/twice":
				n.ServeHTTP(w, r)
				n.ServeHTTP(w, r)
			default:
				n.ServeHTTP(w, r)
			}
		})
		app.RunFunc(func(w http.ResponseWriter, _ *http.Request) {
			e.event("run")
			text(w, "end")
		})
	}
	pipelines["norun"] = func(e *env, app *builder) {
		app.Use(pipeline.Observe(func(w http.ResponseWriter, r *http.Request, res *pipeline.Response, n next) {
			e.event("in")
			n.ServeHTTP(w, r)
			if has(r, "status") {
				status := res.Status()
				if status == 0 {
					status = 200
				}
				e.event("status=%d started=%t", status, res.Started())
			}
			if has(r, "tail") {
				text(w, "tail")
			}
			if has(r, "rescue") && !res.Started() {
				w.WriteHeader(200)
				text(w, "rescued")
			}
			e.event("out")
		}))
		app.Map("/empty", func(*builder) {})
		app.Map("/use", func(b *builder) { b.UseFunc(e.note("use")) })
		app.MapWhen(branch.Query("none"), func(*builder) {})
	}
	pipelines["routing"] = func(e *env, app *builder) {
		app.Use(middleware.Endpoints(routes()))
		app.RunFunc(info("fell"))
	}
	pipelines["routingmap"] = func(e *env, app *builder) {
		app.Map("/api", func(b *builder) { b.Use(middleware.Endpoints(routes())) })
		app.RunFunc(info("main"))
	}
	pipelines["redirect"] = func(e *env, app *builder) {
		// /local?u=… says whether u is local; /go?u=… redirects there if it is.
		pages := func(b *builder) {
			b.RunFunc(func(w http.ResponseWriter, r *http.Request) {
				u := r.URL.Query().Get("u")
				switch {
				case r.URL.Path == "/local":
					text(w, fmt.Sprint("local=", branch.IsLocal(u)))
				case !branch.IsLocal(u) && !strings.HasPrefix(u, "~/"):
					w.WriteHeader(400)
				default:
					branch.Redirect(w, r, strings.TrimPrefix(u, "~"), 302)
				}
			})
		}
		app.Map("/sub", pages)
		pages(app)
	}
}

func routes() *http.ServeMux {
	mux := http.NewServeMux()
	values := func(names ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			var b strings.Builder
			b.WriteString(r.Method)
			for _, n := range names {
				fmt.Fprintf(&b, " %s=[%s]", n, r.PathValue(n))
			}
			text(w, b.String())
		}
	}
	mux.HandleFunc("GET /hello", say("hello"))
	mux.HandleFunc("GET /items/{id}", values("id"))
	mux.HandleFunc("DELETE /items/{id}", values("id"))
	mux.HandleFunc("POST /items", say("created"))
	mux.HandleFunc("GET /a/{x}/b/{y}", values("x", "y"))
	mux.HandleFunc("GET /files/{rest...}", values("rest"))
	mux.HandleFunc("GET /lit/special", say("special"))
	mux.HandleFunc("GET /lit/{x}", values("x"))
	mux.HandleFunc("/any", values())
	return mux
}

func (e *env) note(name string) func(http.ResponseWriter, *http.Request, http.Handler) {
	return func(w http.ResponseWriter, r *http.Request, n next) {
		e.event("%s in", name)
		n.ServeHTTP(w, r)
		e.event("%s out", name)
	}
}
