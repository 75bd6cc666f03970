package crossorigin_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/jub0bs/cors"

	"github.com/speakingtube/speakingtube/examples/recipes/crossorigin"
	"github.com/speakingtube/speakingtube/middleware"
	"github.com/speakingtube/speakingtube/pipeline"
	"github.com/speakingtube/speakingtube/wsmanager"
)

// A page of app.example.com may send requests, and open a socket.
func Example() {
	pages := cors.Config{
		Origins:         []string{"https://app.example.com"},
		Credentialed:    true,
		ResponseHeaders: []string{"X-Response-Time"},
	}
	chat := wsmanager.MustNew(wsmanager.Callbacks{}, crossorigin.Options(pages, wsmanager.Options{}))
	app := pipeline.New().
		Use(middleware.Recover(middleware.RecoverOptions{}), crossorigin.CORS(pages), middleware.ResponseTime).
		Mount("/ws", chat).
		MustBuild()

	for _, origin := range []string{"https://app.example.com", "https://evil.example.net"} {
		r := httptest.NewRequest(http.MethodGet, "/missing", nil)
		r.Header.Set("Origin", origin)
		w := httptest.NewRecorder()
		app.ServeHTTP(w, r)
		fmt.Printf("%d %q\n", w.Code, w.Header().Get("Access-Control-Allow-Origin"))
	}
	// Output:
	// 404 "https://app.example.com"
	// 404 ""
}
