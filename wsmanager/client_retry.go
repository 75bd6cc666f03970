package wsmanager

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// RetriesExhaustedError is the error of [Client.Run] when it makes no further attempt.
type RetriesExhaustedError struct {
	Attempts int           // failures in a row
	Downtime time.Duration // since the end of the last stable connection, or since the call of Run
	Unsent   int           // messages that were accepted and are not written
	Err      error         // the last failure
}

// Error implements error.
func (e *RetriesExhaustedError) Error() string {
	s := fmt.Sprintf("wsmanager: gave up after %d attempts in %v", e.Attempts, e.Downtime.Round(time.Millisecond))
	if e.Attempts == 1 {
		s = "wsmanager: gave up after the first attempt"
	} else if e.Attempts == 0 {
		s = "wsmanager: gave up"
	}
	if e.Unsent > 0 {
		s += fmt.Sprintf(", with %d messages unsent", e.Unsent)
	}
	return s + ": " + withoutPrefix(e.Err)
}

// Unwrap returns the last failure.
func (e *RetriesExhaustedError) Unwrap() error { return e.Err }

// Retryable is the default of ClientOptions.Retry: whether what has ended an attempt
// or a connection may have passed by the next attempt. It says no to
//
//   - an answer below 500 to the handshake (401, 403, 404, a redirect, …), save 408,
//     425 and 429, and 501;
//   - an answer that is no handshake (ErrHandshake);
//   - a certificate that is not trusted;
//   - an end by the server with 1000, 1002, 1003, 1007 to 1010, 3000 or 3003, which
//     say that all is done, or that something about this client is wrong;
//   - an attempt that was given up (context.Canceled), and ErrShutdown.
//
// It says yes to all else: networks that break, 500, 502, 503 and 504, 1001, 1006, 1011 to 1014,
// the application's own codes, and what ended here, by a callback's error for one,
// whatever that has in its chain.
func Retryable(err error) bool {
	var refused *RefusedError
	var certificate *tls.CertificateVerificationError
	var ended *CloseError
	switch {
	case errors.Is(err, ErrShutdown):
		return false
	case errors.As(err, &ended) && !ended.Remote:
		return true
	case errors.Is(err, ErrHandshake), errors.As(err, &certificate):
		return false
	case errors.As(err, &refused):
		switch refused.StatusCode {
		case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
			return true
		}
		return refused.StatusCode >= 500 && refused.StatusCode != http.StatusNotImplemented
	case ended != nil:
		switch ended.Code {
		case StatusNormalClosure, StatusProtocolError, StatusUnsupportedData, StatusInvalidPayloadData,
			StatusPolicyViolation, StatusMessageTooBig, StatusMandatoryExtension,
			3000, 3003: // registered as Unauthorized and Forbidden
			return false
		}
	}
	return !errors.Is(err, context.Canceled)
}

// retryAfter is how long the server wants to be left alone.
func (e *RefusedError) retryAfter() time.Duration {
	seconds, err := strconv.ParseInt(e.Header.Get("Retry-After"), 10, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) || seconds < 0 {
		return 0 // a number out of range is the largest or the smallest
	}
	return time.Duration(min(seconds, 1<<30)) * time.Second
}
