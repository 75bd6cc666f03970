package branch_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/speakingtube/speakingtube/branch"
)

func ExampleUseWhen() {
	deprecated := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Deprecation", "true")
			next.ServeHTTP(w, r)
		})
	}
	api := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") })
	h := branch.UseWhen(branch.Query("v", "1"), deprecated)(api)

	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/?v=1", nil))
	fmt.Println(w.Body, w.Header().Get("Deprecation"))
	// Output: hello true
}

func ExampleWhen() {
	dump := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "dump of %s", r.URL.Path) })
	site := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "site: %s", r.URL.Path) })
	local := branch.Or(branch.Host("localhost", "*.test"), branch.Header("X-Debug", "1"))
	h := branch.When(branch.And(branch.Query("dump"), branch.Method("GET"), local), dump)(site)

	for _, target := range []string{"http://app.test/a?dump", "http://app.test/a", "http://example.com/a?dump"} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, target, nil))
		fmt.Println(w.Body)
	}
	// Output:
	// dump of /a
	// site: /a
	// site: /a
}

func ExampleNot() {
	audit := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Println("audited:", r.Method, r.URL)
			next.ServeHTTP(w, r)
		})
	}
	h := branch.UseWhen(branch.Not(branch.Or(branch.Method("GET", "HEAD"), branch.Path("/health"))), audit)(http.NotFoundHandler())
	for _, method := range []string{"GET", "POST"} {
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(method, "/orders", nil))
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(method, "/health", nil))
	}
	// Output: audited: POST /orders
}

func ExamplePathWith() {
	p := branch.PathWith("/Reports", branch.MapOptions{MatchCase: true})
	fmt.Println(p(httptest.NewRequest(http.MethodGet, "/Reports/2024", nil)))
	fmt.Println(p(httptest.NewRequest(http.MethodGet, "/reports/2024", nil)))
	// Output:
	// true
	// false
}
