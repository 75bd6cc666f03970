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

// sleepUntil waits for the time t since began; false if ctx ends before.
func sleepUntil(ctx context.Context, began time.Time, t time.Duration) bool {
	left := t - time.Since(began)
	if left <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(left)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
