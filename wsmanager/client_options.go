package wsmanager

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/speakingtube/speakingtube/wsmanager/internal/backoff"
)

// ClientOptions configure a [Client]. The zero value is safe for production: a field or a
// field of a group that is zero has its default.
type ClientOptions struct {
	// Logger gets one record for each connection that ends, with its id, code, reason and
	// error. Default: slog.Default() at the time of the record.
	Logger *slog.Logger

	// BaseContext is the parent of the Context of each connection and the context of its log
	// records. Cancelling it does not close connections. Default: context.Background().
	BaseContext context.Context

	// Handshake is the request of each handshake.
	Handshake Handshake

	// Network is the way to the server.
	Network Network

	// Value is the application's own state of each connection; see [Value].
	Value any

	// Reconnect is when the Client connects again, and when it gives up.
	Reconnect Reconnect

	// Limits bound the messages, control frames and groups of a connection.
	Limits Limits

	// Timeouts are the intervals and time limits of a connection.
	Timeouts Timeouts

	// Outbox bounds the messages that wait in the Client, for the present connection and the
	// next, and those that wait on the present connection. A send that exceeds a bound fails
	// with ErrOutboxFull, and the connection stays open.
	Outbox Outbox

	// InvalidUTF8 is the policy for text messages and close reasons of the application that
	// are not valid UTF-8. Default: InvalidUTF8Reject.
	InvalidUTF8 InvalidUTF8

	// Compression is permessage-deflate. If it is on, it is offered to the server. Default: off.
	Compression Compression

	// Driver is the method by which connections wait for messages. Default: DriverAuto, which
	// is DriverGoroutine here.
	Driver Driver
}

// Reconnect is when a [Client] connects again, and when it gives up.
//
// The delay before an attempt is random between 0 and an upper bound, so that the clients of
// a server that went down do not come back together. The bound grows with each failure in a
// row. If the server answers with Retry-After in seconds, the delay is at least that, up to
// MaxDelay.
type Reconnect struct {
	// MinDelay is the upper bound of the delay after the first failure. Default: 500 ms.
	MinDelay time.Duration

	// MaxDelay is the largest upper bound of the delay. It must not be below MinDelay.
	// Default: 30 s, or MinDelay if that is longer.
	MaxDelay time.Duration

	// Factor is by how much the upper bound grows with each failure, at least 1. Default: 2.
	Factor float64

	// StableAfter is how long a connection must last to count as a success. After a success
	// the delay, MaxAttempts and MaxDowntime start again. Default: 10 s.
	StableAfter time.Duration

	// MaxAttempts is how many failures in a row end Run. Default: 0, no limit.
	MaxAttempts int

	// MaxDowntime is the time of failures in a row that ends Run: Run returns if the next
	// attempt would begin later. Without it a Client that was connected once does not give up
	// if its server is removed: see [Failure.Temporary]. Default: 0, no limit.
	MaxDowntime time.Duration

	// Retry reports whether another attempt makes sense after a failure. It is called on the
	// goroutine of Run. Default: [Failure.Temporary].
	Retry func(Failure) bool

	// OnRetry is called before each delay, on the goroutine of Run. Default: none.
	OnRetry func(RetryEvent)
}

// Failure is an attempt of a [Client] to connect that has failed, or the end of a connection
// that neither side has closed with 1000.
type Failure struct {
	// Err is the error of [Dial], or a *CloseError that says how the connection ended. Code
	// 1000 is possible too, if this side has sent it.
	Err error

	// Attempt is the number of failures in a row, from 1.
	Attempt int

	// Connected reports whether the Client has had a connection before, at any time.
	Connected bool
}

// RetryEvent describes the next attempt to connect.
type RetryEvent struct {
	Attempt int           // number of failures in a row, from 1
	Delay   time.Duration // until the attempt
	Err     error         // the last failure, as in Failure
}

// complete fills in the defaults.
func (o *Reconnect) complete(w *mistakes) {
	o.MinDelay = w.duration("Reconnect.MinDelay", o.MinDelay, 500*time.Millisecond)
	o.MaxDelay = w.duration("Reconnect.MaxDelay", o.MaxDelay, max(30*time.Second, o.MinDelay))
	o.StableAfter = w.duration("Reconnect.StableAfter", o.StableAfter, 10*time.Second)
	o.MaxDowntime = w.duration("Reconnect.MaxDowntime", o.MaxDowntime, 0)
	o.MaxAttempts = w.number("Reconnect.MaxAttempts", o.MaxAttempts, 0)
	if o.MaxDelay < o.MinDelay {
		w.add("Reconnect.MaxDelay", "%v is below Reconnect.MinDelay (%v); set a longer MaxDelay or a shorter MinDelay", o.MaxDelay, o.MinDelay)
	}
	if o.Factor == 0 {
		o.Factor = 2
	} else if !(o.Factor >= 1) { // or NaN
		w.add("Reconnect.Factor", "%v is below 1; set at least 1, or 0 for the default of 2", o.Factor)
	}
	if o.Retry == nil {
		o.Retry = Failure.Temporary
	}
}

// delay returns the delay before the next attempt.
func (o *Reconnect) delay(failures int, last error) time.Duration {
	policy := backoff.Policy{Min: o.MinDelay, Max: o.MaxDelay, Factor: o.Factor}
	var refused *RefusedError
	if errors.As(last, &refused) {
		return policy.Delay(failures, backoff.RetryAfter(refused.Header))
	}
	return policy.Delay(failures, 0)
}

// dialOptions returns the options of the Client's connections. Their outboxes drop no message
// of the Client, because those have been accepted.
func (o *ClientOptions) dialOptions() DialOptions {
	return DialOptions{
		Logger: o.Logger, BaseContext: o.BaseContext, Driver: o.Driver, SlowConsumer: SlowConsumerDropNewest,
		Handshake: o.Handshake, Network: o.Network, Value: o.Value,
		Limits: o.Limits, Timeouts: o.Timeouts, Outbox: o.Outbox, Compression: o.Compression, InvalidUTF8: o.InvalidUTF8,
	}
}
