package branch_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/speakingtube/speakingtube/branch"
)

func ExampleCleanPaths() {
	guard := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "not authenticated", http.StatusUnauthorized)
	})
	site := http.NewServeMux()
	site.HandleFunc("/admin/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "secret") })
	h := branch.CleanPaths(branch.Map("/admin", guard)(site))

	for _, target := range []string{"/admin/x", "/admin/%2e%2e/x"} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, target, nil))
		fmt.Printf("%d %q\n", w.Code, w.Header().Get("Location"))
	}
	// Output:
	// 401 ""
	// 307 "/x"
}

// Without CleanPaths, a path that is not below /admin/ to Map is below it to a ServeMux:
// the guard is bypassed.
func ExampleCleanPaths_misuse() {
	guard := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "not authenticated", http.StatusUnauthorized)
	})
	site := http.NewServeMux()
	site.HandleFunc("/admin/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "secret") })
	h := branch.Map("/admin", guard)(site)

	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/admin/%2e%2e/x", nil))
	fmt.Println(w.Code, w.Body)
	// Output: 200 secret
}
