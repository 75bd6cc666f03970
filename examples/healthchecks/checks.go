package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/speakingtube/speakingtube/middleware"
)

// drain knows whether the service is about to end.
type drain struct{ begun atomic.Bool }

// before returns the context for serving: it ends some time after ctx. In between the
// service reports that it is not ready, but serves.
func (d *drain) before(ctx context.Context, grace time.Duration) (context.Context, context.CancelFunc) {
	serving, end := context.WithCancel(context.WithoutCancel(ctx))
	context.AfterFunc(ctx, func() {
		d.begun.Store(true)
		select {
		case <-time.After(grace):
		case <-serving.Done():
		}
		end()
	})
	return serving, end
}

func (d *drain) check(context.Context) (middleware.HealthResult, error) {
	if d.begun.Load() {
		return middleware.HealthResult{Description: "the service is ending"}, errors.New("draining")
	}
	return middleware.HealthResult{}, nil
}

// manyGoroutines is more than this service should ever need.
const manyGoroutines = 10_000

// goroutines is an example of a check for a slow failure: it reports Degraded before the
// service fails. A check of a database is middleware.Ping(db.PingContext).
func goroutines(context.Context) (middleware.HealthResult, error) {
	n := runtime.NumGoroutine()
	res := middleware.HealthResult{Data: map[string]any{"count": n}}
	if n > manyGoroutines {
		res.Status = middleware.Degraded
		res.Description = fmt.Sprintf("more than %d goroutines: a leak", manyGoroutines)
	}
	return res, nil
}
