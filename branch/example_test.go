package branch_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

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
