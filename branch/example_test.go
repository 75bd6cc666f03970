package branch_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/speakingtube/speakingtube/branch"
)

func ExampleMap() {
	admin := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "admin: %s below %s", r.URL.Path, branch.PathBase(r))
	})
	site := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "site: %s", r.URL.Path)
	})
	h := branch.Map("/admin", admin)(site)

	for _, target := range []string{"/admin/users", "/ADMIN", "/administer"} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, target, nil))
		fmt.Println(w.Body)
	}
	// Output:
	// admin: /users below /admin
	// admin: / below /ADMIN
	// site: /administer
}

// A component outside a branch logs the route, however deep the router is.
func ExampleMap_pattern() {
	items := http.NewServeMux()
	items.HandleFunc("GET /items/{id}", func(http.ResponseWriter, *http.Request) {})
	h := branch.Map("/api", items)(http.NotFoundHandler())

	r := httptest.NewRequest(http.MethodGet, "/API/items/7", nil)
	h.ServeHTTP(httptest.NewRecorder(), r)
	fmt.Println(r.Pattern)
	// Output: GET /api/items/{id}
}

// With PreservePath an http.ServeMux uses its full patterns, and its redirects stay in the
// branch.
func ExampleMapWith() {
	mux := http.NewServeMux()
	mux.HandleFunc("/docs/guide/", func(http.ResponseWriter, *http.Request) {})
	for _, h := range []http.Handler{
		branch.MapWith("/docs", branch.MapOptions{PreservePath: true}, mux)(http.NotFoundHandler()),
		branch.MapWith("/Docs", branch.MapOptions{MatchCase: true}, mux)(http.NotFoundHandler()),
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/docs/guide", nil))
		fmt.Println(w.Code, w.Header().Get("Location"))
	}
	// Output:
	// 307 /docs/guide/
	// 404
}

// A prefix is not a pattern. Map the literal part, and use a ServeMux for the rest.
func ExampleMap_misuse() {
	fmt.Println(branch.CheckPrefix("/users/{id}"))

	users := http.NewServeMux()
	users.HandleFunc("GET /{id}", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "user %s", r.PathValue("id")) })
	h := branch.Map("/users", users)(http.NotFoundHandler())
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/users/7", nil))
	fmt.Println(w.Body)
	// Output:
	// the prefix "/users/{id}" looks like a pattern ("{id}"), but is compared literally: give patterns to an http.ServeMux (middleware.Endpoints puts one into a pipeline), or map the part before it; MapOptions.Literal accepts it
	// user 7
}

func ExamplePathBase() {
	where := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		fmt.Printf("%q + %q, exact: %v\n", branch.PathBase(r), r.URL.Path, branch.Exact(r))
	})
	h := branch.Map("/a", branch.Map("/b", where)(where))(where)
	for _, target := range []string{"/x", "/a/x", "/A/b/x", "/a/b"} {
		h.ServeHTTP(nil, httptest.NewRequest(http.MethodGet, target, nil))
	}
	// Output:
	// "" + "/x", exact: false
	// "/a" + "/x", exact: false
	// "/A/b" + "/x", exact: false
	// "/a/b" + "/", exact: true
}

// Relative links of a page need the slash that an exact match lacks.
func ExampleExact() {
	page := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if branch.Exact(r) {
			branch.Redirect(w, r, "/", http.StatusMovedPermanently)
			return
		}
		fmt.Fprint(w, `<a href="next">`)
	})
	h := branch.Map("/book", page)(http.NotFoundHandler())
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/book", nil))
	fmt.Println(w.Header().Get("Location"))
	// Output: /book/
}

func ExampleUsePathBase() {
	site := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		fmt.Printf("%s links to %q\n", r.URL.Path, branch.Link(r, "/help"))
	})
	h := branch.UsePathBase("/shop")(site)
	h.ServeHTTP(nil, httptest.NewRequest(http.MethodGet, "/shop/cart", nil))
	h.ServeHTTP(nil, httptest.NewRequest(http.MethodGet, "/cart", nil)) // an internal call, without the proxy
	// Output:
	// /cart links to "/shop/help"
	// /cart links to "/help"
}

// A proxy has removed /shop from the path, and says so in a header.
func ExampleWithPathBase() {
	site := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r2, err := branch.WithPathBase(r, r.Header.Get("X-Forwarded-Prefix")) // the proxy is trusted
		if err != nil {
			http.Error(w, "400 "+err.Error(), http.StatusBadRequest)
			return
		}
		fmt.Fprintf(w, "%s links to %s", r2.URL.Path, branch.Link(r2, "/help"))
	})
	for _, prefix := range []string{"/shop/", "//evil.example"} {
		r := httptest.NewRequest(http.MethodGet, "/cart", nil)
		r.Header.Set("X-Forwarded-Prefix", prefix)
		w := httptest.NewRecorder()
		site.ServeHTTP(w, r)
		fmt.Println(w.Code, strings.TrimSpace(w.Body.String()))
	}
	// Output:
	// 200 /cart links to /shop/help
	// 400 400 branch: the path base "//evil.example" has empty or dot segments
}
