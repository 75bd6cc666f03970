package wsmanager

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
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

// Temporary is the default of Reconnect.Retry. Until the Client has had a connection, it is
// [Retryable] of the error. After that the URL and the network were right once, so these are
// temporary too, up to Reconnect.MaxDowntime:
//
//   - an answer to the handshake with any status except 401, 407 and 410, for example the 404
//     or 403 of a proxy whose servers restart, a redirect, or the 200 of a captive portal;
//   - an answer that is not a handshake (ErrHandshake), and a certificate that is not trusted,
//     which a captive portal has as well.
func (f Failure) Temporary() bool {
	if Retryable(f.Err) {
		return true
	}
	var ended *CloseError
	if !f.Connected || errors.As(f.Err, &ended) {
		return false
	}
	var refused *RefusedError
	if errors.As(f.Err, &refused) {
		switch refused.StatusCode {
		case http.StatusUnauthorized, http.StatusProxyAuthRequired, http.StatusGone:
			return false
		}
		return true
	}
	var certificate *tls.CertificateVerificationError
	return errors.Is(f.Err, ErrHandshake) || errors.As(f.Err, &certificate)
}

// Retryable reports whether the cause of a failed attempt to connect or of the end of a
// connection may be temporary. It returns false for
//
//   - an answer to the handshake below 500 (401, 403, 404, a redirect and others) except 408, 425
//     and 429, and for 501;
//   - an answer that is not a handshake (ErrHandshake);
//   - a certificate that is not trusted;
//   - an end by the server with 1000, 1002, 1003, 1007 to 1010, 3000 or 3003: the server has
//     finished, or it does not accept something about this client. 1008 with the reason
//     "expired" (ErrExpired on the server) is temporary, because OnDial can send a new token;
//   - a cancelled attempt (context.Canceled), and ErrShutdown.
//
// It returns true for everything else: network errors; 500, 502, 503 and 504; ends with 1001,
// 1006, 1011 to 1014 and codes of the application; and ends by this side, for example by an
// error of a callback, regardless of the errors that it wraps.
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
		case StatusPolicyViolation:
			return ended.Reason == expiredReason
		case StatusNormalClosure, StatusProtocolError, StatusUnsupportedData, StatusInvalidPayloadData,
			StatusMessageTooBig, StatusMandatoryExtension,
			3000, 3003: // registered as Unauthorized and Forbidden
			return false
		}
	}
	return !errors.Is(err, context.Canceled)
}
