package middleware

import (
	"net/http"
	"strconv"
	"time"

	"github.com/speakingtube/speakingtube/pipeline"
)

// ResponseTime sets the header X-Response-Time to the time from its own start
// to the start of the response, in whole milliseconds: "12ms". Bodies that
// stream on afterwards are not part of it. On an upgrade it is in the 101.
func ResponseTime(next http.Handler) http.Handler { return responseTime(next) }

var responseTime = pipeline.Observe(func(w http.ResponseWriter, r *http.Request, res *pipeline.Response, next http.Handler) {
	start := time.Now()
	// Too late means that something above has started the response already:
	// there is no header left to set.
	_ = res.OnStarting(func(h http.Header, _ int) {
		h.Set("X-Response-Time", strconv.FormatInt(time.Since(start).Milliseconds(), 10)+"ms")
	})
	next.ServeHTTP(w, r)
})
