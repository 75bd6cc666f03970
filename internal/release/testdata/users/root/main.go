// Command root uses the packages of the root module as a program outside of it does.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/speakingtube/speakingtube/branch"
	"github.com/speakingtube/speakingtube/middleware"
	"github.com/speakingtube/speakingtube/pipeline"
	"github.com/speakingtube/speakingtube/wsmanager"
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	sockets := wsmanager.MustNew(wsmanager.Callbacks{}, wsmanager.Options{})
	app := pipeline.New()
	app.Use(middleware.Recover(middleware.RecoverOptions{}))
	app.Mount("/ws", sockets)
	app.MapWhen(branch.Query("branch"), func(b *pipeline.Builder) {
		b.RunFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "branch") })
	})
	app.RunFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "main") })
	srv := httptest.NewServer(app.MustBuild())
	defer srv.Close()

	for path, want := range map[string]string{"/": "200 main", "/?branch": "200 branch", "/ws": "426 "} {
		if got := get(srv.URL + path); len(got) < len(want) || got[:len(want)] != want {
			log.Fatalf("GET %s: %q, want %q", path, got, want)
		}
	}
	if err := sockets.Shutdown(ctx); err != nil {
		log.Fatal(err)
	}
}

// get returns the status and the body of a resource.
func get(url string) string {
	res, err := http.Get(url)
	if err != nil {
		log.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		log.Fatal(err)
	}
	return fmt.Sprint(res.StatusCode, " ", string(body))
}
