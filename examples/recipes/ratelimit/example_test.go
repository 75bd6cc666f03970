package ratelimit_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	rt "github.com/speakingtube/speakingtube/examples/recipes/internal/recipetest"
	"github.com/speakingtube/speakingtube/examples/recipes/ratelimit"
	"github.com/speakingtube/speakingtube/pipeline"
)

func Example() {
	app := pipeline.New().
		Use(ratelimit.PerClient(ratelimit.Options{Every: time.Minute, Burst: 2})).
		Run(rt.Text("served")).
		MustBuild()
	for range 3 {
		w := httptest.NewRecorder()
		app.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
		fmt.Printf("%d %q\n", w.Code, w.Header().Get("Retry-After"))
	}
	// Output:
	// 200 ""
	// 200 ""
	// 429 "60"
}
