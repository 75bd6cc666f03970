package middleware

import (
	"net/http"
	"strconv"
	"time"

	"github.com/speakingtube/speakingtube/pipeline"
)

// ResponseTime sets the header X-Response-Time to the time from its own start to the start
// of the response, in whole milliseconds: "12ms". It does not include the time for
// streaming the body. For an upgrade the header is in the 101.
func ResponseTime(next http.Handler) http.Handler { return responseTime(next) }

var responseTime = pipeline.Observe(func(w http.ResponseWriter, r *http.Request, res *pipeline.Response, next http.Handler) {
	// If it is too late, a component above has already started the response, and the header
	// can't be set.
	_ = res.NotifyStarting(&responseTimer{start: time.Now()})
	next.ServeHTTP(w, r)
})

// responseTimer is the state of one request; it also holds the header's value, which saves
// an allocation.
type responseTimer struct {
	start time.Time
	value [1]string
}

func (t *responseTimer) Starting(h http.Header, _ int) {
	t.value[0] = milliseconds(time.Since(t.start))
	h["X-Response-Time"] = t.value[:]
}

// milliseconds formats d. Common values are formatted beforehand.
func milliseconds(d time.Duration) string {
	ms := d.Milliseconds()
	if 0 <= ms && ms < int64(len(shortTimes)) {
		return shortTimes[ms]
	}
	return strconv.FormatInt(ms, 10) + "ms"
}

var shortTimes = func() (texts [256]string) {
	for ms := range texts {
		texts[ms] = strconv.Itoa(ms) + "ms"
	}
	return texts
}()
