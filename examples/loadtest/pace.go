package main

import (
	"context"
	"math"
	"time"
)

// pace has the times of events at a steady rate. The first is due at 0.
type pace struct {
	rate float64 // per second; 0 means that all are due at once
}

// at returns the time when an event is due. The numbers begin at 0.
func (p pace) at(number uint64) time.Duration {
	if p.rate == 0 {
		return 0
	}
	return time.Duration(float64(number) / p.rate * float64(time.Second))
}

// by returns the number of events that are due at a time.
func (p pace) by(now time.Duration) uint64 {
	if p.rate == 0 {
		return math.MaxUint64
	}
	return uint64(now.Seconds()*p.rate) + 1
}

// before returns the number of events that are due before a time.
func (p pace) before(end time.Duration) uint64 {
	if p.rate == 0 {
		return math.MaxUint64
	}
	return uint64(math.Ceil(end.Seconds() * p.rate))
}

// share returns the number of the first n events that belong to participant i, if
// the participants take turns.
func share(n uint64, i, participants int) uint64 {
	if n <= uint64(i) {
		return 0
	}
	return (n-uint64(i)-1)/uint64(participants) + 1
}

// sleeper sleeps with a timer of Go until coarse is left, and then with nap. With 0 it uses
// the timer only.
type sleeper struct{ coarse time.Duration }

// precise is the most precise sleeper of the system.
var precise = sleeper{coarse}

// until waits until t after began. It returns false if ctx ends first.
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
