package middleware_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/speakingtube/speakingtube/middleware"
	"github.com/speakingtube/speakingtube/pipeline"
)

// One proxy at 10.0.0.1 terminates TLS and sets two headers. An entry that the client has
// put into X-Forwarded-For itself precedes the one that the proxy appended, and is ignored.
func ExampleForwarded() {
	app := pipeline.New()
	app.Use(middleware.Forwarded(middleware.ForwardedOptions{
		Trusted: []string{"10.0.0.1"},
		Headers: []string{"X-Forwarded-For", "X-Forwarded-Proto"},
	}))
	app.RunFunc(func(_ http.ResponseWriter, r *http.Request) {
		fmt.Println(r.RemoteAddr, "by", middleware.Scheme(r), "through", middleware.PeerAddr(r))
	})
	h := app.MustBuild()

	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("X-Forwarded-For", "127.0.0.1, 203.0.113.7")
	r.Header.Set("X-Forwarded-Proto", "https")
	r.RemoteAddr = "10.0.0.1:39122"
	h.ServeHTTP(httptest.NewRecorder(), r)
	r.RemoteAddr = "203.0.113.7:51312" // a client that bypasses the proxy
	h.ServeHTTP(httptest.NewRecorder(), r)
	// Output:
	// 203.0.113.7:0 by https through 10.0.0.1:39122
	// 203.0.113.7:51312 by http through 203.0.113.7:51312
}

// The classic mistake: to trust the headers of every client. Build names the option to set.
func ExampleForwarded_trustingEverybody() {
	_, err := pipeline.New().Use(middleware.Forwarded(middleware.ForwardedOptions{
		Trusted: []string{"0.0.0.0/0"},
		Headers: []string{"X-Forwarded-For"},
	})).Build()
	var config *pipeline.ConfigError
	fmt.Println(errors.As(err, &config))
	fmt.Println(config.Problem)
	// Output:
	// true
	// Trusted: "0.0.0.0/0" trusts every peer: name the proxies, or set DangerouslyTrustEverybody if that is intended
}
