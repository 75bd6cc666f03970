package pipelinetest_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"

	"github.com/speakingtube/speakingtube/pipeline/pipelinetest"
)

// A recorder of httptest has other methods than a server's writer: a handler's interface
// assertions give other results than in production.
func Example() {
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, copies := w.(io.ReaderFrom)
		fmt.Fprint(w, "hello")
		fmt.Println("can copy from a file:", copies)
	})
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	h.ServeHTTP(httptest.NewRecorder(), r)
	w := pipelinetest.NewHTTP1()
	h.ServeHTTP(w, r)
	fmt.Println(w.Status(), w.BytesWritten())
	// Output:
	// can copy from a file: false
	// can copy from a file: true
	// 200 5
}
