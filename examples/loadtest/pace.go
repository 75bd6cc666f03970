package main

import (
	"context"
	"math"
	"time"
)

// pace says when events are due that come at a steady rate, the first at 0.
type pace struct {
	rate float64 // a second; 0: all are due at once
}

// at returns when the event with the number, from 0, is due.
func (p pace) at(number uint64) time.Duration {
	if p.rate == 0 {
		return 0
	}
	return time.Duration(float64(number) / p.rate * float64(time.Second))
}

// by returns how many are due at the time now.
func (p pace) by(now time.Duration) uint64 {
	if p.rate == 0 {
		return math.MaxUint64
	}
	return uint64(now.Seconds()*p.rate) + 1
}

// before returns how many are due before the time end.
func (p pace) before(end time.Duration) uint64 {
	if p.rate == 0 {
		return math.MaxUint64
	}
	return uint64(math.Ceil(end.Seconds() * p.rate))
}

// share returns how many of n events fall to the one of some who take turns.
func share(n uint64, one, some int) uint64 {
	if n <= uint64(one) {
		return 0
	}
	return (n-uint64(one)-1)/uint64(some) + 1
}

// sleeper sleeps: by one of Go's timers until coarse is left, and then in naps. 0 is for
// timers alone.
type sleeper struct{ coarse time.Duration }

// precise is the best sleeper of the system.
var precise = sleeper{coarse}

// until waits for the time t since began; false if ctx ends before.
func (s sleeper) until(ctx context.Context, began time.Time, t time.Duration) bool {
	left := t - time.Since(began)
	if left > s.coarse {
		timer := time.NewTimer(left - s.coarse)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return false
		}
	}
	for left = t - time.Since(began); left > 0 && ctx.Err() == nil; left = t - time.Since(began) {
		nap(left)
	}
	return ctx.Err() == nil
}
