package crossorigin_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/speakingtube/speakingtube/pipeline"
)

// One line of net/http refuses requests with which a foreign page would change something.
func Example_csrf() {
	app := pipeline.New()
	app.Use(http.NewCrossOriginProtection().Handler)
	app.RunFunc(func(http.ResponseWriter, *http.Request) {})
	h := app.MustBuild()

	for _, from := range []string{"same-origin", "cross-site"} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			r := httptest.NewRequest(method, "https://shop.example/orders", nil)
			r.Header.Set("Sec-Fetch-Site", from)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			fmt.Println(from, method, w.Code)
		}
	}
	// Output:
	// same-origin GET 200
	// same-origin POST 200
	// cross-site GET 200
	// cross-site POST 403
}
