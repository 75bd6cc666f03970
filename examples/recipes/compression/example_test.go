package compression_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/speakingtube/speakingtube/examples/recipes/compression"
	"github.com/speakingtube/speakingtube/middleware"
	"github.com/speakingtube/speakingtube/pipeline"
)

func Example() {
	app := pipeline.New().
		Use(middleware.Recover(middleware.RecoverOptions{})).
		Use(compression.Compress(compression.Options{MinSize: 1400})).
		RunFunc(page).
		MustBuild()
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Accept-Encoding", "gzip, deflate, br")
	w := httptest.NewRecorder()
	app.ServeHTTP(w, r)
	fmt.Println(w.Code, w.Header().Get("Content-Encoding"), w.Body.Len() < 200)
	// Output: 200 gzip true
}
