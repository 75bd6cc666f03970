package branch_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/speakingtube/speakingtube/branch"
)

func ExampleLink() {
	admin := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Println(branch.Link(r, "/users?page=2"))
		fmt.Println(branch.Link(r, "//evil.example"))
		fmt.Println(branch.Link(r, "https://example.com/help"))
	})
	h := branch.Map("/admin", admin)(http.NotFoundHandler())
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/admin/roles", nil))
	// Output:
	// /admin/users?page=2
	// /admin/evil.example
	// https://example.com/help
}

// http.Redirect would lead to /users, out of the branch.
func ExampleRedirect() {
	admin := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		branch.Redirect(w, r, "/users", http.StatusSeeOther)
	})
	h := branch.Map("/admin", admin)(http.NotFoundHandler())
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/admin/users/new", nil))
	fmt.Println(w.Code, w.Header().Get("Location"))
	// Output: 303 /admin/users
}

// A return address from the client may name another site.
func ExampleIsLocal() {
	for _, target := range []string{"/orders?page=2", "https://evil.example/", "//evil.example/", `/\evil.example/`} {
		if !branch.IsLocal(target) {
			target = "/"
		}
		fmt.Println(target)
	}
	// Output:
	// /orders?page=2
	// /
	// /
	// /
}
