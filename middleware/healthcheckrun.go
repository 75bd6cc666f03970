package middleware

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"
)

// healthState is shared by all endpoints with the same check: the run in progress and the
// last result.
type healthState struct {
	mu   sync.Mutex
	run  *healthRun  // nil if none is in progress
	last HealthEntry // the zero entry has no CheckedAt
}

// healthRun is one call of a check, in a goroutine of its own. All requests that arrive
// meanwhile wait for it. So a check that hangs costs one goroutine, however often it is
// requested.
type healthRun struct {
	// read-only
	started  time.Time
	deadline time.Time
	cancel   context.CancelFunc

	// guarded by healthState.mu
	waiters   int
	abandoned bool // the last waiter left before the end: the context is cancelled
	reported  bool // the timeout has been logged

	done  chan struct{} // closed at the end
	entry HealthEntry   // written before done is closed
}

var (
	errHealthTimeout = errors.New("the check took longer than its timeout")
	errHealthStuck   = errors.New("an earlier run of the check has not returned")
	errHealthGoexit  = errors.New("the check ended its goroutine")
)

// result returns the check's entry, at the latest when its timeout has passed or the
// context ends.
func (p *probe) result(ctx context.Context, logger *slog.Logger) HealthEntry {
	asked := time.Now()
	latest := asked.Add(p.timeout)
	for {
		if ctx.Err() != nil {
			return p.cancelled(ctx, asked)
		}
		run, joined, known := p.join(ctx, logger)
		if run == nil {
			return known
		}
		until := run.deadline
		if latest.Before(until) {
			until = latest
		}
		timer := time.NewTimer(time.Until(until))
		select {
		case <-run.done:
			timer.Stop()
			if joined {
				return run.entry
			}
			// The requests that had started the run have left, which cancelled its context.
			// Its result is useless.
			continue
		case <-timer.C:
			if !joined {
				return p.stuck(run)
			}
			if !time.Now().Before(run.deadline) {
				p.logOvertime(ctx, run, logger)
			}
			p.leave(run)
			return p.late(run.started, errHealthTimeout)
		case <-ctx.Done():
			timer.Stop()
			if joined {
				p.leave(run)
			}
			return p.cancelled(ctx, run.started)
		}
	}
}

// join returns the run to wait for, and starts one if necessary. joined reports whether its
// result is valid for the caller. If there is no run to wait for, it returns a nil run and
// the known entry.
func (p *probe) join(ctx context.Context, logger *slog.Logger) (run *healthRun, joined bool, known HealthEntry) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if run := p.run; run != nil {
		if run.abandoned {
			return run, false, HealthEntry{}
		}
		run.waiters++
		return run, true, HealthEntry{}
	}
	if p.maxAge > 0 && !p.last.CheckedAt.IsZero() && now.Sub(p.last.CheckedAt) < p.maxAge {
		return nil, false, p.last
	}
	// The run may have to outlive the request that starts it.
	rctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.timeout)
	run = &healthRun{started: now, deadline: now.Add(p.timeout), cancel: cancel, waiters: 1, done: make(chan struct{})}
	p.run = run
	go p.execute(rctx, run, logger)
	return run, true, HealthEntry{}
}

// leave must be called by a request that has joined a run and does not wait for its end.
// The last one to leave cancels the run's context.
func (p *probe) leave(run *healthRun) {
	p.mu.Lock()
	defer p.mu.Unlock()
	run.waiters--
	if run.waiters == 0 && p.run == run {
		run.abandoned = true
		run.cancel()
	}
}

// execute runs on the run's goroutine.
func (p *probe) execute(ctx context.Context, run *healthRun, logger *slog.Logger) {
	defer run.cancel()
	var res HealthResult
	err := errHealthGoexit
	defer func() {
		v := recover()
		var stack string
		if v != nil {
			stack = string(debug.Stack())
		}
		p.finish(ctx, run, res, err, v, stack, logger)
	}()
	res, err = p.check(ctx)
}

// finish makes the entry from the check's result, error or panic, and wakes the waiters.
func (p *probe) finish(ctx context.Context, run *healthRun, res HealthResult, err error, panicked any, stack string, logger *slog.Logger) {
	var e HealthEntry
	timedOut := false
	switch {
	case panicked != nil:
		e = p.failed(run.started, fmt.Errorf("the check panicked: %v", panicked))
		e.Status, e.Description = Unhealthy, "the check panicked"
	case err == errHealthGoexit: // not errors.Is, because it calls methods of err, which may panic
		e = p.failed(run.started, err)
		e.Status, e.Description = Unhealthy, err.Error()
	case err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded):
		timedOut = true
		e = p.late(run.started, err)
		e.Data = res.Data
	case err != nil:
		e = p.failed(run.started, err)
		e.Description, e.Data = res.Description, res.Data
	case res.Status < Healthy || res.Status > Unhealthy:
		e = p.failed(run.started, fmt.Errorf("the check returned the invalid status %d", int(res.Status)))
		e.Status, e.Description, e.Data = Unhealthy, res.Description, res.Data
	default:
		e = p.entry(run.started)
		e.Status, e.Description, e.Data = res.Status, res.Description, res.Data
	}

	p.mu.Lock()
	run.entry = e
	p.run = nil
	abandoned, reported := run.abandoned, run.reported
	if !abandoned && !timedOut {
		p.last = e
	}
	p.mu.Unlock()
	// The log is written before the waiters get the entry, so that it is never behind the
	// answer.
	switch {
	case panicked != nil:
		p.log(ctx, logger, e, slog.String("stack", stack))
	case reported:
		logger.LogAttrs(ctx, slog.LevelInfo, "a health check that took too long has returned",
			slog.String("check", p.name), slog.Duration("took", e.Took))
	case !abandoned:
		p.log(ctx, logger, e)
	}
	close(run.done)
}

// logOvertime logs once that a run has exceeded its timeout, because such a run may never
// end.
func (p *probe) logOvertime(ctx context.Context, run *healthRun, logger *slog.Logger) {
	p.mu.Lock()
	first := p.run == run && !run.reported
	run.reported = true
	p.mu.Unlock()
	if first {
		p.log(ctx, logger, p.late(run.started, errHealthTimeout))
	}
}

func (p *probe) log(ctx context.Context, logger *slog.Logger, e HealthEntry, more ...slog.Attr) {
	level := slog.LevelDebug
	switch e.Status {
	case Degraded:
		level = slog.LevelWarn
	case Unhealthy:
		level = slog.LevelError
	}
	if !logger.Enabled(ctx, level) {
		return
	}
	attrs := []slog.Attr{slog.String("check", e.Name), slog.String("health", e.Status.String()), slog.Duration("took", e.Took)}
	if e.Description != "" {
		attrs = append(attrs, slog.String("description", e.Description))
	}
	if e.Err != nil {
		attrs = append(attrs, slog.String("err", errorText(e.Err)))
	}
	logger.LogAttrs(ctx, level, "health check", append(attrs, more...)...)
}

func (p *probe) entry(started time.Time) HealthEntry {
	return HealthEntry{Name: p.name, Tags: p.tags, CheckedAt: started, Took: time.Since(started)}
}

func (p *probe) failed(started time.Time, err error) HealthEntry {
	e := p.entry(started)
	e.Status, e.Err = p.failure, err
	return e
}

func (p *probe) late(started time.Time, err error) HealthEntry {
	e := p.failed(started, err)
	e.Description = "timed out after " + p.timeout.String()
	return e
}

func (p *probe) cancelled(ctx context.Context, started time.Time) HealthEntry {
	e := p.failed(started, context.Cause(ctx))
	e.Description = "the request ended before the check"
	return e
}

func (p *probe) stuck(run *healthRun) HealthEntry {
	e := p.failed(run.started, errHealthStuck)
	e.Description = "timed out after " + p.timeout.String() + " and has not returned yet"
	return e
}

// errorText returns err's text, even if its Error method panics, as with a nil pointer in
// an error: a check's goroutine has no net/http around it that would recover.
func errorText(err error) string { return fmt.Sprint(err) }
